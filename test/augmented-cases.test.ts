import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type CaseVolumes, openCase, type VolumeRole } from "../dist/cohort/case-volumes.js";
import { type RandomStream, randomStream } from "../dist/common/random.js";
import type { Motion } from "../dist/native/augmentation.js";
import { setThreads } from "../dist/native/runtime.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { collate } from "../dist/study/cell/batch.js";
import { type TrainingBatches, trainingBatch } from "../dist/study/cell/training-batch.js";
import { augmentationSchema, drawIntensities, movedCase } from "../dist/tasks/augmentation.js";
import { type TaskSpec, taskOf } from "../dist/tasks/index.js";
import type { Task } from "../dist/tasks/task.js";
import { hashFill } from "./hash-fill.js";
import { movedByLoops } from "./moved-by-loops.js";

const list = async (tensor: Tensor): Promise<number[]> => Array.from(await tensor.toArray(), Number);

beforeAll(() => setThreads(1));
afterEach(() => expect(Tensor.live).toBe(0));

/** A volume whose parts all differ, and masks of boxes in it: [D, H, W]. */
const extents = [12, 16, 18] as const;
const size = 12 * 16 * 18;
const box = (k: number, j: number, i: number, edge: number, value: number) =>
  Float32Array.from({ length: size }, (_, index) => {
    const place = [Math.floor(index / 288), Math.floor(index / 18) % 16, index % 18];
    return [k, j, i].every(
      (low, axis) => (place[axis] as number) >= low && (place[axis] as number) < low + edge,
    )
      ? value
      : 0;
  });
const images: Partial<Record<VolumeRole, Float32Array>> = {
  t2w: new Float32Array(hashFill("t2w", size).map((value) => 0.5 + 0.5 * value)),
  adc: new Float32Array(hashFill("adc", size).map((value) => 0.5 + 0.5 * value)),
  hbv: new Float32Array(hashFill("hbv", size).map((value) => 0.5 + 0.5 * value)),
  lesion: box(3, 5, 10, 4, 3),
  gland: box(2, 3, 5, 8, 1),
  rectum: box(2, 12, 7, 4, 1),
};
const motion: Motion = { flipped: [2], shift: [1, -2, 3] };

const channelFill = "repeat";
const diffusion = {
  noiseSchedule: "cosine",
  timeSteps: 100,
  prediction: "noise",
  sampler: "ddim",
  samplingSteps: 10,
  ssimWeight: 1,
  intensityBins: null,
} as const;
const superResolution = {
  kind: "super-resolution",
  axis: "depth",
  factor: 2,
  downsampling: "average",
  channelFill,
  strategies: ["direct", "diffusion"],
  diffusion,
} satisfies TaskSpec;
const distortionCorrection = {
  kind: "distortion-correction",
  maximumDisplacement: 6,
  decay: 15,
  smoothness: 30,
  phaseEncoding: "anterior-posterior",
  source: "rectum",
  withoutMask: "left-out",
  answers: "image",
  intensityBins: null,
  channelFill,
  strategies: ["direct", "diffusion"],
  diffusion,
} satisfies TaskSpec;
const tasks: Record<string, Task> = {
  classification: taskOf({
    kind: "pirads-classification",
    positiveFrom: 3,
    classWeights: "none",
    channelFill,
  }),
  segmentation: taskOf({ kind: "lesion-segmentation", alpha: 0.3, beta: 0.7, prior: null, channelFill }),
  "super-resolution": taskOf(superResolution),
  "super-resolution by diffusion": taskOf(superResolution, "diffusion"),
  "distortion correction": taskOf(distortionCorrection),
  "distortion correction by diffusion": taskOf(distortionCorrection, "diffusion"),
  translation: taskOf({ kind: "modality-translation", ...diffusion, channelFill }),
};
const names = Object.keys(tasks);
const taskNamed = (name: string): Task => tasks[name] as Task;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-augmentation-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function openedCase(id = "one"): Promise<CaseVolumes> {
  const file = join(folder, "case.safetensors");
  const tensors = Object.entries(images).map(
    ([role, data]) => [role, Tensor.from(data as Float32Array, extents)] as const,
  );
  await writeSafetensors(file, Object.fromEntries(tensors));
  for (const [, tensor] of tensors) tensor.dispose();
  const volumes = Object.keys(images) as VolumeRole[];
  return openCase({ id, patient: id, labels: { pirads: 4 }, file, volumes, spacing: [3, 1, 1] }, "cpu");
}

