import { afterEach, describe, expect, it } from "vitest";
import type { ConvNeXtSpec, DinoVitSpec, EncoderSpec, NetworkSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { type LossSpec, type SliceViews, Trainer, type TrainerOptions } from "../dist/native/trainer.js";
import { filled, gradientsOf, lively, maskOf, relativeDistance } from "./gradients.js";

setThreads(1);

const convNeXt: ConvNeXtSpec = {
  family: "convnext-v2-3d",
  channels: 2,
  depths: [1, 1, 2, 1],
  dims: [8, 8, 16, 16],
};
const resNet: EncoderSpec = { family: "resnet-3d", channels: 2, features: 4, blocks: [1, 1, 1, 1] };
const vit: DinoVitSpec = {
  family: "dino-vit",
  channels: 2,
  patch: 8,
  embedDim: 16,
  depth: 2,
  heads: 2,
  registers: 1,
  axisTokens: 2,
};
const contrastive = { kind: "contrastive", outputs: 1, hidden: 24, bottleneck: 8, prototypes: 12 } as const;

const tversky: LossSpec = { kind: "tversky", alpha: 0.3, beta: 0.7 };
const size = [16, 16, 16];
const voxels = [2, 1, ...size];
const classes = () => Tensor.from(BigInt64Array.of(0n, 2n), [2]);
const hidden = () => Tensor.from(Uint8Array.of(1, 0, 0, 1, 1, 1, 0, 1), [2, 4]);
const lesion = () =>
  Tensor.from(
    Float32Array.from({ length: 2 * 4 * 16 * 16 }, (_, index) => (index % 16 < 8 ? 1 : 0)),
    [2, 1, 4, 16, 16],
  );

interface Setting {
  name: string;
  spec: NetworkSpec;
  loss: LossSpec;
  target(): Tensor;
  shape?: number[];
}
const settings: Setting[] = [
  {
    name: "UperNet on a ConvNeXt",
    spec: { encoder: convNeXt, head: { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 8 } },
    loss: tversky,
    target: () => maskOf("target", voxels),
  },
  {
    name: "UperNet with a softmax over intensities, and the loss of diffusion",
    spec: {
      encoder: convNeXt,
      head: { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 8 },
      output: { bins: 8, low: -1, high: 1 },
    },
    loss: { kind: "l1-ssim", dataRange: 2, ssimWeight: 1 },
    target: () => filled("target", voxels),
  },
  {
    name: "UNETR on a ConvNeXt",
    spec: { encoder: convNeXt, head: { kind: "unetr", outputs: 1, featureSize: 4 } },
    loss: tversky,
    target: () => maskOf("target", [2, 1, 32, 32, 32]),
    shape: [2, 2, 32, 32, 32],
  },
  {
    name: "the subpixel head on a ConvNeXt",
    spec: { encoder: convNeXt, head: { kind: "subpixel", outputs: 1, featureSize: 4 } },
    loss: { kind: "l1" },
    target: () => filled("target", [2, 1, 64, 32, 32], 3),
    shape: [2, 2, 32, 32, 32],
  },
  {
    name: "a classifier on a ConvNeXt",
    spec: { encoder: convNeXt, head: { kind: "classifier", classes: 3, bottleneck: 8 } },
    loss: { kind: "cross-entropy", weights: [1, 2, 3] },
    target: classes,
    shape: [2, 2, 32, 32, 16],
  },
  {
    name: "a masked autoencoder of a ConvNeXt",
    spec: { encoder: convNeXt, head: { kind: "masked-autoencoder", decoderDim: 8, decoderDepth: 2 } },
    loss: { kind: "masked-autoencoder" },
    target: hidden,
    shape: [2, 2, 16, 32, 32],
  },
  {
    name: "UperNet on a ResNet",
    spec: { encoder: resNet, head: { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 8 } },
    loss: tversky,
    target: () => maskOf("target", [2, 1, 40, 40, 40]),
    shape: [2, 2, 40, 40, 40],
  },
  {
    name: "conv1 on a vision transformer",
    spec: { encoder: vit, head: { kind: "conv1", outputs: 1, width: 4 } },
    loss: tversky,
    target: () => maskOf("target", [2, 1, 4, 16, 16]),
    shape: [2, 2, 4, 16, 16],
  },
  {
    name: "a classifier on a vision transformer",
    spec: { encoder: vit, head: { kind: "classifier", classes: 3, bottleneck: 8 } },
    loss: { kind: "cross-entropy" },
    target: classes,
    shape: [2, 2, 4, 16, 16],
  },
  {
    name: "the subpixel head on a vision transformer",
    spec: { encoder: vit, head: { kind: "subpixel", outputs: 1, featureSize: 4 } },
    loss: { kind: "l1" },
    target: () => filled("target", [2, 1, 8, 16, 16], 3),
    shape: [2, 2, 4, 16, 16],
  },
  {
    name: "the patch contrast of a vision transformer",
    spec: { encoder: vit, head: contrastive },
    loss: { kind: "patch-contrast", temperature: 0.5, lesionShare: 0.3 },
    target: lesion,
    shape: [2, 2, 4, 16, 16],
  },
  {
    name: "a U-Net",
    spec: { model: { family: "unet-3d", channels: 2, outputs: 1, features: 4, levels: 2 } },
    loss: tversky,
    target: () => maskOf("target", voxels),
  },
  {
    name: "a TransUNet",
    spec: {
      model: { family: "transunet-3d", channels: 2, outputs: 1, features: 4, levels: 2, depth: 2, heads: 2 },
    },
    loss: tversky,
    target: () => maskOf("target", voxels),
  },
  {
    name: "a ViT",
    spec: {
      model: {
        family: "vit-3d",
        channels: 2,
        outputs: 1,
        patch: [8, 8, 8],
        embedDim: 16,
        depth: 2,
        heads: 2,
      },
    },
    loss: { kind: "l1" },
    target: () => filled("target", voxels, 3),
  },
  {
    name: "the U-Net of diffusion",
    spec: { model: { family: "diffusion-unet-3d", channels: 2, outputs: 1, features: 8, levels: 2 } },
    loss: { kind: "l1" },
    target: () => filled("target", voxels, 3),
  },
  {
    name: "a ResNet classifier",
    spec: { model: { family: "resnet-3d", channels: 2, classes: 3, features: 4, blocks: [1, 1, 1, 1] } },
    loss: { kind: "cross-entropy" },
    target: classes,
    shape: [2, 2, 40, 40, 40],
  },
];
const inputOf = ({ shape }: Setting) => filled("input", shape ?? [2, 2, ...size]);

async function stepOf(setting: Setting, options: Partial<TrainerOptions> = {}, spec = setting.spec) {
  using network = await lively(spec);
  using input = inputOf(setting);
  using target = setting.target();
  return await gradientsOf(network, { loss: setting.loss, ...options }, { input, target });
}

/** The nearest numbers that bfloat16 has. */
function roundedToBfloat16(values: Float32Array): Float32Array {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  for (const [index, value] of bits.entries()) bits[index] = ((value + 0x8000) & 0xffff0000) >>> 0;
  return new Float32Array(bits.buffer);
}

/** The step in float32 of a network whose kernels, and whose input, were rounded to bfloat16. */
async function stepOfRounded(setting: Setting) {
  using network = await lively(setting.spec);
  const state = await network.state();
  for (const [name, tensor] of Object.entries(state)) {
    if (tensor.dtype !== "float32" || tensor.shape.length < 2) continue;
    using values = Tensor.from(roundedToBfloat16((await tensor.toArray()) as Float32Array), tensor.shape);
    await network.assign({ [name]: values });
  }
  for (const tensor of Object.values(state)) tensor.dispose();
  using exact = inputOf(setting);
  using input = Tensor.from(roundedToBfloat16((await exact.toArray()) as Float32Array), exact.shape);
  using target = setting.target();
  return await gradientsOf(network, { loss: setting.loss }, { input, target });
}

const distillation: LossSpec = {
  kind: "self-distillation",
  studentTemperature: 0.2,
  contrastWeight: 1,
  temperature: 0.5,
  lesionShare: 0.3,
  patches: 64,
};
/** Two global views of two slices, and a local one. */
function views(): SliceViews {
  const position = (images: number) =>
    Tensor.from(
      Float32Array.from({ length: images * 2 }, (_, index) => (index % 2 === 1 ? 5 : index % 4)),
      [images, 2],
    );
  const tensors = {
    global: filled("global", [4, 2, 16, 16]),
    lesion: Tensor.from(
      Float32Array.from({ length: 4 * 256 }, (_, index) => (index % 16 < 8 ? 1 : 0)),
      [4, 1, 16, 16],
    ),
    local: filled("local", [2, 2, 8, 8]),
    globalPosition: position(4),
    localPosition: position(2),
  };
  return {
    slices: 2,
    ...tensors,
    [Symbol.dispose]() {
      for (const tensor of Object.values(tensors)) tensor.dispose();
    },
  };
}
async function distilled(options: Partial<TrainerOptions>) {
  using network = await lively({ encoder: vit, head: contrastive });
  using teacher = await PlacedNetwork.build({ encoder: vit, head: contrastive });
  using seen = views();
  return await gradientsOf(network, { loss: distillation, ...options }, { views: seen, teacher });
}

const byPlace = (arrays: readonly Float32Array[]) => Object.fromEntries(arrays.entries());

afterEach(() => expect(Tensor.live).toBe(0));

describe("a training step in bfloat16", () => {
  it.each(settings)("has float32's loss and gradients but for its rounding: $name", async (setting) => {
    const exact = await stepOf(setting);
    const rounded = await stepOf(setting, { precision: "bfloat16" });
    expect(Math.abs(rounded.loss - exact.loss)).toBeLessThan(0.02 * Math.abs(exact.loss));
    const distance = relativeDistance(rounded.gradients, exact.gradients);
    expect(distance).toBeGreaterThan(1e-4); // it was not float32
    // Operands are rounded at every layer: a few times what the kernels' rounding does, which norms over few values make
    // large in some networks.
    const ofKernels = relativeDistance((await stepOfRounded(setting)).gradients, exact.gradients);
    expect(distance).toBeLessThan(4 * ofKernels);
    expect(distance).toBeLessThan(0.6);
  });

  it("has them in self-distillation too", async () => {
    const exact = await distilled({});
    const rounded = await distilled({ precision: "bfloat16" });
    expect(Math.abs(rounded.loss - exact.loss)).toBeLessThan(0.02 * exact.loss);
    const distance = relativeDistance(rounded.gradients, exact.gradients);
    expect(distance).toBeGreaterThan(1e-4);
    expect(distance).toBeLessThan(0.1);
  });

  it("lowers the loss as float32 does, with float32 weights", async () => {
    const setting = settings[0] as Setting;
    const run = async (precision: "float32" | "bfloat16") => {
      using network = await lively(setting.spec);
      using trainer = await Trainer.create(network, { loss: setting.loss, precision });
      using input = inputOf(setting);
      using target = setting.target();
      const losses: number[] = [];
      for (let seed = 0; seed < 30; seed++)
        losses.push((await trainer.step(input, target, { learningRate: 5e-3, seed })).loss);
      expect(network.parameters.every(({ dtype }) => dtype === "float32")).toBe(true);
      return losses as [number, ...number[]];
    };
    const [exact, rounded] = [await run("float32"), await run("bfloat16")];
    const fall = (losses: [number, ...number[]]) => losses[0] - (losses.at(-1) as number);
    expect(fall(exact)).toBeGreaterThan(0.1);
    expect(Math.abs(fall(rounded) - fall(exact))).toBeLessThan(0.2 * fall(exact));
  });

  it.each(settings.filter(({ spec }) => "encoder" in spec && spec.head?.kind !== "masked-autoencoder"))(
    "answers and embeds in float32, near float32's numbers, and goes back to them: $name",
    async (setting) => {
      using network = await lively(setting.spec);
      using input = inputOf(setting);
      const answers = async () => {
        using answer = await network.forward(input);
        using features = await network.embed(input);
        using decoded = await network.decode(features, input);
        const tensors = [answer, features.pooled, ...features.stages, decoded];
        expect(tensors.map(({ dtype }) => dtype)).toEqual(tensors.map(() => "float32"));
        return Promise.all(tensors.map((tensor) => tensor.toArray() as Promise<Float32Array>));
      };
      const exact = await answers();
      network.precision = "bfloat16";
      const rounded = await answers();
      network.precision = "float32";
      expect(await answers()).toEqual(exact);
      const distance = relativeDistance(byPlace(rounded), byPlace(exact));
      expect(distance).toBeGreaterThan(1e-5);
      expect(distance).toBeLessThan(0.05);
    },
  );

  it("refuses a precision that there is not", async () => {
    using network = await lively((settings[0] as Setting).spec);
    const options = { loss: tversky, precision: "float16" } as unknown as TrainerOptions;
    await expect(Trainer.create(network, options)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("float32, tf32 or bfloat16"),
    });
  });
});

