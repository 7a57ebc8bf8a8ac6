import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type RandomStream, randomStream } from "../dist/common/random.js";
import { changeIntensities, type Motion, moveVolume } from "../dist/native/augmentation.js";
import { setThreads } from "../dist/native/runtime.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { collate } from "../dist/study/evaluate.js";
import { type TrainingBatches, trainingBatch } from "../dist/study/training-batch.js";
import {
  type Augmentation,
  augmentationInWords,
  augmentationSchema,
  drawIntensities,
  drawMotion,
  movedCase,
} from "../dist/tasks/augmentation.js";
import { type CaseVolumes, openCase, type VolumeRole } from "../dist/tasks/case-volumes.js";
import { type TaskSpec, taskOf } from "../dist/tasks/index.js";
import type { Task } from "../dist/tasks/task.js";
import { hashFill } from "./hash-fill.js";

type Triple = readonly [number, number, number];

/** The definition, voxel by voxel: where each voxel of the result comes from; 0 where from beyond the volume. */
function movedByLoops(values: ArrayLike<number>, [depth, height, width]: Triple, motion: Motion): number[] {
  const result: number[] = [];
  const source = (index: number, axis: number, extent: number): number | null => {
    const before = index - (motion.shift[axis] as number);
    if (before < 0 || before >= extent) return null;
    return motion.flipped.includes(axis) ? extent - 1 - before : before;
  };
  for (let volume = 0; volume < values.length; volume += depth * height * width)
    for (let k = 0; k < depth; k++)
      for (let j = 0; j < height; j++)
        for (let i = 0; i < width; i++) {
          const [from, row, column] = [source(k, 0, depth), source(j, 1, height), source(i, 2, width)];
          result.push(
            from === null || row === null || column === null
              ? 0
              : (values[volume + (from * height + row) * width + column] as number),
          );
        }
  return result;
}

const list = async (tensor: Tensor): Promise<number[]> => Array.from(await tensor.toArray(), Number);

beforeAll(() => setThreads(1));
afterEach(() => expect(Tensor.live).toBe(0));

describe("a volume that is moved", () => {
  const extents = [3, 5, 4] as const;
  const values = Float32Array.from(hashFill("moved", 2 * 3 * 5 * 4));

  it.each<[string, Motion]>([
    ["not at all", { flipped: [], shift: [0, 0, 0] }],
    ["by a flip along one axis", { flipped: [2], shift: [0, 0, 0] }],
    ["by flips along all axes", { flipped: [0, 1, 2], shift: [0, 0, 0] }],
    ["by a shift", { flipped: [], shift: [1, -2, 3] }],
    ["by a flip, then a shift", { flipped: [1, 2], shift: [-2, 1, -1] }],
    ["to where one voxel is left in sight", { flipped: [0], shift: [2, -4, 3] }],
    ["out of sight", { flipped: [2], shift: [0, 5, 1] }],
    ["far out of sight", { flipped: [], shift: [0, 0, -100] }],
  ])("is what loops make of it, to the bit: %s", async (_, motion) => {
    for (const shape of [[...extents], [2, ...extents]]) {
      const own = values.subarray(0, shape.length === 3 ? 60 : 120);
      using volume = Tensor.from(own, shape);
      using moved = await moveVolume(volume, motion);
      expect(moved.shape).toEqual(shape);
      expect(await list(moved)).toEqual(movedByLoops(own, extents, motion));
      expect(await list(volume)).toEqual([...own]); // the one that is kept for the next epoch
    }
  });

  it("is refused along an axis that it does not have", async () => {
    using volume = Tensor.from(values, [2, ...extents]);
    await expect(moveVolume(volume, { flipped: [3], shift: [0, 0, 0] })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/axes 0 to 2 .+ received 3/),
    });
    using slice = Tensor.from(values, [30, 4]);
    await expect(moveVolume(slice, { flipped: [2], shift: [0, 0, 0] })).rejects.toThrow(/D, H, W/);
  });
});

describe("intensities that are changed", () => {
  const shape = [2, 3, 2, 2, 5];
  const values = Float32Array.from(hashFill("intensities", 120));
  const changes = [
    [1.25, 0.1],
    [1, 0],
    [0.75, -0.2],
    [1, -0.05],
    [0.9, 0],
    [1, 0],
  ].map(([gain, offset]) => ({ gain: gain as number, offset: offset as number }));

  it("are gain x + offset, channel by channel of each sample; a gain of 1 and no offset leave every bit", async () => {
    using batch = Tensor.from(values, shape);
    using changed = await changeIntensities(batch, changes);
    const found = await list(changed);
    values.forEach((value, index) => {
      const { gain, offset } = changes[Math.floor(index / 20)] as (typeof changes)[number];
      if (gain === 1 && offset === 0) expect(found[index]).toBe(value);
      else expect(Math.abs((found[index] as number) - (gain * value + offset))).toBeLessThan(1e-6);
    });
  });

  it("are refused for another number of channels, and where they are no numbers", async () => {
    using batch = Tensor.from(values, shape);
    await expect(changeIntensities(batch, changes.slice(1))).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/6 gains and offsets.+received 5/),
    });
    const broken = [...changes.slice(1), { gain: Number.NaN, offset: 0 }];
    await expect(changeIntensities(batch, broken)).rejects.toThrow(/finite/);
  });
});

