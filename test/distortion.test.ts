import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCase } from "../dist/cohort/case-volumes.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { type PreparedCase, prepareCohort } from "../dist/cohort/preprocess.js";
import { randomStream } from "../dist/common/random.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import {
  type DistortionOptions,
  distanceTransform,
  distortionField,
  jacobianMinimum,
  regionBehind,
  warp,
} from "../dist/native/volumes.js";
import { Distorter, drawField } from "../dist/tasks/distorting.js";
import {
  type DistortionCorrectionOptions,
  distortionCorrection,
} from "../dist/tasks/distortion-correction.js";
import { hashFill } from "./hash-fill.js";
import { shared, sharedMissing } from "./shared.js";

type Triple = [number, number, number];
const countOf = ([D, H, W]: readonly number[]) => D * H * W;
const indexOf = ([, H, W]: Triple, n: number): Triple => [
  Math.floor(n / (H * W)),
  Math.floor(n / W) % H,
  n % W,
];
const floats = async (tensor: Tensor) => (await tensor.toArray()) as Float32Array;

const defaults: DistortionCorrectionOptions = {
  maximumDisplacement: 6,
  decay: 15,
  smoothness: 30,
  phaseEncoding: "anterior-posterior",
  source: "rectum",
  withoutMask: "left-out",
  answers: "image",
  intensityBins: null,
  channelFill: "repeat",
};

/** The smallest 1 + du/dx between neighbours along an axis of one component [D, H, W] of a field. */
function steepest(component: Float32Array, shape: Triple, axis: number): number {
  const step = [shape[1] * shape[2], shape[2], 1][axis];
  let least = Number.POSITIVE_INFINITY;
  for (let n = 0; n < component.length; n++) {
    if (indexOf(shape, n)[axis] + 1 < shape[axis])
      least = Math.min(least, 1 + component[n + step] - component[n]);
  }
  return least;
}

let folder: string;
let cases: PreparedCase[];
beforeAll(async () => {
  setThreads(1);
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-distortion-"));
  const manifest = await writePhantomCohort(join(folder, "cohort"), {
    cases: 6,
    seed: 11,
    voxels: [40, 40, 16],
  });
  const prepared = await prepareCohort(
    await readManifest(manifest),
    { voxels: [32, 28, 16], crop: { around: "gland", fieldOfView: [112, 112, 72] } },
    { cache: join(folder, "cache") },
  );
  expect(prepared.excluded).toEqual([]);
  cases = prepared.cases;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the distance transform", () => {
  it("agrees with a search over all pairs, whatever the voxels' size and the mask's density", async () => {
    const shape: Triple = [5, 8, 7];
    const spacing: Triple = [3, 0.5, 1.25];
    for (const threshold of [-0.5, 0.6, 0.97]) {
      const mask = new Float32Array(
        hashFill(`mask ${threshold}`, countOf(shape)).map((u) => (u > threshold ? 1 : 0)),
      );
      const foreground = [...mask.keys()].filter((n) => mask[n] === 1).map((n) => indexOf(shape, n));
      expect(foreground.length).toBeGreaterThan(0);
      using tensor = Tensor.from(mask, shape);
      using distances = await distanceTransform(tensor, spacing);
      for (const [n, distance] of (await floats(distances)).entries()) {
        const place = indexOf(shape, n);
        const lengths = foreground.map((other) =>
          Math.hypot(...place.map((x, axis) => (x - other[axis]) * spacing[axis])),
        );
        expect(distance).toBeCloseTo(Math.min(...lengths), 5);
      }
    }
  });

  it("refuses an empty mask and an impossible voxel size", async () => {
    using empty = Tensor.from(new Float32Array(8), [2, 2, 2]);
    await expect(distanceTransform(empty, [1, 1, 1])).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("at least one foreground voxel"),
    });
    using full = Tensor.from(new Float32Array(8).fill(1), [2, 2, 2]);
    await expect(distanceTransform(full, [1, 0, 1])).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});