describe("CUDA graphs", () => {
  it("have no effect on a CPU", async () => {
    const setting = settings[0] as Setting;
    expect(await stepOf(setting, { cudaGraphs: true })).toEqual(await stepOf(setting, {}));
  });

  it("are refused beside checkpointing, which takes a generator's state inside of a step", async () => {
    await expect(
      stepOf(settings[0] as Setting, { cudaGraphs: true, checkpointing: true }),
    ).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/either checkpointing or CUDA graphs/),
    });
  });
});

describe("checkpointing", () => {
  const withBlocks = settings.filter(({ spec }) => {
    if ("model" in spec) return /vit|transunet/.test(spec.model.family);
    return spec.encoder.family !== "resnet-3d";
  });

  it.each(withBlocks)("gives the same loss and gradients to the bit: $name", async (setting) => {
    // With stochastic depth the second pass has to draw what the first drew.
    const spec =
      "encoder" in setting.spec && setting.spec.encoder.family === "convnext-v2-3d"
        ? { ...setting.spec, encoder: { ...setting.spec.encoder, dropPath: 0.6 } }
        : setting.spec;
    for (const precision of ["float32", "bfloat16"] as const) {
      const kept = await stepOf(setting, { precision }, spec);
      expect(await stepOf(setting, { precision, checkpointing: true }, spec)).toEqual(kept);
    }
  });

  it("gives them in self-distillation too", async () => {
    expect(await distilled({ checkpointing: true })).toEqual(await distilled({}));
  });

  it("reaches parameters of a block whose input has no gradient", async () => {
    const setting = settings[0] as Setting;
    const trainable = ["decode_head.", "encoder.stages.2.1.norm", "encoder.stages.3"];
    const kept = await stepOf(setting, { trainable });
    expect(await stepOf(setting, { trainable, checkpointing: true })).toEqual(kept);
    expect(kept.gradients["encoder.stages.2.1.norm.weight"]?.some((value) => value !== 0)).toBe(true);
  });
});

