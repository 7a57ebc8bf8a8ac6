import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { StudyEvent } from "../dist/common/progress.js";
import type { CellResult } from "../dist/results/cell.js";
import { studyPaths } from "../dist/results/paths.js";
import { runStudy } from "../dist/study/run/run.js";
import { readResults, tinyStudy, withoutCost } from "./study-fixture.js";

const cell = "profound--lesion-segmentation--fine-tuned--seed1";
let folder: string;

/** A pretraining and a fine-tuning, whose last batches do not divide evenly among two. */
const study = (output: string, ranks: number) =>
  tinyStudy(folder, output, {
    tasks: ["lesion-segmentation"],
    comparators: ["fine-tuned"],
    training: { epochs: 3, batchSize: 2, learningRate: 1e-3, gradientClip: 1 },
    execution: { jobs: 1, ranks },
  });

/** Processes that train along with a worker, by the end of their command line. */
function ranksOf(id: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return words.includes("study/run/rank.js") && words.includes(id) ? [Number(pid)] : [];
      } catch {
        return []; // it ended in the meantime
      }
    });
}

const resultOf = async (output: string): Promise<CellResult> =>
  JSON.parse(await readFile(studyPaths(join(folder, output)).cellResult(cell), "utf8"));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-ranks-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

it("a study whose cells are trained by two processes has the curves of one by a single process", async () => {
  await runStudy(study("alone", 1));
  expect((await runStudy(study("together", 2))).complete).toBe(true);
  const [alone, together] = [await resultOf("alone"), await resultOf("together")];
  expect(together.curve).toHaveLength(3);
  for (const [index, { trainingLoss }] of alone.curve.entries()) {
    const other = together.curve[index]?.trainingLoss as number;
    expect(Math.abs(other / trainingLoss - 1)).toBeLessThan(1e-5);
  }
  expect([alone.cost.ranks, together.cost.ranks]).toEqual([undefined, 2]);
}, 300_000);

it("a rank that is killed ends the cell with its name, and the cell goes on from its last epoch", async () => {
  const events: StudyEvent[] = [];
  let killed: number | undefined;
  let killedAt = 0;
  const results = await runStudy(study("killed", 2), {
    onProgress: (event) => {
      events.push(event);
      if (event.kind !== "epoch" || event.cell.id !== cell || event.epoch !== 1) return;
      [killed] = ranksOf(cell);
      killedAt = performance.now();
      process.kill(killed as number, "SIGKILL");
    },
  });
  expect(performance.now() - killedAt).toBeLessThan(60_000);
  expect(results.cells.find(({ id }) => id === cell)).toMatchObject({ status: "failed" });
  const reason = results.cells.find(({ id }) => id === cell)?.reason;
  expect(reason).toContain(`Rank 1 of 2 (process ${killed} on ${hostname()}) was killed by SIGKILL`);
  expect(ranksOf(cell)).toEqual([]);

  const started: number[] = [];
  const repaired = await runStudy(study("killed", 2), {
    onProgress: (event) => {
      if (event.kind === "cell-started" && event.cell.id === cell) started.push(event.startEpoch);
    },
  });
  expect(repaired.complete).toBe(true);
  expect(started[0]).toBeGreaterThan(0);
  const numbers = async (output: string) =>
    JSON.stringify(withoutCost(await readResults(join(folder, output))));
  expect(await numbers("killed")).toBe(await numbers("together"));
}, 300_000);
