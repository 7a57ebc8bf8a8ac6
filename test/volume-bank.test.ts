import { afterEach, describe, expect, it } from "vitest";
import { VolumeBank } from "../dist/cohort/volume-bank.js";
import { Tensor } from "../dist/native/tensor.js";

const shape = [2, 3, 4];
const bytes = 4 * 24;

/** Volumes whose values are their number, and how often each was made. */
function volumes(bank: VolumeBank) {
  const made: number[] = [];
  return {
    made,
    async first(number: number): Promise<number> {
      using volume = await bank.volume(`volume ${number}`, async () => {
        made.push(number);
        return Tensor.from(new Float32Array(24).fill(number), shape);
      });
      expect(volume.shape).toEqual(shape);
      return Number((await volume.toArray())[0]);
    },
  };
}

describe("a bank of volumes on a device", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it("makes each once, whatever becomes of the handles that it gives", async () => {
    using bank = new VolumeBank(2 * bytes);
    const { made, first } = volumes(bank);
    for (const number of [1, 2, 1, 1, 2]) expect(await first(number)).toBe(number);
    expect(made).toEqual([1, 2]);
  });

  it("holds as many as it has room for, and has the others made again", async () => {
    using bank = new VolumeBank(2 * bytes - 1);
    const { made, first } = volumes(bank);
    for (const number of [1, 2, 1, 2, 3]) expect(await first(number)).toBe(number);
    expect(made).toEqual([1, 2, 2, 3]);
    expect(Tensor.live).toBe(1);
  });

  it("holds a volume once that is asked for twice at the same time", async () => {
    using bank = new VolumeBank(10 * bytes);
    const { first } = volumes(bank);
    expect(await Promise.all([first(1), first(1), first(2)])).toEqual([1, 1, 2]);
    expect(Tensor.live).toBe(2);
  });

  it("has a volume made again that could not be made", async () => {
    using bank = new VolumeBank(bytes);
    await expect(bank.volume("volume 1", () => Promise.reject(new Error("gone")))).rejects.toThrow("gone");
    expect(await volumes(bank).first(1)).toBe(1);
  });

  it("lets go of all, and holds nothing more, once it is disposed", async () => {
    const bank = new VolumeBank(bytes);
    const { made, first } = volumes(bank);
    await first(1);
    bank[Symbol.dispose]();
    expect(Tensor.live).toBe(0);
    expect(await first(1)).toBe(1);
    expect(made).toEqual([1, 1]);
  });

  it("has no room on a CPU, where files are mapped", async () => {
    using bank = VolumeBank.on("cpu");
    const { made, first } = volumes(bank);
    await first(1);
    await first(1);
    expect(made).toEqual([1, 1]);
  });
});