/** What a task makes of a case: its channels, as lists. */
async function sampled(name: string, volumes: CaseVolumes) {
  const task = taskNamed(name);
  using sample = await task.sample(volumes, task.shape.channels, randomStream(5, "sample"));
  const [values, target] = [await list(sample.input), await list(sample.target)];
  const length = values.length / task.shape.channels;
  const channels = task.shape.channels;
  return {
    channels: Array.from({ length: channels }, (_, at) => values.slice(at * length, (at + 1) * length)),
    target,
    reference: sample.reference ? await list(sample.reference) : null,
  };
}

const byLoops = (values: ArrayLike<number>): number[] => movedByLoops(values, extents, motion);
/** The mean of each pair of slices, in float32. */
const coarsened = (values: readonly number[]): number[] => {
  const slice = 16 * 18;
  return Array.from({ length: size / 2 }, (_, index) => {
    const at = 2 * slice * Math.floor(index / slice) + (index % slice);
    return Math.fround(Math.fround((values[at] as number) + (values[at + slice] as number)) / 2);
  });
};

describe("a case that is moved", () => {
  it("is the case itself where nothing moves", async () => {
    const volumes = await openedCase();
    expect(movedCase(volumes, { flipped: [], shift: [0, 0, 0] })).toBe(volumes);
  });

  it("shows a classifier its image moved, with the same class", async () => {
    const volumes = await openedCase();
    const before = await sampled("classification", volumes);
    const after = await sampled("classification", movedCase(volumes, motion));
    expect(after.channels).toEqual([byLoops(images.t2w as Float32Array)]);
    expect(after.target).toEqual(before.target);
  });

  it("has its images and its lesion moved alike", async () => {
    const volumes = await openedCase();
    const before = await sampled("segmentation", volumes);
    const after = await sampled("segmentation", movedCase(volumes, motion));
    expect(after.channels).toEqual(before.channels.map(byLoops));
    expect(after.target).toEqual(byLoops(before.target));
    expect(after.target.reduce((sum, value) => sum + value)).toBe(64); // all of the lesion is still in sight
  });

  it("has the coarse slices of super-resolution made of what it became", async () => {
    const after = await sampled("super-resolution", movedCase(await openedCase(), motion));
    const moved = byLoops(images.t2w as Float32Array);
    expect(after.target).toEqual(moved);
    expect(after.channels).toEqual([coarsened(moved)]);
  });

  it.each([
    ["that stays in sight", motion],
    ["that a shift moves out of sight", { flipped: [2], shift: [0, 15, 0] } as Motion],
  ])(
    "is distorted as the anatomy was, from a rectum %s, and moved then, as its target is",
    async (_, how) => {
      const volumes = await openedCase();
      const before = await sampled("distortion correction", volumes);
      expect(before.channels[0]).not.toEqual(before.target); // something is distorted
      const after = await sampled("distortion correction", movedCase(volumes, how));
      expect(after.channels).toEqual(before.channels.map((values) => movedByLoops(values, extents, how)));
      expect(after.target).toEqual(movedByLoops(before.target, extents, how));
    },
  );

  it.each([
    ["translation", images.t2w as Float32Array, images.hbv as Float32Array],
    ["distortion correction by diffusion", null, images.t2w as Float32Array],
    ["super-resolution by diffusion", null, images.t2w as Float32Array],
  ])("leaves noise and time of a diffusion as they are drawn: %s", async (name, condition, image) => {
    const volumes = await openedCase();
    const before = await sampled(name, volumes);
    const after = await sampled(name, movedCase(volumes, motion));
    expect(after.target).toEqual(before.target); // the noise
    expect(after.channels[2]).toEqual(before.channels[2]); // the time step
    expect(after.reference).toEqual(byLoops(image));
    if (condition !== null) expect(after.channels[0]).toEqual(byLoops(condition));
    // What is noisy is the moved image: signal and noise are weighed as they were.
    const [first, noise] = [before.reference as number[], before.target];
    const reference = after.reference as number[];
    const noisy = before.channels[1] as number[];
    const [a, b] = [0, 1].map((index) => 2 * (first[index] as number) - 1) as [number, number];
    const [x, y] = [noise[0] as number, noise[1] as number];
    const [p, q] = [noisy[0] as number, noisy[1] as number];
    const signal = (p * y - q * x) / (a * y - b * x); // the two weights, from two voxels
    const spread = (a * q - b * p) / (a * y - b * x);
    (after.channels[1] as number[]).forEach((value, index) => {
      const wanted = signal * (2 * (reference[index] as number) - 1) + spread * (noise[index] as number);
      expect(Math.abs(value - wanted)).toBeLessThan(1e-3);
    });
  });
});

