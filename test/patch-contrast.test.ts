import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { lossGradient, patchContrastGradient } from "../dist/native/kernels.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { type LossSpec, Trainer } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";

setThreads(1);

const temperature = 0.5;
const contrast = { kind: "patch-contrast", temperature, lesionShare: 0.5 } as const satisfies LossSpec;

async function evaluate(features: Float64Array, width: number, share: number[], loss: LossSpec = contrast) {
  using prediction = Tensor.from(features, [share.length, width]);
  using target = Tensor.from(Float32Array.from(share), [share.length]);
  const { value, gradient } = await lossGradient(loss, prediction, target);
  using owned = gradient;
  return { value, gradient: (await owned.toArray()) as Float64Array };
}

describe("the contrast of patches by their share of lesion", () => {
  it("has the closed form of two orthogonal pairs, whatever the features' length", async () => {
    // Two lesion patches along one axis, two of background along the other: each anchor sees its positive at
    // similarity 1 and two negatives at 0.
    const features = Float64Array.of(3, 0, 0.2, 0, 0, 1, 0, 7);
    const { value } = await evaluate(features, 2, [1, 0.6, 0.5, 0]);
    const wanted = Math.log(Math.exp(1 / temperature) + 2) - 1 / temperature;
    expect(Math.abs(value - wanted)).toBeLessThan(1e-12);
  });

  it("has the gradient that central differences give", async () => {
    const share = [1, 0, 0.7, 0.2, 0.9, 0, 0.1];
    const features = hashFill("patches", share.length * 5);
    const { gradient } = await evaluate(features, 5, share);
    const step = 1e-5;
    for (let index = 0; index < features.length; index++) {
      const at = async (change: number) => {
        const moved = Float64Array.from(features);
        moved[index] = (moved[index] as number) + change;
        return (await evaluate(moved, 5, share)).value;
      };
      const numeric = ((await at(step)) - (await at(-step))) / (2 * step);
      expect(Math.abs(numeric - (gradient[index] as number))).toBeLessThan(1e-8);
    }
  });

  it("leaves out as an anchor the only patch of its class, and is 0 where one class stands alone", async () => {
    const one = await evaluate(Float64Array.of(1, 0, 0, 1, 0, 1), 2, [1, 0, 0]);
    // The two of background: positive at similarity 1, one negative at 0.
    const wanted = Math.log(Math.exp(1 / temperature) + 1) - 1 / temperature;
    expect(Math.abs(one.value - wanted)).toBeLessThan(1e-12);
    const none = await evaluate(hashFill("alone", 12), 3, [0, 0.1, 0, 0.5]);
    expect(none.value).toBe(0);
    expect([...none.gradient].every((value) => value === 0)).toBe(true);
  });

  it("refuses a temperature of 0 and a share too few", async () => {
    const features = Float64Array.of(1, 0, 0, 1);
    await expect(evaluate(features, 2, [1, 0], { ...contrast, temperature: 0 })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("temperature above 0"),
    });
    await expect(evaluate(features, 4, [1])).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});

/** `count` of `indices`, evenly spread. */
const evenly = (indices: readonly number[], count: number): readonly number[] =>
  count >= indices.length
    ? indices
    : Array.from({ length: count }, (_, k) => indices[Math.floor((k * indices.length) / count)] as number);

/** The patches that take part: as many of lesions as of background, at most `limit`. */
function chosenOf(lesion: readonly boolean[], limit: number): number[] {
  const of = (wanted: boolean) => [...lesion.keys()].filter((patch) => lesion[patch] === wanted);
  const ofEach = Math.max(2, Math.min(Math.floor(limit / 2), of(true).length, of(false).length));
  return [...evenly(of(true), ofEach), ...evenly(of(false), ofEach)];
}

/** The loss of Khosla et al. over patches of these features, and its gradient, in float64. */
function written(features: readonly number[][], lesion: readonly boolean[]) {
  const dot = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, value, axis) => sum + value * (b[axis] as number), 0);
  const lengths = features.map((row) => Math.sqrt(dot(row, row)));
  const z = features.map((row, i) => row.map((value) => value / (lengths[i] as number)));
  const others = z.map((_, i) => [...z.keys()].filter((a) => a !== i));
  const positives = others.map((of, i) => of.filter((a) => lesion[a] === lesion[i]));
  const anchors = new Set(lesion).size < 2 ? [] : positives.flatMap((of, i) => (of.length > 0 ? [i] : []));
  const toZ = z.map((row) => row.map(() => 0));
  let value = 0;
  for (const i of anchors) {
    const similarity = z.map((row) => dot(z[i] as number[], row) / temperature);
    const of = others[i] as number[];
    const own = positives[i] as number[];
    const sum = of.reduce((total, a) => total + Math.exp(similarity[a] as number), 0);
    value += Math.log(sum) - own.reduce((total, p) => total + (similarity[p] as number), 0) / own.length;
    for (const a of of) {
      const share = Math.exp(similarity[a] as number) / sum - (own.includes(a) ? 1 / own.length : 0);
      const slope = share / temperature / anchors.length;
      (toZ[i] as number[]).forEach((_, axis) => {
        (toZ[i] as number[])[axis] =
          ((toZ[i] as number[])[axis] as number) + slope * (z[a]?.[axis] as number);
        (toZ[a] as number[])[axis] =
          ((toZ[a] as number[])[axis] as number) + slope * (z[i]?.[axis] as number);
      });
    }
  }
  const gradient = toZ.map((row, i) => {
    const along = dot(row, z[i] as number[]);
    return row.map((part, axis) => (part - along * (z[i]?.[axis] as number)) / (lengths[i] as number));
  });
  return { value: anchors.length === 0 ? 0 : value / anchors.length, gradient };
}

