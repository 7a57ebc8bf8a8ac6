import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { CellResult } from "../dist/results/cell.js";
import type { StudyResults } from "../dist/results/study.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { planStudy } from "../dist/study/plan/plan.js";
import { runStudy } from "../dist/study/run/run.js";
import { quickStudy, readResults, spawnStudy, withoutCost } from "./study-fixture.js";

const augmentation = { flip: ["left-right" as const], shift: 2, intensity: { scale: 0.2, offset: 0.1 } };
const training = { epochs: 3, learningRate: 1e-3 };

let folder: string;
const study = (output: string, changes: Partial<StudyInput> = {}): StudyInput =>
  quickStudy(folder, output, {
    tasks: ["lesion-segmentation", { kind: "modality-translation", samplingSteps: 2 }],
    comparators: ["fine-tuned", "random-weights"],
    training: { ...training, augmentation },
    ...changes,
  });
const cellOf = ({ cells }: StudyResults, task: string, comparator: string): CellResult => {
  const found = cells.find((cell) => cell.task === task && cell.comparator === comparator)?.result;
  if (!found) throw new Error(`${comparator} of ${task} is not done`);
  return found;
};
const losses = ({ curve }: CellResult) => curve.map(({ trainingLoss }) => trainingLoss);
const planned = (input: StudyInput) => {
  const resolved = resolveStudy(input, "/data");
  if ("faults" in resolved) throw new Error(JSON.stringify(resolved.faults));
  return planStudy(resolved.study).cells;
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-augmented-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a study with augmentation", () => {
  let results: StudyResults;
  beforeAll(async () => {
    results = await runStudy(study("augmented"));
  }, 300_000);

  it("names it in the results of what was trained, and in no other", () => {
    for (const task of ["lesion-segmentation", "modality-translation"]) {
      expect(cellOf(results, task, "fine-tuned").augmentation).toEqual({
        ...augmentation,
        flipProbability: 0.5,
      });
      expect(cellOf(results, task, "random-weights")).not.toHaveProperty("augmentation");
    }
  });

  it("gives the same numbers one cell at a time, and interrupted by kill -9", async () => {
    const again = study("again", { execution: { jobs: 1 } });
    let kills = 0;
    await spawnStudy(again, (event, kill) => {
      if (kills > 0 || event.kind !== "epoch" || event.cell.comparator !== "fine-tuned") return;
      kills++;
      kill();
    });
    expect(kills).toBe(1);
    await runStudy(again);
    expect(withoutCost(await readResults(join(folder, "again")))).toEqual(withoutCost(results));
  }, 300_000);

  it("learns from other batches than one without, and is tested on the same cases", async () => {
    const plain = await runStudy(study("plain", { training }));
    for (const task of ["lesion-segmentation", "modality-translation"]) {
      const [augmented, other] = [results, plain].map((one) => cellOf(one, task, "fine-tuned")) as [
        CellResult,
        CellResult,
      ];
      for (const [epoch, loss] of losses(augmented).entries()) expect(loss).not.toBe(losses(other)[epoch]);
      expect(cellOf(results, task, "random-weights").metric).toEqual(
        cellOf(plain, task, "random-weights").metric,
      );
    }
  }, 300_000);

  it("changes neither validation nor testing nor embeddings: a step of nothing leaves them as they were", async () => {
    // At this learning rate no float32 parameter moves: what differs is what the networks were shown.
    const still = { epochs: 2, learningRate: 1e-30, weightDecay: 0 };
    const changes = { tasks: ["lesion-segmentation" as const], comparators: ["fine-tuned" as const] };
    const [augmented, plain] = [
      await runStudy(study("still", { ...changes, training: { ...still, augmentation } })),
      await runStudy(study("still-plain", { ...changes, training: still })),
    ].map((one) => cellOf(one, "lesion-segmentation", "fine-tuned")) as [CellResult, CellResult];
    expect(losses(augmented)).not.toEqual(losses(plain));
    const validation = ({ curve }: CellResult) => curve.map(({ validationMetric }) => validationMetric);
    expect(validation(augmented)).toEqual(validation(plain));
    expect(augmented.metric).toEqual(plain.metric);
    const [embedded, others] = await Promise.all(
      ["still", "still-plain"].map((output) =>
        readFile(join(folder, output, "cells", augmented.id, "embeddings.safetensors")),
      ),
    );
    expect((embedded as Buffer).equals(others as Buffer)).toBe(true);
  }, 300_000);

  it("runs a frozen encoder in every epoch, as its features of one are not those of the next", async () => {
    const frozen = (output: string) => {
      const tiny = study(output, { tasks: ["super-resolution"], comparators: ["fine-tuned"] });
      return { ...tiny, models: tiny.models.map((model) => ({ ...model, finetune: "frozen" as const })) };
    };
    expect(planned(frozen("planned")).find(({ kind }) => kind === "cell")?.keptDraws).toBeNull();
    const kept = { ...frozen("kept"), training };
    expect(planned(kept).find(({ kind }) => kind === "cell")?.keptDraws).toBe(1);
    const run = await runStudy(frozen("frozen"));
    // Three cases to train on, one to validate on.
    expect(cellOf(run, "super-resolution", "fine-tuned").cost.epochEmbedded).toEqual([4, 4, 4]);
    expect(new Set(losses(cellOf(run, "super-resolution", "fine-tuned"))).size).toBe(3);
  }, 300_000);
});

describe("augmentation in a plan", () => {
  it("is a task's, a strategy's or a model's where one says so; null takes it away", () => {
    const own = { flip: ["left-right" as const] };
    const cells = planned({
      ...study("planned"),
      tasks: [
        { kind: "lesion-segmentation", training: { augmentation: own } },
        {
          kind: "super-resolution",
          strategies: ["direct", "diffusion"],
          diffusion: { training: { augmentation: null } },
        },
      ],
      comparators: ["fine-tuned", "specialised"],
    });
    const of = (part: string) => cells.find(({ id }) => id.includes(part))?.training?.augmentation;
    const complete = {
      flip: ["left-right"],
      flipProbability: 0.5,
      shift: 0,
      intensity: { scale: 0, offset: 0 },
    };
    expect(of("lesion-segmentation--fine-tuned")).toEqual(complete);
    expect(of("lesion-segmentation--specialised")).toEqual(complete);
    expect(of("super-resolution--fine-tuned")).toEqual({ ...augmentation, flipProbability: 0.5 });
    expect(of("super-resolution--diffusion--fine-tuned")).toBeNull();

    const [model] = study("planned").models;
    const without = planned({
      ...study("planned"),
      models: [{ ...(model as StudyInput["models"][number]), training: { augmentation: null } }],
      comparators: ["fine-tuned", "specialised"],
      tasks: ["lesion-segmentation"],
    });
    const trained = without.filter(({ comparator }) => comparator !== "trivial");
    expect(trained.map(({ training }) => training?.augmentation ?? null)).toEqual([
      null,
      null,
      { ...augmentation, flipProbability: 0.5 },
    ]);
  });
});
