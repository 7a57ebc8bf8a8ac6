import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { StudyEvent } from "../dist/common/progress.js";
import { setThreads } from "../dist/native/runtime.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import type { CellResult } from "../dist/results/cell.js";
import type { CellSummary, StudyResults } from "../dist/results/study.js";
import { runStudy } from "../dist/study/run/run.js";
import { isHeld } from "./lock-contender.js";
import { killWorkers, readResults, spawnStudy, tinyStudy, withoutCost } from "./study-fixture.js";

let folder: string;
let reference: StudyResults;
const events: StudyEvent[] = [];
const leaks: string[] = [];
/** The result of the only cell that fits; fails where it has none. */
const resultOf = (results: StudyResults, fits: Partial<CellSummary>): CellResult => {
  const fitting = results.cells.filter((cell) =>
    Object.entries(fits).every(([key, value]) => cell[key as keyof CellSummary] === value),
  );
  const [found] = fitting;
  if (fitting.length !== 1 || !found.result)
    throw new Error(`${fitting.length} cells fit ${JSON.stringify(fits)}`);
  return found.result;
};
const cells = (output: string) => join(folder, output, "cells");

const floats = async (path: string, name: string): Promise<number[]> => {
  using tensor = await (await readSafetensors(path)).tensor(name);
  return [...((await tensor.toArray()) as Float32Array)];
};