describe("the displacement field", () => {
  const shape: Triple = [6, 20, 18];
  const options: DistortionOptions = { spacing: [3, 2, 2], maximumDisplacement: 4, decay: 10 };
  const sourceMask = (inside: (k: number, j: number, i: number) => boolean) =>
    Float32Array.from({ length: countOf(shape) }, (_, n) => (inside(...indexOf(shape, n)) ? 1 : 0));

  it("is the B-spline of its coefficients: a linear sequence of them gives a linear field", async () => {
    using everywhere = Tensor.from(
      sourceMask(() => true),
      shape,
    );
    const linear = Float32Array.from({ length: 4 * 5 * 9 }, (_, n) => (n % 9) - 1);
    using control = Tensor.from(linear, [4, 5, 9]);
    const { field, scale, jacobianMinimum } = await distortionField(everywhere, control, options);
    using held = field;
    const values = await floats(held);
    const voxels = countOf(shape);
    // 9 coefficients are 6 pieces over 17 steps; -1, 0, ... 7 puts 0 at one end and 6, the largest, at the other.
    for (let n = 0; n < voxels; n++) {
      const [, , i] = indexOf(shape, n);
      expect(values[voxels + n]).toBeCloseTo((2 * i) / 17, 5); // 4 mm are 2 voxels
    }
    expect(scale).toBe(1);
    expect(jacobianMinimum).toBeCloseTo(1, 6); // it changes across the direction of its displacements only
  });

  it("decays exponentially with the distance from its source, along one axis alone", async () => {
    for (const axis of [0, 1, 2] as const) {
      using source = Tensor.from(
        sourceMask((k, j) => k === 2 && j > 16),
        shape,
      );
      using distances = await distanceTransform(source, options.spacing);
      using control = Tensor.from(new Float32Array(4 * 4 * 4).fill(-1), [4, 4, 4]);
      const { field, scale } = await distortionField(source, control, { ...options, axis });
      using held = field;
      const [values, distance] = [await floats(held), await floats(distances)];
      const voxels = countOf(shape);
      expect(scale).toBe(1);
      for (let n = 0; n < 3 * voxels; n++) {
        const wanted = (-4 / options.spacing[axis]) * Math.exp(-(distance[n % voxels] as number) / 10);
        expect(values[n]).toBeCloseTo(Math.floor(n / voxels) === axis ? wanted : 0, 5);
      }
    }
  });

  it("is scaled down, and says by how much, where it would fold", async () => {
    using source = Tensor.from(
      sourceMask((k, j, i) => k === 3 && j === 10 && i === 9),
      shape,
    );
    using control = Tensor.from(Float32Array.from(hashFill("rough", 7 * 9 * 9)), [7, 9, 9]);
    for (const leastJacobian of [0, 0.1, 0.6]) {
      const steep = { ...options, maximumDisplacement: 40, decay: 4, leastJacobian };
      const distorted = await distortionField(source, control, steep);
      using held = distorted.field;
      const component = (await floats(held)).slice(countOf(shape), 2 * countOf(shape));
      const largest = Math.max(...component.map(Math.abs)) * 2;
      expect(distorted.scale).toBeLessThan(0.5);
      expect(largest).toBeCloseTo(40 * distorted.scale, 4);
      const least = steepest(component, shape, 1);
      expect(least).toBeGreaterThanOrEqual(leastJacobian);
      expect(least).toBeLessThan(leastJacobian + 1e-4); // no further down than it must
      expect(distorted.jacobianMinimum).toBeCloseTo(least, 6);
      expect(await jacobianMinimum(held)).toBeCloseTo(least, 6);
    }
  });

  it("is zero where its coefficients are", async () => {
    using source = Tensor.from(
      sourceMask((k) => k === 0),
      shape,
    );
    using control = Tensor.from(new Float32Array(64), [4, 4, 4]);
    const { field, scale, jacobianMinimum } = await distortionField(source, control, options);
    using held = field;
    expect((await floats(held)).every((value) => value === 0)).toBe(true);
    expect([scale, jacobianMinimum]).toEqual([1, 1]);
  });

  it("refuses what it cannot use, and says what it wants", async () => {
    using source = Tensor.from(new Float32Array(countOf(shape)).fill(1), shape);
    using control = Tensor.from(new Float32Array(64).fill(1), [4, 4, 4]);
    using few = Tensor.from(new Float32Array(48).fill(1), [3, 4, 4]);
    const refused = (message: RegExp) => ({ code: "BAD_INPUT", message: expect.stringMatching(message) });
    await expect(distortionField(source, few, options)).rejects.toMatchObject(refused(/at least 4/));
    await expect(distortionField(source, control, { ...options, decay: 0 })).rejects.toMatchObject(
      refused(/decay/),
    );
    await expect(
      distortionField(source, control, { ...options, maximumDisplacement: -1 }),
    ).rejects.toMatchObject(refused(/maximumDisplacement/));
    await expect(distortionField(source, control, { ...options, leastJacobian: 1 })).rejects.toMatchObject(
      refused(/leastJacobian/),
    );
  });

  it("starts on the plane right behind the box around the gland where there is no rectum", async () => {
    using gland = Tensor.from(
      sourceMask((k, j, i) => k > 0 && k < 4 && j > 5 && j < 12 && i === 7 + (j % 3)),
      shape,
    );
    using region = await regionBehind(gland);
    expect(await floats(region)).toEqual(
      sourceMask((k, j, i) => k > 0 && k < 4 && j === 12 && i >= 7 && i <= 9),
    );
  });
});

