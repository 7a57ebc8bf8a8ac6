import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { drawView, viewSizes } from "../dist/models/pretraining/self-distillation.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { cropSlices, type SliceCrop } from "../dist/native/volumes.js";
import { hashFill } from "./hash-fill.js";

setThreads(1);

const [count, depth, height, width] = [2, 3, 7, 9] as const;
const voxels = Float32Array.from(hashFill("crops", count * depth * height * width));
const at = (volume: number, slice: number, row: number, column: number): number =>
  voxels[((volume * depth + slice) * height + row) * width + column] as number;
const whole = { top: 0, left: 0, height, width } as const;

async function cropped(crops: SliceCrop[], options: Parameters<typeof cropSlices>[2]): Promise<Float32Array> {
  using volumes = Tensor.from(voxels, [count, 1, depth, height, width]);
  using result = await cropSlices(volumes, crops, options);
  expect(result.shape).toEqual([crops.length, options.adjacent ?? 1, ...options.size]);
  return (await result.toArray()) as Float32Array;
}

/** Bilinear, as written down: the value at the centre of each pixel of the result, edges repeated. */
function bilinear(crop: Required<SliceCrop>, [tall, wide]: readonly [number, number]): number[] {
  const result: number[] = [];
  const place = (index: number, size: number, extent: number) => {
    const position = Math.min(extent - 1, Math.max(0, ((index + 0.5) * extent) / size - 0.5));
    const low = Math.floor(position);
    return { low, high: Math.min(low + 1, extent - 1), share: position - low };
  };
  for (let row = 0; row < tall; row++) {
    for (let column = 0; column < wide; column++) {
      const y = place(row, tall, crop.height);
      const x = place(crop.flipped ? wide - 1 - column : column, wide, crop.width);
      const value = (r: number, c: number) => at(crop.volume, crop.slice, crop.top + r, crop.left + c);
      const along = (r: number) => (1 - x.share) * value(r, x.low) + x.share * value(r, x.high);
      result.push(crop.gain * ((1 - y.share) * along(y.low) + y.share * along(y.high)) + crop.offset);
    }
  }
  return result;
}