beforeAll(async () => {
  setThreads(1);
  process.on("warning", (warning) => leaks.push(warning.message));
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-study-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
  reference = await runStudy(tinyStudy(folder, "reference"), { onProgress: (event) => events.push(event) });
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a study on phantoms", () => {
  it("runs every cell of its plan, two at a time, and leaves results that say so", async () => {
    expect(reference.complete).toBe(true);
    expect(reference.cells.map(({ status }) => status)).toEqual(Array(12).fill("done"));
    expect(reference.pretraining).toMatchObject([
      { model: "profound", status: "done", curve: { length: 3 } },
    ]);
    expect(reference.cohort).toMatchObject({
      cases: 6,
      patients: 6,
      split: { train: 3, validation: 1, test: 2 },
      excluded: [],
    });
    expect(await readResults(join(folder, "reference"))).toEqual(reference);

    let most = 0;
    let running = 0;
    for (const { kind } of events) {
      if (kind === "cell-started") most = Math.max(most, ++running);
      if (kind === "cell-done") running--;
    }
    // A cell is told to be done once the results hold it; the next may have started by then.
    expect(most).toBeGreaterThanOrEqual(2);
    expect(most).toBeLessThanOrEqual(3);
    expect(events.at(-1)).toMatchObject({ kind: "study", done: 13, failed: 0, total: 13 });
  });

  it("tests every cell on the same cases, and takes the mean over them", () => {
    const [first] = reference.cells;
    for (const { id } of reference.cells) {
      const result = resultOf(reference, { id });
      const { cases, mean } = result.metric;
      // Dice is of cases with a lesion; of the others it is known whether one was found all the same.
      const values = cases.flatMap(({ value }) => value ?? []);
      for (const { value, falseAlarm } of cases) expect(falseAlarm === undefined).toBe(value !== null);
      expect(cases.map(({ case: id }) => id)).toEqual(
        resultOf(reference, { id: first.id }).metric.cases.map(({ case: id }) => id),
      );
      expect(cases).toHaveLength(2);
      expect(values.length).toBeGreaterThan(0);
      expect(mean).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / values.length, 12);
      expect(result.metric.name).toBe(result.task === "super-resolution" ? "SSIM" : "Dice");
    }
  });

  it("keeps of a trained cell its curve, weights, embeddings and pictures", async () => {
    const cell = join(cells("reference"), "profound--super-resolution--fine-tuned--seed1");
    expect((await readdir(cell)).sort()).toEqual(
      ["best", "embeddings", "examples", "last", "stages"]
        .map((name) => `${name}.safetensors`)
        .concat("SHA256SUMS", "cell.json", "curve.csv")
        .sort(),
    );
    const { curve, cost } = JSON.parse(await readFile(join(cell, "cell.json"), "utf8"));
    expect(curve.map(({ epoch }: { epoch: number }) => epoch)).toEqual([1, 2]);
    // The half cosine over 2 epochs of 3 steps, at the first step of each.
    expect(curve[0].learningRate).toBeCloseTo(1e-3, 12);
    expect(curve[1].learningRate).toBeCloseTo(5e-4, 12);
    expect(cost).toMatchObject({ device: "cpu", threads: 1, epochSeconds: { length: 2 } });
    expect(cost.peakMemoryBytes).toBeGreaterThan(5e7);
    expect((await readFile(join(cell, "curve.csv"), "utf8")).trim().split("\n")).toHaveLength(3);

    const embeddings = await readSafetensors(join(cell, "embeddings.safetensors"));
    expect(embeddings.shape("embeddings")).toEqual([2, 16]);
    const examples = await readSafetensors(join(cell, "examples.safetensors"));
    for (const name of ["input", "target", "prediction"]) expect(examples.shape(name)).toEqual([2, 32, 32]);
    expect(JSON.parse(examples.metadata.cases as string)).toEqual(
      JSON.parse(embeddings.metadata.cases as string),
    );
    const stages = await readSafetensors(join(cell, "stages.safetensors"));
    expect(stages.metadata).toEqual(embeddings.metadata);
    const widths = [4, 8, 8, 16];
    for (const [index, width] of widths.entries())
      for (const pooling of ["mean", "maximum"])
        expect(stages.shape(`stage ${index + 1} ${pooling}`)).toEqual([2, width]);
    expect(await readdir(join(folder, "reference", "progress"))).toEqual([]);
  });

  it("starts comparators from the same weights: untrained and scratch alike, pretrained from the pretraining", async () => {
    const embeddings = (task: string, comparator: string) =>
      floats(
        join(cells("reference"), `profound--${task}--${comparator}--seed1`, "embeddings.safetensors"),
        "embeddings",
      );
    // Without training, the encoder and the input decide: other encoders give other embeddings.
    expect(await embeddings("super-resolution", "pretrained")).not.toEqual(
      await embeddings("super-resolution", "random-weights"),
    );
    const pretrained = await floats(
      join(cells("reference"), "profound--pretraining", "encoder.safetensors"),
      "encoder.stages.3.0.pwconv1.weight",
    );
    const finetuned = await floats(
      join(cells("reference"), "profound--super-resolution--fine-tuned--seed1", "last.safetensors"),
      "encoder.stages.3.0.pwconv1.weight",
    );
    const scratch = await floats(
      join(cells("reference"), "profound--super-resolution--from-scratch--seed1", "last.safetensors"),
      "encoder.stages.3.0.pwconv1.weight",
    );
    const distance = (a: number[], b: number[]) =>
      Math.max(...a.map((value, index) => Math.abs(value - b[index])));
    // Six steps of at most about 1e-3 each.
    expect(distance(finetuned, pretrained)).toBeGreaterThan(0);
    expect(distance(finetuned, pretrained)).toBeLessThan(0.01);
    expect(distance(scratch, pretrained)).toBeGreaterThan(0.01);
  });

  it("computes gains and distances from its cells", () => {
    const mean = (comparator: string) =>
      resultOf(reference, { task: "super-resolution", comparator } as Partial<CellSummary>).metric
        .mean as number;
    const gain = reference.gains.find(
      ({ task, reference: name }) => task === "super-resolution" && name === "specialised",
    );
    expect(gain?.percent).toBeCloseTo(
      (100 * (mean("fine-tuned") - mean("specialised"))) / mean("specialised"),
      9,
    );
    expect(reference.distances.map(({ task, name }) => `${task} ${name}`)).toEqual(
      ["lesion-segmentation", "super-resolution"].flatMap((task) =>
        ["D2R", "D2P", "D2S"].map((name) => `${task} ${name}`),
      ),
    );
    for (const { paper } of reference.distances) expect(paper.biased).toBeGreaterThan(0);
  });

  it("writes its numbers as a table too", async () => {
    const [header, ...rows] = (await readFile(join(folder, "reference", "results.csv"), "utf8"))
      .trim()
      .split("\n");
    expect(header).toBe("quantity,task,strategy,model,comparator,reference,seed,case,value");
    // 12 cells of 2 cases, mean and spread; 6 x Dice of the PI-RADS with a lesion and false alarms; 2 x 5 gains; 6 distances of 8 numbers.
    const elsewhere = rows.filter((row) => / at |Drift/.test(row.split(",")[0] ?? ""));
    expect(rows.length - elsewhere.length).toBe(12 * 4 + 6 * 2 + 10 + 6 * 8);
    // Four numbers of a distance at a depth; of a task's drift between seeds the ends and the mean of five, and of three at a depth.
    const at = reference.distances.flatMap(({ depths = [] }) => depths);
    const drift = reference.drift ?? [];
    expect(elsewhere).toHaveLength(
      4 * at.length + drift.reduce((sum, { depths }) => sum + 3 * 5 + 3 * 3 * depths.length, 0),
    );
    expect(at.length).toBeGreaterThan(6);
  });

  it("leaves no tensor alive, here or in its workers", () => {
    expect(leaks).toEqual([]);
    expect(Tensor.live).toBe(0);
  });

  it("does nothing twice", async () => {
    const again: StudyEvent[] = [];
    const results = await runStudy(tinyStudy(folder, "reference"), {
      onProgress: (event) => again.push(event),
    });
    expect(results).toEqual(reference);
    expect(again.filter(({ kind }) => kind === "cell-started")).toEqual([]);
    expect(again.find(({ kind }) => kind === "plan")).toMatchObject({ alreadyDone: 13 });
  });
});