describe("distortion correction", () => {
  it("never shows a phantom with a folded voxel, and displaces most at the rectum", async () => {
    const settings = [
      defaults,
      { ...defaults, source: "rectum-or-behind-gland" as const, smoothness: 12 },
      { ...defaults, maximumDisplacement: 30, decay: 6, smoothness: 15 },
      { ...defaults, phaseEncoding: "left-right" as const, smoothness: 15 },
    ];
    for (const prepared of cases) {
      const volumes = await openCase(prepared, "cpu");
      using rectum = await volumes.load("rectum");
      using distances = await distanceTransform(rectum, volumes.spacing);
      const [shape, distance] = [rectum.shape as Triple, await floats(distances)];
      const voxels = countOf(shape);
      for (const [number, options] of settings.entries()) {
        const axis = options.phaseEncoding === "left-right" ? 2 : 1;
        for (let epoch = 0; epoch < 4; epoch++) {
          using field = await drawField(volumes, options, randomStream(5, prepared.id, number, epoch));
          expect(field.shape).toEqual([3, ...shape]);
          const values = await floats(field);
          const component = values.slice(axis * voxels, (axis + 1) * voxels);
          expect(steepest(component, shape, axis)).toBeGreaterThanOrEqual(0.1);
          expect(values.every((value, n) => Math.floor(n / voxels) === axis || value === 0)).toBe(true);

          const millimetres = component.map((value) => Math.abs(value) * volumes.spacing[axis]);
          const largest = Math.max(...millimetres);
          expect(largest).toBeLessThanOrEqual(options.maximumDisplacement * (1 + 1e-6));
          expect(largest).toBeGreaterThan(1);
          const mean = (inside: (mm: number) => boolean) => {
            const those = millimetres.filter((_, n) => inside(distance[n]));
            return those.reduce((sum, value) => sum + value, 0) / those.length;
          };
          expect(mean((mm) => mm === 0)).toBeGreaterThan(2 * mean((mm) => mm > 2 * options.decay));
        }
      }
    }
  });

  it("draws the same field from the same stream, and another from another", async () => {
    const volumes = await openCase(cases[0], "cpu");
    const task = distortionCorrection(defaults);
    const shown = async (...name: (string | number)[]) => {
      using sample = await task.sample(volumes, 2, randomStream(1, ...name));
      using t2w = await volumes.load("t2w");
      expect(sample.input.shape).toEqual([2, ...t2w.shape]);
      expect(sample.target.shape).toEqual([1, ...t2w.shape]);
      expect(await floats(sample.target)).toEqual(await floats(t2w));
      const input = await floats(sample.input);
      expect(input.slice(input.length / 2)).toEqual(input.slice(0, input.length / 2));
      return input;
    };
    const first = await shown("case", 0);
    expect(await shown("case", 0)).toEqual(first);
    expect(await shown("case", 1)).not.toEqual(first);
  });

  it("shows what its field makes of the image, to the bit, whether that is computed or was kept", async () => {
    for (const phaseEncoding of ["anterior-posterior", "left-right"] as const) {
      const options = { ...defaults, phaseEncoding };
      const volumes = await openCase(cases[1], "cpu");
      using field = await drawField(volumes, options, randomStream(9, "validation"));
      using image = await volumes.load("t2w");
      using warped = await warp(image, field);
      for (const room of [0, 2 ** 30]) {
        const distorter = new Distorter(options, room);
        for (let epoch = 0; epoch < 4; epoch++) {
          using distorted = await distorter.image(volumes, randomStream(9, "validation"));
          expect(await floats(distorted)).toEqual(await floats(warped));
          using another = await distorter.image(volumes, randomStream(9, "training", epoch));
          if (epoch === 0) expect(await floats(another)).not.toEqual(await floats(warped));
          using again = await distorter.image(volumes, randomStream(9, "validation"));
          using kept = await distorter.image(volumes, randomStream(9, "validation"));
          expect(await floats(again)).toEqual(await floats(warped));
          expect(await floats(kept)).toEqual(await floats(warped));
        }
      }
    }
  });

  it("shows an image that differs from the target, most of all near the rectum", async () => {
    for (const prepared of cases) {
      const volumes = await openCase(prepared, "cpu");
      using sample = await distortionCorrection(defaults).sample(volumes, 1, randomStream(2, prepared.id));
      using rectum = await volumes.load("rectum");
      using distances = await distanceTransform(rectum, volumes.spacing);
      const [input, target, distance] = [
        await floats(sample.input),
        await floats(sample.target),
        await floats(distances),
      ];
      const mean = (inside: (mm: number) => boolean) => {
        const those = [...input.keys()].filter((n) => inside(distance[n]));
        return those.reduce((sum, n) => sum + Math.abs(input[n] - target[n]), 0) / those.length;
      };
      expect(mean((mm) => mm < 5)).toBeGreaterThan(2 * mean((mm) => mm > 40));
    }
  });

  it("leaves out a case without a rectum mask and says how to keep it", () => {
    const strict = distortionCorrection(defaults);
    const lenient = distortionCorrection({ ...defaults, source: "rectum-or-behind-gland" });
    const facts = (...roles: PreparedCase["volumes"]) => ({ roles, labels: {} });
    expect(strict.missing(facts("t2w", "rectum"))).toBeNull();
    expect(strict.missing(facts("t2w", "gland"))).toMatch(/no rectum mask.*rectum-or-behind-gland/);
    expect(strict.missing(facts("rectum"))).toMatch(/T2W/);
    expect(lenient.missing(facts("t2w", "gland"))).toBeNull();
    expect(lenient.missing(facts("t2w", "rectum"))).toBeNull();
    expect(lenient.missing(facts("t2w"))).toMatch(/neither a rectum mask nor a gland mask/);
  });

  it("takes a rectum mask that is empty in the crop for none, and starts behind the gland where the study says so", async () => {
    const manifest = await readManifest(join(folder, "cohort", "manifest.csv"));
    const { cases: prepared } = await prepareCohort(
      { ...manifest, cases: manifest.cases.slice(0, 1) },
      { voxels: [16, 16, 12], crop: { around: "gland", fieldOfView: [10, 20, 20] } }, // the rectum lies behind it
      { cache: join(folder, "cache") },
    );
    const volumes = await openCase(prepared[0] as PreparedCase, "cpu");
    using rectum = await volumes.load("rectum");
    expect((await floats(rectum)).every((value) => value === 0)).toBe(true);
    expect(volumes.emptyMasks).toContain("rectum");
    expect(volumes.emptyMasks).not.toContain("gland");

    const lenient = { ...defaults, source: "rectum-or-behind-gland" as const };
    expect(distortionCorrection(defaults).missing(volumes)).toMatch(
      /empty in the crop.*rectum-or-behind-gland/,
    );
    expect(distortionCorrection(lenient).missing(volumes)).toBeNull();
    expect(distortionCorrection(lenient).missing({ ...volumes, emptyMasks: ["rectum", "gland"] })).toMatch(
      /neither a rectum mask nor a gland mask/,
    );
    const { emptyMasks: _, ...without } = volumes;
    const withoutRectum = { ...without, roles: volumes.roles.filter((role) => role !== "rectum") };
    using field = await drawField(volumes, lenient, randomStream(8, "empty"));
    using behind = await drawField(withoutRectum, lenient, randomStream(8, "empty"));
    expect(await floats(field)).toEqual(await floats(behind));
    await expect(drawField(volumes, defaults, randomStream(8, "empty"))).rejects.toMatchObject({
      code: "BAD_INPUT",
    });
  });

  it("lets the field start behind the gland where the study says so", async () => {
    const [prepared] = cases;
    const without = { ...prepared, volumes: prepared.volumes.filter((role) => role !== "rectum") };
    const volumes = await openCase(without, "cpu");
    const lenient = { ...defaults, source: "rectum-or-behind-gland" as const };
    using field = await drawField(volumes, lenient, randomStream(3, "behind"));
    using gland = await volumes.load("gland");
    const [values, mask] = [await floats(field), await floats(gland)];
    const shape = gland.shape as Triple;
    const voxels = countOf(shape);
    const component = values.slice(voxels, 2 * voxels);
    expect(steepest(component, shape, 1)).toBeGreaterThanOrEqual(0.1);

    const inside = [...mask.keys()].filter((n) => mask[n] > 0.5).map((n) => indexOf(shape, n));
    const back = Math.max(...inside.map(([, j]) => j));
    const front = Math.min(...inside.map(([, j]) => j));
    const meanOfRow = (row: number) => {
      const those = [...component.keys()].filter((n) => indexOf(shape, n)[1] === row);
      return those.reduce((sum, n) => sum + Math.abs(component[n]), 0) / those.length;
    };
    expect(meanOfRow(back + 1)).toBeGreaterThan(2 * meanOfRow(Math.max(front - 4, 0)));
    await expect(drawField(volumes, defaults, randomStream(3, "behind"))).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("rectum-or-behind-gland"),
    });
  });

  it("is judged by SSIM, and pictured at the slice that is distorted most", async () => {
    const task = distortionCorrection(defaults);
    const volumes = await openCase(cases[0], "cpu");
    using sample = await task.sample(volumes, 1, randomStream(4, "picture"));
    using perfect = await Tensor.gather([sample.target], [0]);
    using batch = await Tensor.gather([sample.target], [0]);
    const [judgement] = await task.judge(perfect, batch);
    expect(judgement.value).toBeCloseTo(1, 9);
    expect(task.assess([{ value: 0.5 }, { value: 1 }], [])?.value).toBe(0.75);

    using picture = await task.picture(sample, perfect);
    const [input, target] = [await floats(sample.input), await floats(sample.target)];
    const depth = sample.target.shape[1];
    const size = target.length / depth;
    const difference = (slice: number) => {
      let sum = 0;
      for (let n = slice * size; n < (slice + 1) * size; n++) sum += Math.abs(input[n] - target[n]);
      return sum;
    };
    const all = Array.from({ length: depth }, (_, slice) => difference(slice));
    expect(all[picture.slice]).toBe(Math.max(...all));
    expect(await floats(picture.target)).toEqual(
      target.slice(picture.slice * size, (picture.slice + 1) * size),
    );
    expect(await floats(picture.input)).toEqual(
      input.slice(picture.slice * size, (picture.slice + 1) * size),
    );
    expect(picture.prediction.shape).toEqual(picture.target.shape);
  });
});