describe("crops of slices", () => {
  it("of a whole slice at its own size are the slice, to the bit", async () => {
    const found = await cropped([{ volume: 1, slice: 2, ...whole }], { size: [height, width] });
    expect([...found]).toEqual([...voxels.subarray((count * depth - 1) * height * width)]);
  });

  it("are enlarged bilinearly, exchanged left to right and changed in brightness", async () => {
    const crops: Required<SliceCrop>[] = [
      { volume: 0, slice: 1, top: 1, left: 2, height: 4, width: 5, flipped: false, gain: 1, offset: 0 },
      { volume: 1, slice: 0, top: 2, left: 0, height: 3, width: 4, flipped: true, gain: 1.25, offset: -0.1 },
    ];
    const size = [8, 11] as const;
    const found = await cropped(crops, { size });
    const wanted = crops.flatMap((crop) => bilinear(crop, size));
    wanted.forEach((value, index) => {
      expect(Math.abs((found[index] as number) - value)).toBeLessThan(1e-6);
    });
  });

  it("are made smaller with the mean kept: each pixel takes in all that it covers", async () => {
    // A chequerboard of single voxels: nearest or plain bilinear sampling would show one of its colours, or stripes.
    const board = Float32Array.from({ length: 16 * 16 }, (_, index) => (index + Math.floor(index / 16)) % 2);
    using volumes = Tensor.from(board, [1, 1, 1, 16, 16]);
    using small = await cropSlices(
      volumes,
      [{ volume: 0, slice: 0, top: 0, left: 0, height: 16, width: 16 }],
      {
        size: [4, 4],
      },
    );
    for (const value of (await small.toArray()) as Float32Array)
      expect(Math.abs(value - 0.5)).toBeLessThan(0.02);
  });

  it("show adjacent slices as channels, the first and last one repeated beyond the volume", async () => {
    const found = await cropped(
      [0, 2].map((slice) => ({ volume: 0, slice, ...whole })),
      { size: [height, width], adjacent: 3 },
    );
    const slice = (index: number) => [
      ...voxels.subarray(index * height * width, (index + 1) * height * width),
    ];
    expect([...found]).toEqual([0, 0, 1, 1, 2, 2].flatMap(slice));
  });

  it("of masks take the nearest voxel, whatever gain and offset say", async () => {
    const mask = new Float32Array(4 * 4);
    mask[5] = 1;
    using volumes = Tensor.from(mask, [1, 1, 1, 4, 4]);
    const crop = { volume: 0, slice: 0, top: 0, left: 0, height: 2, width: 2, gain: 3, offset: 9 };
    using found = await cropSlices(volumes, [crop], { size: [4, 4], mask: true });
    expect([...((await found.toArray()) as Float32Array)]).toEqual([
      ...[0, 0, 0, 0],
      ...[0, 0, 0, 0],
      ...[0, 0, 1, 1],
      ...[0, 0, 1, 1],
    ]);
  });

  it.each([
    ["a slice that is not there", { volume: 0, slice: depth, ...whole }, /slice 3 of volume 0/],
    ["a volume that is not there", { volume: 2, slice: 0, ...whole }, /volume 2/],
    ["a box that reaches out", { volume: 0, slice: 0, ...whole, left: 1 }, /inside of 7 x 9/],
    ["an empty box", { volume: 0, slice: 0, ...whole, height: 0 }, /inside of 7 x 9/],
    ["a gain that is no number", { volume: 0, slice: 0, ...whole, gain: Number.NaN }, /finite/],
  ])("refuse %s", async (_, crop, message) => {
    await expect(cropped([crop], { size: [4, 4] })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(message),
    });
  });

  it("refuse an even number of adjacent slices, and none at all", async () => {
    await expect(cropped([{ volume: 0, slice: 0, ...whole }], { size: [4, 4], adjacent: 2 })).rejects.toThrow(
      /odd/,
    );
    await expect(cropped([], { size: [4, 4] })).rejects.toThrow(/at least one crop/);
  });
});

describe("the views that self-distillation draws", () => {
  it("lie in their slice, show the share of it that was asked for, and follow from the stream's name", () => {
    const views = (seed: number) => {
      const draw = randomStream(seed, "views");
      return Array.from({ length: 500 }, () =>
        drawView({ volume: 0, slice: 1 }, [40, 60], [0.1, 0.5], 0.2, { mean: 3, deviation: 2 }, draw),
      );
    };
    const drawn = views(1);
    expect(views(1)).toEqual(drawn);
    expect(views(2)).not.toEqual(drawn);
    for (const { top, left, height: tall, width: wide, gain, offset } of drawn) {
      expect(Math.min(top, left)).toBeGreaterThanOrEqual(0);
      expect(top + tall).toBeLessThanOrEqual(40);
      expect(left + wide).toBeLessThanOrEqual(60);
      const share = (tall * wide) / (40 * 60);
      expect(share).toBeGreaterThan(0.09);
      expect(share).toBeLessThan(0.53);
      expect(Math.abs(gain - 1)).toBeLessThanOrEqual(0.2);
      // The image's mean moves by at most half the jitter, in its standard deviations.
      expect(Math.abs(gain * 3 + offset - 3)).toBeLessThanOrEqual(0.1 * 2 + 1e-9);
    }
    const flipped = drawn.filter((view) => view.flipped).length;
    expect(flipped).toBeGreaterThan(200);
    expect(flipped).toBeLessThan(300);
  });

  it("are as large as whole patches, local ones at DINO's 96 of 224", () => {
    expect(viewSizes([224, 224], 16)).toEqual({ global: [224, 224], local: [96, 96] });
    expect(viewSizes([200, 100], 14)).toEqual({ global: [210, 112], local: [84, 42] });
    expect(viewSizes([8, 8], 8)).toEqual({ global: [8, 8], local: [8, 8] });
  });
});