describe("micro-batches", () => {
  const five = (name: string) => filled(name, [5, 2, ...size]);
  const unet: NetworkSpec = { model: { family: "unet-3d", channels: 2, outputs: 1, features: 4, levels: 2 } };
  const masked = [3, 1, 4, 2, 1].flatMap((hiddenOfCase) =>
    [0, 1, 2, 3].map((patch) => +(patch < hiddenOfCase)),
  );
  const cases: [string, NetworkSpec, LossSpec, () => Tensor, (() => Tensor)?][] = [
    ["Tversky", unet, tversky, () => maskOf("target", [5, 1, ...size])],
    [
      "L1 and SSIM",
      unet,
      { kind: "l1-ssim", dataRange: 2, ssimWeight: 1 },
      () => filled("target", [5, 1, ...size]),
    ],
    [
      "a cross-entropy whose classes weigh differently",
      { encoder: vit, head: { kind: "classifier", classes: 3, bottleneck: 8 } },
      { kind: "cross-entropy", weights: [1, 5, 25] },
      () => Tensor.from(BigInt64Array.of(0n, 2n, 1n, 0n, 2n), [5]),
    ],
    [
      "a masked autoencoder whose cases hide different numbers of patches",
      { encoder: convNeXt, head: { kind: "masked-autoencoder", decoderDim: 8 } },
      { kind: "masked-autoencoder" },
      () => Tensor.from(Uint8Array.from(masked), [5, 4]),
      () => filled("input", [5, 2, 16, 32, 32]),
    ],
    [
      "UperNet with its auxiliary head",
      { encoder: convNeXt, head: { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 8 } },
      tversky,
      () => maskOf("target", [5, 1, ...size]),
    ],
  ];

  it.each(cases)(
    "add up to the loss and gradients of the batch: %s",
    async (_name, spec, loss, target, input) => {
      const run = async (microBatch?: number) => {
        using network = await lively(spec);
        using seen = input ? input() : five("input");
        using wanted = target();
        const options = { loss, ...(microBatch === undefined ? {} : { microBatch }) };
        return await gradientsOf(network, options, { input: seen, target: wanted });
      };
      const whole = await run();
      for (const microBatch of [1, 2, 4]) {
        const parts = await run(microBatch);
        expect(Math.abs(parts.loss - whole.loss)).toBeLessThan(2e-6 * Math.abs(whole.loss));
        expect(relativeDistance(parts.gradients, whole.gradients)).toBeLessThan(1e-5);
      }
      expect(await run(5)).toEqual(whole);
    },
  );

  it("take the features of their own cases, where the encoder is not run", async () => {
    const spec: NetworkSpec = { encoder: convNeXt, head: { kind: "unetr", outputs: 1, featureSize: 4 } };
    const run = async (options: Partial<TrainerOptions>) => {
      using network = await lively(spec);
      using input = five("input");
      using target = maskOf("target", [5, 1, ...size]);
      using features = await network.embed(input);
      using trainer = await Trainer.create(network, { loss: tversky, trainable: ["decoder."], ...options });
      return await trainer.step(input, target, { learningRate: 0, seed: 1, features });
    };
    const [whole, parts] = [await run({}), await run({ microBatch: 2 })];
    expect(Math.abs(parts.loss / whole.loss - 1)).toBeLessThan(2e-6);
    expect(Math.abs(parts.gradientNorm / whole.gradientNorm - 1)).toBeLessThan(1e-5);
  });

  it.each<[string, NetworkSpec, LossSpec]>([
    [
      "a classifier's head",
      { encoder: convNeXt, head: { kind: "classifier", classes: 3 } },
      { kind: "cross-entropy" },
    ],
    ["a ResNet", { encoder: resNet, head: { kind: "unetr", outputs: 1 } }, tversky],
    ["the head conv1", { encoder: vit, head: { kind: "conv1", outputs: 1 } }, tversky],
  ])("are refused where batch norm sees a whole batch: %s", async (_name, spec, loss) => {
    using network = await PlacedNetwork.build(spec);
    await expect(Trainer.create(network, { loss, microBatch: 1 })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/batch norm \(.+\), which takes its statistics from all samples/),
    });
  });

  it("are not refused where the norms are frozen", async () => {
    using network = await PlacedNetwork.build({ encoder: resNet, head: { kind: "unetr", outputs: 1 } });
    const options = { loss: tversky, microBatch: 1, trainable: ["decoder."] };
    using trainer = await Trainer.create(network, options);
    using input = filled("input", [2, 2, 32, 32, 32]);
    using target = maskOf("target", [2, 1, 32, 32, 32]);
    expect((await trainer.step(input, target, { learningRate: 0, seed: 1 })).loss).toBeGreaterThan(0);
  });

  it.each([distillation, { kind: "patch-contrast" } as const])(
    "are refused by the loss $kind",
    async (loss) => {
      using network = await PlacedNetwork.build({ encoder: vit, head: contrastive });
      await expect(Trainer.create(network, { loss, microBatch: 1 })).rejects.toMatchObject({
        code: "BAD_INPUT",
        message: expect.stringContaining("micro-batches"),
      });
    },
  );
});