describe("a study that is interrupted", () => {
  it("by kill -9, again and again, ends with the same numbers and weights as one that is not", async () => {
    const study = tinyStudy(folder, "killed");
    // Where each run is killed: in the middle of pretraining, of two trainings, and between cells.
    const moments: ((event: StudyEvent) => boolean)[] = [
      (event) => event.kind === "epoch" && event.cell.kind === "pretraining" && event.epoch === 1,
      (event) => event.kind === "epoch" && event.cell.comparator === "fine-tuned" && event.epoch === 1,
      (event) => event.kind === "epoch" && event.cell.comparator === "from-scratch" && event.epoch === 1,
      (event) => event.kind === "cell-done" && event.cell.comparator === "from-scratch",
    ];
    const resumedAt: number[] = [];
    let kills = 0;
    for (;;) {
      let killed = false;
      await spawnStudy(study, (event, kill) => {
        if (event.kind === "cell-started" && event.startEpoch > 0) resumedAt.push(event.startEpoch);
        const moment = moments.findIndex((matches) => matches(event));
        if (killed || moment === -1) return;
        killed = true;
        moments.splice(0, moment + 1); // a late kill may have let those before it pass
        kill();
      });
      if (!killed) break;
      kills++;
    }
    expect(kills).toBeGreaterThanOrEqual(2);
    expect(resumedAt.length).toBeGreaterThan(0); // epochs were kept, not done again

    const results = await readResults(join(folder, "killed"));
    expect(JSON.stringify(withoutCost(results))).toBe(JSON.stringify(withoutCost(reference)));
    const bytes = (output: string, ...path: string[]) => readFile(join(folder, output, ...path));
    expect(await bytes("killed", "results.csv")).toEqual(await bytes("reference", "results.csv"));
    for (const { id } of results.cells) {
      for (const name of [
        "last.safetensors",
        "best.safetensors",
        "embeddings.safetensors",
        "examples.safetensors",
      ]) {
        const present = existsSync(join(cells("reference"), id, name));
        expect(existsSync(join(cells("killed"), id, name))).toBe(present);
        if (present)
          expect(
            (await bytes("killed", "cells", id, name)).equals(await bytes("reference", "cells", id, name)),
          ).toBe(true);
      }
    }
    expect((await readdir(cells("killed"))).filter((name) => name.startsWith("."))).toEqual([]);
  }, 600_000);

  it("by its signal says how to go on, and goes on", async () => {
    const controller = new AbortController();
    const study = tinyStudy(folder, "aborted", {
      tasks: ["super-resolution"],
      comparators: ["from-scratch", "random-weights"],
    });
    const run = runStudy(study, {
      signal: controller.signal,
      onProgress: (event) => {
        if (event.kind === "epoch" && event.epoch === 1) controller.abort();
      },
    });
    await expect(run).rejects.toMatchObject({
      code: "ABORTED",
      message: expect.stringContaining("run the study again"),
    });
    expect(await isHeld(join(folder, "aborted", ".lock"))).toBe(false);
    expect((await readResults(join(folder, "aborted"))).complete).toBe(false);
    const results = await runStudy(study);
    expect(results.complete).toBe(true);
    for (const { id } of results.cells) {
      expect(resultOf(results, { id }).metric).toEqual(resultOf(reference, { id }).metric);
    }
  }, 300_000);

  it("by the death of one worker has one failed cell, which the next run repairs", async () => {
    const study = tinyStudy(folder, "worker", {
      tasks: ["super-resolution"],
      comparators: ["from-scratch", "random-weights"],
    });
    const victim = "profound--super-resolution--from-scratch--seed1";
    const results = await runStudy(study, {
      onProgress: (event) => {
        if (event.kind === "epoch" && event.cell.id === victim && event.epoch === 1) killWorkers();
      },
      jobs: 1,
    });
    expect(results.complete).toBe(false);
    const statuses = Object.fromEntries(results.cells.map(({ comparator, status }) => [comparator, status]));
    expect(statuses).toEqual({ "from-scratch": "failed", "random-weights": "done", trivial: "done" });
    expect(results.cells.find(({ id }) => id === victim)?.reason).toMatch(
      /worker process was killed by SIGKILL/,
    );
    expect(existsSync(join(cells("worker"), `${victim}.failed.json`))).toBe(true);

    const repaired = await runStudy(study);
    expect(repaired.complete).toBe(true);
    expect(existsSync(join(cells("worker"), `${victim}.failed.json`))).toBe(false);
    expect(resultOf(repaired, { id: victim }).metric).toEqual(resultOf(reference, { id: victim }).metric);
  }, 300_000);
});

