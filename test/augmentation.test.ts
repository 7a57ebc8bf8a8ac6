import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { changeIntensities, type Motion, moveVolume } from "../dist/native/augmentation.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import {
  type Augmentation,
  augmentationInWords,
  augmentationSchema,
  drawIntensities,
  drawMotion,
} from "../dist/tasks/augmentation.js";
import { hashFill } from "./hash-fill.js";
import { movedByLoops } from "./moved-by-loops.js";

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
        "6 voxels left-right; intensities of the input scaled by up to ±10 %; intensities of the input offset by up to 0.05",
    );
    expect(augmentationInWords(settingsOf({ shift: 4 }))).toBe("shifted by up to 4 voxels along each axis");
  });
});