describe("a training batch", () => {
  const stream = (...name: (string | number)[]): RandomStream => randomStream(9, "train", ...name);
  const batchesOf = (name: string, input: object | null, channels?: number): TrainingBatches => ({
    task: taskNamed(name),
    channels: channels ?? taskNamed(name).shape.channels,
    augmentation: input === null ? null : augmentationSchema.parse(input),
    kept: null,
    stream,
  });
  const made = async (batches: TrainingBatches, cases: CaseVolumes[], epoch: number) => {
    const { input, target } = await trainingBatch(batches, cases, epoch);
    using _input = input;
    using _target = target;
    return { input: await list(input), target: await list(target) };
  };
  const everything = { flip: ["left-right"], shift: 2, intensity: { scale: 0.2, offset: 0.1 } };

  it.each(names)("without augmentation is what the task makes of its cases, to the bit: %s", async (name) => {
    const cases = [await openedCase("one"), await openedCase("two")];
    const task = taskNamed(name);
    const samples = await Promise.all(
      cases.map((volumes) => task.sample(volumes, task.shape.channels, stream("case", 3, volumes.case))),
    );
    const { input, target } = await collate(samples);
    using _input = input;
    using _target = target;
    const found = await made(batchesOf(name, null), cases, 3);
    expect(found).toEqual({ input: await list(input), target: await list(target) });
  });

  it.each(names)(
    "with intensities changed has them changed in its images, and in nothing else: %s",
    async (name) => {
      const cases = [await openedCase("one"), await openedCase("two")];
      const channels = taskNamed(name).shape.channels + 1; // the first image once more
      const before = await made(batchesOf(name, null, channels), cases, 2);
      const settings = { intensity: everything.intensity };
      const after = await made(batchesOf(name, settings, channels), cases, 2);
      expect(after.target).toEqual(before.target);

      const length = before.input.length / (2 * channels);
      const isDiffusion = taskNamed(name).chance === "noise";
      const count = isDiffusion ? 1 : taskNamed(name).shape.channels;
      cases.forEach((volumes, row) => {
        const drawn = drawIntensities(augmentationSchema.parse(settings), count, (what) =>
          stream("augmentation", what, 2, volumes.case),
        );
        for (let channel = 0; channel < channels; channel++) {
          const image = channel === channels - 1 ? 0 : channel;
          const { gain, offset } = drawn[image] ?? { gain: 1, offset: 0 };
          const start = (row * channels + channel) * length;
          for (let index = start; index < start + length; index++) {
            const wanted = gain * (before.input[index] as number) + offset;
            if (Math.abs((after.input[index] as number) - wanted) > 1e-5)
              throw new Error(`channel ${channel}: ${after.input[index]} in place of ${wanted}`);
          }
          if (isDiffusion && image > 0)
            expect(after.input.slice(start, start + length)).toEqual(
              before.input.slice(start, start + length),
            );
        }
      });
      expect(after.input).not.toEqual(before.input);
    },
  );

  it("leaves channels at zero that a task fills with zeros", async () => {
    const task = taskOf({
      kind: "lesion-segmentation",
      alpha: 0.3,
      beta: 0.7,
      prior: null,
      channelFill: "zeros",
    });
    expect(task.imagesShown(4)).toEqual([0, 1, null, null]);
    const batches = { ...batchesOf("segmentation", everything, 3), task };
    const { input } = await made(batches, [await openedCase()], 1);
    expect(input.slice(2 * size)).toEqual(Array(size).fill(0));
    expect(input.slice(0, size)).not.toEqual(Array(size).fill(0));
  });

  it.each(names)("is drawn by epoch and case, whatever stands beside a case in it: %s", async (name) => {
    const [one, two] = [await openedCase("one"), await openedCase("two")];
    const batches = batchesOf(name, everything);
    const both = await made(batches, [one, two], 4);
    const [first, second] = [await made(batches, [one], 4), await made(batches, [two], 4)];
    expect(both.input).toEqual([...first.input, ...second.input]);
    expect(both.target).toEqual([...first.target, ...second.target]);
    expect((await made(batches, [one], 5)).input).not.toEqual(first.input);
    expect(second.input).not.toEqual(first.input);
  });
});