describe("the patches of a batch that are contrasted", () => {
  const width = 3;

  /** Loss and gradient of patches of which those of `lesion` are, where nobody may look at the others' features. */
  async function compare(name: string, lesion: readonly boolean[], limit: number) {
    const chosen = chosenOf(lesion, limit);
    const numbers = hashFill(name, lesion.length * width);
    const rows = lesion.map((_, patch) => [...numbers.subarray(patch * width, (patch + 1) * width)]);
    const wanted = written(
      chosen.map((patch) => rows[patch] as number[]),
      chosen.map((patch) => lesion[patch] as boolean),
    );
    const seen = Float64Array.from(rows.flat(), (value, index) =>
      chosen.includes(Math.floor(index / width)) ? value : Number.NaN,
    );
    using features = Tensor.from(seen, [lesion.length, width]);
    using share = Tensor.from(
      Float32Array.from(lesion, (is, patch) => (is ? 0.6 : (patch % 3) / 4)),
      [lesion.length],
    );
    for (const mayWait of [false, true]) {
      const loss = { ...contrast, patches: limit };
      const { value, gradient } = await patchContrastGradient(loss, features, share, mayWait);
      using owned = gradient;
      const numbers = (await owned.toArray()) as Float64Array;
      expect(Math.abs(value - wanted.value)).toBeLessThan(1e-12 * (1 + wanted.value));
      if (wanted.value === 0) expect(value).toBe(0);
      for (const patch of lesion.keys()) {
        const place = chosen.indexOf(patch);
        for (let axis = 0; axis < width; axis++) {
          const own = numbers[patch * width + axis] as number;
          if (place < 0) expect(own).toBe(0);
          else expect(Math.abs(own - (wanted.gradient[place]?.[axis] as number))).toBeLessThan(1e-12);
        }
      }
    }
    return { chosen, value: wanted.value };
  }

  it("are as many of each class, evenly spread, with their loss and gradient, for any mask", async () => {
    const draw = randomStream(1, "masks");
    let together = 0;
    for (let round = 0; round < 150; round++) {
      const count = draw.integer(2, draw.pick([6, 20, 90]));
      const frequency = draw.pick([0.02, 0.2, 0.5, 0.9]);
      const lesion = Array.from({ length: count }, () => draw.uniform() < frequency);
      const { chosen, value } = await compare(`mask ${round}`, lesion, draw.integer(4, 40));
      together += +(value > 0);
      expect(new Set(chosen).size).toBe(chosen.length);
    }
    expect(together).toBeGreaterThan(50);
  });

  it.each([2, 3, 5, 33])("are right where none, one, all but one or all of %i are lesions", async (count) => {
    for (const lesions of [0, 1, count - 1, count]) {
      for (const limit of [4, 5, 12, 1024]) {
        for (const from of [0, count - lesions, Math.floor((count - lesions) / 2)]) {
          const lesion = Array.from({ length: count }, (_, at) => at >= from && at < from + lesions);
          const { value } = await compare(`${count} ${lesions} ${from}`, lesion, limit);
          if (lesions === 0 || lesions === count) expect(value).toBe(0);
          else if (count > 2) expect(value).toBeGreaterThan(0);
        }
      }
    }
  });

  it("are refused where there is one alone, or room for fewer than four", async () => {
    await expect(compare("alone", [true], 1024)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("at least two patches"),
    });
    await expect(compare("narrow", [true, false, true], 3)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("at least four patches"),
    });
  });
});