describe.skipIf(sharedMissing)(
  "distortion correction of patients (needs the shared folder beside the checkout)",
  () => {
    it("has no rectum mask to start from: every case is left out, or its field starts behind the gland", async () => {
      const prepared = await prepareCohort(
        await readManifest(shared("data/prostate/manifest.csv")),
        { voxels: [32, 32, 12], crop: { around: "gland", fieldOfView: [110, 110, 66] } },
        { cache: join(folder, "cache") },
      );
      expect(prepared.cases.length).toBeGreaterThan(0);
      const lenient = { ...defaults, source: "rectum-or-behind-gland" as const };
      for (const one of prepared.cases) {
        const volumes = await openCase(one, "cpu");
        expect(distortionCorrection(defaults).missing(volumes)).toMatch(/no rectum mask/);
        expect(distortionCorrection(lenient).missing(volumes)).toBeNull();
        using field = await drawField(volumes, lenient, randomStream(6, one.id));
        const voxels = countOf([12, 32, 32]);
        const component = (await floats(field)).slice(voxels, 2 * voxels);
        expect(steepest(component, [12, 32, 32], 1)).toBeGreaterThanOrEqual(0.1);
        using sample = await distortionCorrection(lenient).sample(volumes, 1, randomStream(6, one.id));
        expect(await floats(sample.input)).not.toEqual(await floats(sample.target));
      }
    });
  },
);