describe("a study with a frozen encoder", () => {
  it("trains the head alone, and says that D2P is 0 because of it", async () => {
    const base = tinyStudy(folder, "frozen");
    const results = await runStudy({
      ...base,
      models: [{ ...base.models[0], finetune: "frozen" }],
      tasks: ["lesion-segmentation"],
      comparators: ["fine-tuned", "pretrained"],
    });
    const pretrained = join(cells("frozen"), "profound--pretraining", "encoder.safetensors");
    const trained = join(
      cells("frozen"),
      "profound--lesion-segmentation--fine-tuned--seed1",
      "last.safetensors",
    );
    const { names } = await readSafetensors(pretrained);
    expect(names.length).toBeGreaterThan(40);
    for (const name of names) expect(await floats(trained, name)).toEqual(await floats(pretrained, name));

    const cell = resultOf(results, { comparator: "fine-tuned" });
    expect(cell.network.trainable).toBeGreaterThan(0);
    expect(cell.network.trainable).toBeLessThan(cell.network.parameters);
    expect(cell.curve[1].trainingLoss).not.toBe(cell.curve[0].trainingLoss);
    const [distance] = results.distances;
    expect(distance).toMatchObject({ name: "D2P", warning: expect.stringContaining("frozen") });
    expect(distance.paper.biased).toBeCloseTo(0, 12);
  }, 300_000);
});

describe("a study with cases that cannot be used", () => {
  it("leaves them out with their reason, and runs the rest", async () => {
    const manifest = join(folder, "cohort", "partial.csv");
    const [header, ...rows] = (await readFile(join(folder, "cohort", "manifest.csv"), "utf8"))
      .trim()
      .split("\n");
    const { test, train } = JSON.parse(await readFile(join(folder, "reference", "splits.json"), "utf8"));
    const column = header.split(",").indexOf("lesion");
    const broken = join(folder, "cohort", "broken.nii");
    await writeFile(broken, "not an image");
    const changed = rows.map((row) => {
      const fields = row.split(",");
      if (fields[0] === test[0]) fields[column] = "";
      if (fields[0] === train[0]) fields[header.split(",").indexOf("t2w")] = "broken.nii";
      return fields.join(",");
    });
    await writeFile(manifest, [header, ...changed, ""].join("\n"));
    const base = tinyStudy(folder, "partial", { comparators: ["random-weights"] });
    const results = await runStudy({ ...base, cohort: { ...base.cohort, manifest } });
    expect(results.complete).toBe(true);
    expect(results.cohort.split).toEqual({ train: 2, validation: 1, test: 2 });
    expect(results.cohort.excluded).toMatchObject([
      { case: train[0], file: "broken.nii" },
      {
        case: test[0],
        file: null,
        reason: expect.stringMatching(/left out of lesion-segmentation.*no lesion mask/),
      },
    ]);
    const tested = results.cells.map(({ task, result }) => [
      task,
      result?.metric.cases.map(({ case: id }) => id),
    ]);
    expect(tested).toEqual([
      ["lesion-segmentation", [test[1]]],
      ["super-resolution", test],
      ["lesion-segmentation", [test[1]]], // and what takes no network
      ["super-resolution", test],
    ]);
  }, 300_000);
});