describe("the optimiser", () => {
  it("is AdamW (Loshchilov 2019) over 20 steps, its gradient clipped by the global norm", async () => {
    const setting = settings.find(({ name }) => name === "a ViT") as Setting;
    const [rate, decay, clip, beta1, beta2] = [3e-3, 0.05, 0.05, 0.9, 0.999];
    using network = await lively(setting.spec);
    const options = { loss: setting.loss, weightDecay: decay, gradientClip: clip };
    using trainer = await Trainer.create(network, options);
    using input = inputOf(setting);
    using target = setting.target();
    const own = async () => {
      const state = await network.state();
      const entries = await Promise.all(
        Object.entries(state).map(async ([name, tensor]) => {
          const values = Float64Array.from((await tensor.toArray()) as Float32Array);
          return [name, { values, matrix: tensor.shape.length > 1 }] as const;
        }),
      );
      for (const tensor of Object.values(state)) tensor.dispose();
      return Object.fromEntries(entries);
    };
    const wanted = await own();
    const moments = Object.fromEntries(
      Object.entries(wanted).map(([name, { values }]) => [
        name,
        { first: new Float64Array(values.length), second: new Float64Array(values.length) },
      ]),
    );
    let clipped = 0;
    for (let step = 1; step <= 20; step++) {
      const learningRate = rate / Math.sqrt(step);
      const { gradients } = await gradientsOf(network, { loss: setting.loss }, { input, target });
      const norm = Math.hypot(...Object.values(gradients).map((values) => Math.hypot(...values)));
      const scale = norm > clip ? clip / (norm + 1e-6) : 1;
      clipped += +(norm > clip);
      for (const [name, { values, matrix }] of Object.entries(wanted)) {
        const { first, second } = moments[name] as { first: Float64Array; second: Float64Array };
        const decayed = matrix && name.endsWith("weight") ? 1 - learningRate * decay : 1;
        values.forEach((value, index) => {
          const gradient = ((gradients[name] as Float32Array)[index] as number) * scale;
          first[index] = beta1 * (first[index] as number) + (1 - beta1) * gradient;
          second[index] = beta2 * (second[index] as number) + (1 - beta2) * gradient ** 2;
          const size = Math.sqrt((second[index] as number) / (1 - beta2 ** step)) + 1e-8;
          const moved = (first[index] as number) / (1 - beta1 ** step) / size;
          values[index] = value * decayed - learningRate * moved;
        });
      }
      await trainer.step(input, target, { learningRate, seed: 7 });
      const now = await own();
      for (const [name, { values }] of Object.entries(wanted)) {
        values.forEach((value, index) => {
          expect(Math.abs((now[name]?.values[index] as number) - value)).toBeLessThan(1e-6);
          values[index] = now[name]?.values[index] as number; // where a gradient is next to 0, its sign is chance
        });
      }
    }
    expect(clipped).toBeGreaterThan(0);
  });

  it("changes nothing where the loss is not a number, and goes on as if that step had not been", async () => {
    const setting = settings.find(({ name }) => name === "a U-Net") as Setting;
    using network = await lively(setting.spec);
    using other = await lively(setting.spec);
    const options = { loss: setting.loss, gradientClip: 1 };
    using trainer = await Trainer.create(network, options);
    using undisturbed = await Trainer.create(other, options);
    using input = inputOf(setting);
    using broken = Tensor.from(new Float32Array(2 * 2 * 4096).fill(Number.NaN), [2, 2, ...size]);
    using target = setting.target();
    const how = { learningRate: 1e-2, seed: 1 };
    await trainer.step(input, target, how);
    await undisturbed.step(input, target, how);
    await expect(trainer.step(broken, target, how)).rejects.toMatchObject({ code: "BAD_INPUT" });
    const [after, wanted] = [
      await trainer.step(input, target, how),
      await undisturbed.step(input, target, how),
    ];
    expect(after).toEqual(wanted);
  });

  it("leaves the numbers of a step that is enqueued where they are until they are read", async () => {
    const setting = settings.find(({ name }) => name === "a U-Net") as Setting;
    using input = inputOf(setting);
    using target = setting.target();
    const run = async (enqueued: boolean) => {
      using network = await lively(setting.spec);
      using trainer = await Trainer.create(network, { loss: setting.loss });
      const numbers: number[] = [];
      for (let seed = 0; seed < 3; seed++) {
        const how = { learningRate: 1e-2, seed };
        if (!enqueued) {
          const { loss, gradientNorm } = await trainer.step(input, target, how);
          numbers.push(loss, gradientNorm);
          continue;
        }
        using reading = await trainer.enqueue(input, target, how);
        expect([reading.shape, reading.device]).toEqual([[2], "cpu"]);
        numbers.push(...((await reading.toArray()) as Float32Array));
      }
      return numbers;
    };
    expect(await run(true)).toEqual(await run(false));
  });
});