describe("a vision transformer trained by patch contrast", () => {
  const encoder = {
    family: "dino-vit",
    channels: 3,
    patch: 8,
    embedDim: 16,
    depth: 1,
    heads: 2,
    registers: 1,
    axisTokens: 2,
  } as const;
  const [depth, edge] = [3, 32];

  /** Noise, and in every slice a bright square of 2 x 2 patches that the mask marks. */
  function volume() {
    const image = Float32Array.from(hashFill("slices", depth * edge * edge));
    const mask = new Uint8Array(image.length);
    for (let place = 0; place < image.length; place++) {
      const [row, column] = [Math.floor(place / edge) % edge, place % edge];
      if (row < 8 || row >= 24 || column < 16) continue;
      mask[place] = 1;
      image[place] = (image[place] as number) + 1;
    }
    return { image, mask };
  }

  /** Mean cosine within the lesion, and between lesion and background, of the middle slice's patch tokens. */
  async function cosines(network: PlacedNetwork, image: Float32Array) {
    using slices = Tensor.from(image, [1, 3, edge, edge]);
    using position = Tensor.from(Float32Array.of(1, depth), [1, 2]);
    const { pooled, stages, tokens } = await network.embed(slices, { position });
    const patches = (await tokens.patches.toArray()) as Float32Array;
    for (const tensor of [pooled, ...stages, ...Object.values(tokens)]) tensor.dispose();
    const token = (index: number) => patches.subarray(index * 16, index * 16 + 16);
    const dot = (a: Float32Array, b: Float32Array) =>
      a.reduce((sum, value, at) => sum + value * (b[at] as number), 0);
    const cosine = (a: number, b: number) =>
      dot(token(a), token(b)) / Math.sqrt(dot(token(a), token(a)) * dot(token(b), token(b)));
    const lesion = [6, 7, 10, 11];
    const background = [0, 1, 2, 3, 4, 5, 8, 9, 12, 13, 14, 15];
    const mean = (pairs: number[]) => pairs.reduce((sum, value) => sum + value, 0) / pairs.length;
    return {
      within: mean(lesion.flatMap((a) => lesion.filter((b) => b !== a).map((b) => cosine(a, b)))),
      between: mean(lesion.flatMap((a) => background.map((b) => cosine(a, b)))),
    };
  }

  it.each([
    { name: "on its patch tokens", head: undefined },
    {
      name: "through the contrastive head",
      head: { kind: "contrastive", outputs: 1, hidden: 32, bottleneck: 16, prototypes: 8 } as const,
    },
  ])("$name lowers the loss and draws lesion patches together, away from background", async ({ head }) => {
    using network = await PlacedNetwork.build(head ? { encoder, head } : { encoder }, {
      device: "cpu",
      seed: 3,
    });
    using trainer = await Trainer.create(network, { loss: { ...contrast, patches: 24 } });
    const { image, mask } = volume();
    using input = Tensor.from(image, [1, 1, depth, edge, edge]);
    using target = Tensor.from(mask, [1, 1, depth, edge, edge]);
    const before = await cosines(network, image);
    const losses: number[] = [];
    for (let step = 0; step < 60; step++) {
      losses.push((await trainer.step(input, target, { learningRate: 3e-3, seed: step })).loss);
    }
    const after = await cosines(network, image);
    expect(losses.at(-1)).toBeLessThan(0.9 * (losses[0] as number));
    expect(after.within - after.between).toBeGreaterThan(0.3);
    expect(after.within - after.between).toBeGreaterThan(before.within - before.between);
  });

  it("refuses a mask of another size", async () => {
    using network = await PlacedNetwork.build({ encoder }, { device: "cpu", seed: 3 });
    using trainer = await Trainer.create(network, { loss: contrast });
    using input = Tensor.from(volume().image, [1, 1, depth, edge, edge]);
    using target = Tensor.from(new Uint8Array(depth * edge), [1, 1, depth, edge, 1]);
    await expect(trainer.step(input, target, { learningRate: 1e-3, seed: 0 })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("lesion mask [N, 1, D, H, W]"),
    });
  });
});
