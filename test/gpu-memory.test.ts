import { describe, expect, it } from "vitest";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { Study } from "../dist/study/config/schema.js";
import { largeCells } from "../dist/study/plan/check-memory.js";
import { DevicePool, freeMemoryOf, memoryWith } from "../dist/study/plan/devices.js";
import { planStudy } from "../dist/study/plan/plan.js";

const paperOn = (device: string): Study => {
  const answer = resolveStudy(
    { preset: "paper", manifests: { promis: "promis.csv", fewShot: "few-shot.csv" }, execution: { device } },
    "/nowhere",
  );
  if ("faults" in answer) throw new Error(JSON.stringify(answer.faults));
  return answer.study;
};

describe("The volumes that stay on a GPU", () => {
  it("count in a cell's memory: one of each column of each case, up to a quarter of what is free", () => {
    const cell = planStudy(paperOn("cuda:0")).cells.find(
      ({ task, comparator }) => task === "super-resolution" && comparator === "specialised",
    );
    // One T2W of 200 x 200 x 96 float32 voxels for each of 555 + 37 + 148 cases.
    const all = 4 * 200 * 200 * 96 * 740;
    expect(cell?.volumeBytes).toBe(all);
    const { memoryBytes } = cell as { memoryBytes: number };
    expect(memoryWith({ memoryBytes, volumeBytes: all }, 80e9)).toBe(memoryBytes + all);
    expect(memoryWith({ memoryBytes, volumeBytes: all }, 40e9)).toBe(memoryBytes + 10e9);
  });

  it("are mapped files on a CPU, and count nothing there", () => {
    for (const cell of planStudy(paperOn("cpu")).cells) {
      expect(cell.volumeBytes).toBeUndefined();
      expect(memoryWith(cell, 1e9)).toBe(cell.memoryBytes);
    }
  });

  it("make a cell wait that would otherwise fit beside another", () => {
    const pool = () => new DevicePool(["cuda:0"], () => 40e9);
    const bare = { memoryBytes: 15e9 };
    const bound = { ...bare, volumeBytes: 6e9 };
    const first = pool();
    expect([first.take({ id: "a", ...bare }), first.take({ id: "b", ...bare })]).toEqual([
      "cuda:0",
      "cuda:0",
    ]);
    const second = pool();
    expect([second.take({ id: "a", ...bound }), second.take({ id: "b", ...bound })]).toEqual([
      "cuda:0",
      null,
    ]);
  });

  it("make a cell too large for a device that would otherwise hold it", () => {
    const execution = { execution: { device: "cuda:0", devices: ["cuda:0"] } } as unknown as Study;
    const cell = { id: "a", memoryBytes: 9e9, volumeBytes: 50e9 };
    expect(largeCells(execution, [{ id: "a", memoryBytes: 9e9 }], () => 10e9)).toEqual([]);
    expect(largeCells(execution, [cell], () => 10e9)).toMatchObject([{ id: "a", memoryBytes: 11.5e9 }]);
  });
});

describe("The free memory of a GPU", () => {
  it("is what its driver says, of the first where none is named", () => {
    const asked: string[] = [];
    const driver = (device: string) => {
      asked.push(device);
      return 3e9;
    };
    expect([freeMemoryOf("cuda", driver), freeMemoryOf("cuda:1", driver)]).toEqual([3e9, 3e9]);
    expect(asked).toEqual(["cuda:0", "cuda:1"]);
  });

  it("is not known of one that is not here", () => {
    expect(freeMemoryOf("cuda:0")).toBeNull();
  });
});
