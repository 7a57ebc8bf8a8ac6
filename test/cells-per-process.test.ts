import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { runStudy } from "../dist/study/run/run.js";
import { readResults, tinyStudy, withoutCost, workers } from "./study-fixture.js";

let folder: string;

const study = (output: string, cellsPerProcess: number) =>
  tinyStudy(folder, output, {
    tasks: ["super-resolution"],
    training: { epochs: 2, learningRate: 1e-3 },
    execution: { jobs: 1, cellsPerProcess },
  });

const numbers = async (output: string) =>
  JSON.stringify(withoutCost(await readResults(join(folder, output))));

/** Runs a study; the processes that worked on its cells, by cell. */
async function processesOf(output: string, cellsPerProcess: number): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  await runStudy(study(output, cellsPerProcess), {
    onProgress: (event) => {
      if (event.kind !== "cell-started") return;
      const { id } = event.cell;
      const own = workers().find(({ command }) => command.includes(id));
      if (own) found.set(id, own.pid);
    },
  });
  return found;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-several-cells-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("cells that are worked on one after the other by one process", () => {
  it("have the numbers that each has in a process of its own", async () => {
    const alone = await processesOf("alone", 1);
    expect(alone.size).toBeGreaterThan(3);
    expect(new Set(alone.values()).size).toBe(alone.size);

    const together = await processesOf("together", 100);
    expect([...together.keys()].sort()).toEqual([...alone.keys()].sort());
    expect(new Set(together.values()).size).toBe(1);
    expect(await numbers("together")).toBe(await numbers("alone"));
  });

  it("are at most as many as are asked for", async () => {
    const processes = await processesOf("pairs", 2);
    const cells = [...processes.values()];
    for (const pid of new Set(cells))
      expect(cells.filter((one) => one === pid).length).toBeLessThanOrEqual(2);
    expect(new Set(cells).size).toBeLessThan(cells.length);
  });

  it("go to another process where theirs dies, which is the failure of the cell at hand alone", async () => {
    const killed: string[] = [];
    const { cells } = await runStudy(study("killed", 100), {
      onProgress: (event) => {
        if (event.kind !== "cell-started" || !event.cell.id.includes("from-scratch")) return;
        killed.push(event.cell.id);
        for (const { pid, command } of workers())
          if (command.includes(event.cell.id)) process.kill(pid, "SIGKILL");
      },
    });
    expect(killed).toHaveLength(1);
    const failed = cells.filter(({ status }) => status === "failed");
    expect(failed.map(({ id }) => id)).toEqual(killed);
    expect(failed[0]?.reason).toContain("was killed by SIGKILL");
    expect(cells.filter(({ status }) => status === "done").length).toBe(cells.length - 1);
    // What is missing is done by the next run, and all is as if nothing had happened.
    await runStudy(study("killed", 100));
    expect(await numbers("killed")).toBe(await numbers("alone"));
  });
});
