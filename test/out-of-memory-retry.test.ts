import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { StudyEvent } from "../dist/common/progress.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyResults } from "../dist/results/study.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { checkStudy } from "../dist/study/plan/load-study.js";
import { smallerMicroBatch } from "../dist/study/plan/micro-batch.js";
import { planStudy } from "../dist/study/plan/plan.js";
import { runStudy } from "../dist/study/run/run.js";
import { tinyStudy, withoutCost } from "./study-fixture.js";

/** Read by the addon of each worker alone: what its tensors may hold. */
const limit = "TRANSFER_LIMITS_TENSOR_BYTES";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-retry-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/**
 * Segmentation with a head at full size, of which a batch of four takes between 45 and 70 MB and one case less than 30;
 * and a classifier, for which 15 MB are plenty.
 */
const study = (output: string): StudyInput => {
  const base = tinyStudy(folder, output, {
    tasks: ["lesion-segmentation", "pirads-classification"],
    comparators: ["from-scratch"],
    split: { train: 4, validation: 1, test: 1 },
    training: { epochs: 2, batchSize: 4 },
  });
  const [model] = base.models as [(typeof base.models)[number]];
  const encoder = {
    family: "convnext-v2-3d",
    channels: 3,
    depths: [1, 1, 1, 1],
    dims: [8, 16, 16, 32],
  } satisfies StudyInput["models"][number]["encoder"];
  return {
    ...base,
    models: [{ ...model, encoder, decoder: { kind: "unetr" as const, featureSize: 8 } }],
    execution: { ...base.execution, jobs: 1 },
  };
};

async function run(output: string, bytes: number | null): Promise<[StudyResults, StudyEvent[]]> {
  const events: StudyEvent[] = [];
  if (bytes !== null) process.env[limit] = String(bytes); // this process has loaded its addon already
  try {
    return [await runStudy(study(output), { onProgress: (event) => events.push(event) }), events];
  } finally {
    delete process.env[limit];
  }
}

const resultOf = ({ cells }: StudyResults, task: string) => {
  const cell = cells.find((one) => one.task === task && one.comparator === "from-scratch");
  if (cell === undefined) throw new Error(`no cell of ${task}`);
  return cell;
};

describe("a cell whose memory is exhausted", () => {
  let free: StudyResults;
  let limited: StudyResults;
  let events: StudyEvent[];
  beforeAll(async () => {
    [free] = await run("free", null);
    [limited, events] = await run("limited", 36e6);
  }, 120_000);

  it("is tried once more with one case at a time, and says how much was asked for and was free", () => {
    const retried = events.filter(({ kind }) => kind === "cell-retried");
    expect(retried).toEqual([
      {
        kind: "cell-retried",
        cell: expect.objectContaining({ task: "lesion-segmentation", comparator: "from-scratch" }),
        microBatch: 1,
        reason: expect.stringMatching(
          /No memory is left on the CPU for this work: [\d.]+ (?:KiB|MiB|bytes) was asked for, [\d.]+ (?:KiB|MiB|bytes) was free\. .*fewer jobs.*microBatch.*checkpointing.*fewer voxels/,
        ),
      },
    ]);
    expect(resultOf(limited, "lesion-segmentation").result?.cost.retry).toEqual({
      code: "OUT_OF_MEMORY",
      microBatch: 1,
      reason: (retried[0] as Extract<StudyEvent, { kind: "cell-retried" }>).reason,
    });
  });

  it("learns from the gradient of the whole batch", () => {
    const losses = (of: StudyResults) =>
      resultOf(of, "lesion-segmentation").result?.curve.map(({ trainingLoss }) => trainingLoss) ?? [];
    expect(losses(limited)).toHaveLength(2);
    losses(free).forEach((loss, epoch) => {
      expect(losses(limited)[epoch]).toBeCloseTo(loss, 5);
    });
  });

  it("changes no other cell by a bit", () => {
    const [one, other] = [free, limited].map((of) => withoutCost(resultOf(of, "pirads-classification")));
    expect(other).toEqual(one);
    expect(resultOf(limited, "pirads-classification").result?.cost.retry).toBeUndefined();
  });

  it("is named in the report's provenance", async () => {
    const path = await writeReport(join(folder, "limited"));
    expect(await readFile(path, "utf8")).toContain(
      "At the first try memory was exhausted; at the second, 1 case went through the network at a time",
    );
  });

  it("fails where one case alone is too much, with the code, the amounts and both tries", async () => {
    const [{ cells }] = await run("hopeless", 12e6);
    const cell = cells.find(
      ({ task, comparator }) => task === "lesion-segmentation" && comparator === "from-scratch",
    );
    expect(cell?.status).toBe("failed");
    expect(cell?.reason).toMatch(
      /^It was tried twice, the second time with training\.microBatch: 1\. No memory is left on the CPU.*was asked for.*was free/,
    );
    const file = join(folder, "hopeless", "cells", `${cell?.id}.failed.json`);
    expect(JSON.parse(await readFile(file, "utf8")).code).toBe("OUT_OF_MEMORY");
  });
});

describe("parts of a batch at a second try", () => {
  it("are of one case, where a network's batches have parts and more than one case", async () => {
    const { study: checked } = await checkStudy(study("planned"));
    const parts = (
      task: string | null,
      change: (settings: { batchSize: number; microBatch: number | null }) => object,
    ) => {
      const cell = planStudy(checked).cells.find(
        (one) =>
          one.task === task &&
          one.comparator !== "trivial" &&
          (task === null || one.comparator === "from-scratch"),
      );
      if (!cell) throw new Error(`no cell of ${task}`);
      const training = cell.training && { ...cell.training, ...change(cell.training) };
      return smallerMicroBatch(checked, { ...cell, training });
    };
    const same = () => ({});
    expect(parts("lesion-segmentation", same)).toBe(1);
    expect(parts("lesion-segmentation", () => ({ microBatch: 2 }))).toBe(1);
    expect(parts("lesion-segmentation", () => ({ microBatch: 1 }))).toBeNull();
    expect(parts("lesion-segmentation", () => ({ batchSize: 1 }))).toBeNull();
    // A classifier on a ConvNeXt has batch norm, which takes its statistics from a whole batch.
    expect(parts("pirads-classification", same)).toBeNull();
  });
});