const settingsOf = (input: object): Augmentation => augmentationSchema.parse(input);
const drawOf = (index: number) => (what: string) => randomStream(1, "augmentation", what, index);

describe("what is drawn for a case", () => {
  const draws = 2000;
  const all = settingsOf({
    flip: ["left-right", "inferior-superior"],
    flipProbability: 0.25,
    shift: { "left-right": 3, "anterior-posterior": 1 },
    intensity: { scale: 0.2, offset: 0.1 },
  });
  const motions = (settings: Augmentation) =>
    Array.from({ length: draws }, (_, index) => drawMotion(settings, drawOf(index)));

  it("flips each axis that is named with its probability, and no other", () => {
    const drawn = motions(all);
    const share = (axis: number) => drawn.filter(({ flipped }) => flipped.includes(axis)).length / draws;
    // Five standard deviations of 2,000 draws; the streams are fixed.
    for (const axis of [0, 2]) expect(Math.abs(share(axis) - 0.25)).toBeLessThan(0.05);
    expect(share(1)).toBe(0);
    const both = drawn.filter(({ flipped }) => flipped.length === 2).length / draws;
    expect(Math.abs(both - 0.0625)).toBeLessThan(0.03); // each by itself
  });

  it("shifts by every whole number of voxels up to the largest, equally often, along the axes that are named", () => {
    const drawn = motions(all);
    for (const [axis, most] of [0, 1, 3].entries()) {
      const counts = new Map<number, number>();
      for (const { shift } of drawn) {
        const along = shift[axis] as number;
        counts.set(along, (counts.get(along) ?? 0) + 1);
      }
      expect([...counts.keys()].sort((a, b) => a - b)).toEqual(
        Array.from({ length: 2 * most + 1 }, (_, index) => index - most),
      );
      for (const count of counts.values())
        expect(Math.abs(count / draws - 1 / (2 * most + 1))).toBeLessThan(0.05);
    }
    const everywhere = motions(settingsOf({ shift: 2 }));
    for (const axis of [0, 1, 2]) expect(new Set(everywhere.map(({ shift }) => shift[axis])).size).toBe(5);
  });

  it("changes intensities within their limits, each image by itself", () => {
    const drawn = Array.from({ length: draws }, (_, index) => drawIntensities(all, 2, drawOf(index)));
    const gains = drawn.flat().map(({ gain }) => gain);
    const offsets = drawn.flat().map(({ offset }) => offset);
    expect(Math.min(...gains)).toBeGreaterThanOrEqual(0.8);
    expect(Math.min(...gains)).toBeLessThan(0.81);
    expect(Math.max(...gains)).toBeLessThan(1.2);
    expect(Math.max(...gains)).toBeGreaterThan(1.19);
    expect(Math.min(...offsets)).toBeGreaterThanOrEqual(-0.1);
    expect(Math.max(...offsets)).toBeLessThan(0.1);
    expect(Math.max(...offsets)).toBeGreaterThan(0.099);
    expect(drawn.every(([first, second]) => first?.gain !== second?.gain)).toBe(true);
  });

  it("follows from the stream's name, whatever else is asked for", () => {
    expect(motions(all)).toEqual(motions(all));
    const flips = (settings: Augmentation) => motions(settings).map(({ flipped }) => flipped.includes(2));
    const alone = settingsOf({ flip: ["left-right"], flipProbability: 0.25 });
    expect(flips(alone)).toEqual(flips(all));
    const shifts = (settings: Augmentation) => motions(settings).map(({ shift }) => shift[2]);
    expect(shifts(settingsOf({ shift: 3 }))).toEqual(shifts(all));
  });
});

describe("augmentation in words", () => {
  it("names what is changed, and nothing else", () => {
    expect(augmentationInWords(settingsOf({ flip: ["left-right"] }))).toBe(
      "flipped left-right with probability 0.5",
    );
    const all = settingsOf({
      flip: ["left-right", "anterior-posterior"],
      flipProbability: 0.25,
      shift: { "left-right": 6, "inferior-superior": 1 },
      intensity: { scale: 0.1, offset: 0.05 },
    });
    expect(augmentationInWords(all)).toBe(
      "flipped left-right, anterior-posterior with probability 0.25; shifted by up to 1 voxel inferior-superior, " +
        "6 voxels left-right; intensities of the input scaled by 0.9 to 1.1; intensities of the input offset by up to 0.05",
    );
    expect(augmentationInWords(settingsOf({ shift: 4 }))).toBe("shifted by up to 4 voxels along each axis");
  });
});

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
  t2w: Float32Array.from(hashFill("t2w", size), (value) => 0.5 + 0.5 * value),
  adc: Float32Array.from(hashFill("adc", size), (value) => 0.5 + 0.5 * value),
  hbv: Float32Array.from(hashFill("hbv", size), (value) => 0.5 + 0.5 * value),
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
  segmentation: taskOf({ kind: "lesion-segmentation", alpha: 0.3, beta: 0.7, channelFill }),
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
  return openCase({ id, patient: id, pirads: 4, file, volumes, spacing: [3, 1, 1] }, "cpu");
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
    augmentation: input === null ? null : settingsOf(input),
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
        const drawn = drawIntensities(settingsOf(settings), count, (what) =>
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
    const task = taskOf({ kind: "lesion-segmentation", alpha: 0.3, beta: 0.7, channelFill: "zeros" });
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
