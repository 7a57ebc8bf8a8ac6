import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { setThreads } from "../dist/native/runtime.js";
import type { CellResult } from "../dist/results/cell.js";
import type { StudyResults } from "../dist/results/study.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { tinyStudy, withoutCost } from "./study-fixture.js";

let folder: string;
let exact: StudyResults;
let rounded: StudyResults;

const study = (output: string, execution: StudyInput["execution"], training = {}): StudyInput =>
  tinyStudy(folder, output, {
    tasks: ["lesion-segmentation"],
    comparators: ["fine-tuned", "random-weights", "from-scratch"],
    training: { epochs: 2, batchSize: 3, learningRate: 1e-3, ...training },
    execution,
  });
const resultOf = ({ cells }: StudyResults, comparator: string): CellResult =>
  cells.find((cell) => cell.comparator === comparator)?.result as CellResult;
const bytesOf = (output: string, file: string, comparator = "random-weights") =>
  readFile(join(folder, output, "cells", `profound--lesion-segmentation--${comparator}--seed1`, file));

beforeAll(async () => {
  setThreads(1);
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-precision-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
  exact = await runStudy(study("exact", {}));
  rounded = await runStudy(study("rounded", { precision: "bfloat16" }));
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a study in bfloat16", () => {
  it("is done, says so, and has other numbers near those of float32", () => {
    expect(rounded.complete).toBe(true);
    expect([exact.software.precision, rounded.software.precision]).toEqual(["float32", "bfloat16"]);
    for (const comparator of ["fine-tuned", "from-scratch"]) {
      const [one, other] = [resultOf(exact, comparator), resultOf(rounded, comparator)];
      for (const [index, { trainingLoss }] of one.curve.entries()) {
        const loss = other.curve[index]?.trainingLoss as number;
        expect(loss).not.toBe(trainingLoss);
        expect(Math.abs(loss - trainingLoss)).toBeLessThan(0.01);
      }
    }
  });

  it("is tested in float32: what is not trained has the same numbers", async () => {
    const [one, other] = [resultOf(exact, "random-weights"), resultOf(rounded, "random-weights")];
    expect(withoutCost(other)).toEqual(withoutCost(one));
    const file = "embeddings.safetensors";
    expect(await bytesOf("rounded", file)).toEqual(await bytesOf("exact", file));
  });

  it("is computed anew in float32, to the numbers of a study that always was", async () => {
    const reasons = new Set<string>();
    const again = await runStudy(study("rounded", {}), {
      onProgress: (event) => {
        if (event.kind === "cell-moved-away") reasons.add(event.reason.split(";")[0] as string);
      },
    });
    expect(reasons).toContain('changed: execution.precision "bfloat16" -> "float32"');
    expect(withoutCost(again.cells)).toEqual(withoutCost(exact.cells));
  });
});

describe("a study short of memory", () => {
  it("has the same numbers with checkpointing, which may change from one run to the next", async () => {
    const saved = await runStudy(study("checkpointed", { checkpointing: true }));
    const { software: _, ...rest } = withoutCost(saved) as StudyResults;
    const { software: __, ...wanted } = withoutCost(exact) as StudyResults;
    expect(rest).toEqual(wanted);
    const again = await runStudy(study("checkpointed", { checkpointing: false }));
    expect(withoutCost(again)).toEqual(withoutCost(saved));
  });

  it("has the same numbers but for rounding with micro-batches", async () => {
    const parts = await runStudy(study("parts", {}, { microBatch: 1 }));
    for (const comparator of ["fine-tuned", "from-scratch"]) {
      const wanted = resultOf(exact, comparator).curve.map(({ trainingLoss }) => trainingLoss);
      const losses = resultOf(parts, comparator).curve.map(({ trainingLoss }) => trainingLoss);
      losses.forEach((loss, index) => {
        expect(Math.abs(loss - (wanted[index] as number))).toBeLessThan(1e-4);
      });
      // Sums in another order have other last bits.
      const [one, other] = ["exact", "parts"].map((output) =>
        bytesOf(output, "last.safetensors", comparator),
      );
      expect(await one).not.toEqual(await other);
    }
  });
});
