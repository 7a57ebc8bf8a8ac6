import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { setThreads } from "../dist/native/runtime.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { tinyStudy } from "./study-fixture.js";

describe("a task with a cohort of its own", () => {
  let folder: string;
  const study = (output: string, changes: Partial<StudyInput> = {}) =>
    tinyStudy(folder, output, {
      tasks: [
        "lesion-segmentation",
        {
          kind: "super-resolution",
          cohort: {
            manifest: join(folder, "other", "manifest.csv"),
            split: { train: 2, validation: 1, test: 1 },
          },
        },
      ],
      comparators: ["random-weights"],
      ...changes,
    });

  beforeAll(async () => {
    setThreads(1);
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-cohorts-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
    await writePhantomCohort(join(folder, "other"), {
      cases: 5,
      seed: 4,
      voxels: [32, 32, 16],
      prefix: "other-",
    });
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("is tested on it, the other tasks on the study's, and splits.json holds both", async () => {
    const results = await runStudy(study("both"));
    expect(results.complete).toBe(true);
    const splits = JSON.parse(await readFile(join(folder, "both", "splits.json"), "utf8"));
    expect([splits.train, splits.validation, splits.test].map((ids) => ids.length)).toEqual([3, 1, 2]);
    expect(splits.others).toMatchObject([
      { manifest: join(folder, "other", "manifest.csv"), tasks: ["super-resolution"] },
    ]);
    const [other] = splits.others;
    expect([other.train, other.validation, other.test, other.unused].map((ids) => ids.length)).toEqual([
      2, 1, 1, 1,
    ]);
    expect(
      results.cells.map(({ task, result }) => [task, result?.metric.cases.map((one) => one.case)]),
    ).toEqual([
      ["lesion-segmentation", splits.test],
      ["super-resolution", other.test],
      // And what takes no network.
      ["lesion-segmentation", splits.test],
      ["super-resolution", other.test],
    ]);
    expect(results.cohort).toMatchObject({
      cases: 6,
      split: { train: 3, validation: 1, test: 2 },
      tasks: [
        {
          task: "super-resolution",
          cases: 5,
          patients: 5,
          split: { train: 2, validation: 1, test: 1 },
        },
      ],
    });
  }, 300_000);

  it("is not pretrained on: the study's training set then lacks whom that task validates or tests on", async () => {
    const same = {
      manifest: join(folder, "cohort", "manifest.csv"),
      split: { train: 2, validation: 2, test: 2 },
    };
    const results = await runStudy(
      study("overlap", {
        tasks: [{ kind: "super-resolution", cohort: same }],
        comparators: ["pretrained"],
      }),
    );
    expect(results.complete).toBe(true);
    const { patients, others } = JSON.parse(await readFile(join(folder, "overlap", "splits.json"), "utf8"));
    const held = new Set([...others[0].patients.validation, ...others[0].patients.test]);
    const free = patients.train.filter((patient: string) => !held.has(patient));
    expect(free.length).toBeLessThan(3);
    expect(results.pretraining).toMatchObject([{ patients: free.length, patientsLeftOut: 3 - free.length }]);
    const encoder = join(folder, "overlap", "cells", "profound--pretraining", "encoder.safetensors");
    expect(JSON.parse((await readSafetensors(encoder)).metadata.patients as string)).toEqual(free);
  }, 300_000);

  it("has its split checked as the study's is", async () => {
    const manifest = join(folder, "other", "manifest.csv");
    const faultsOf = (split: object) => {
      const result = resolveStudy(
        study("bad", { tasks: [{ kind: "super-resolution", cohort: { manifest, split } }] }),
        folder,
      );
      return "faults" in result ? result.faults.map(({ path }) => path.join(".")) : [];
    };
    expect(faultsOf({ train: 2, validation: 0.5, test: 1 })).toEqual(["tasks.0.cohort.split.train"]);
    expect(faultsOf({ train: 0, validation: 1, test: 1 })).toEqual(["tasks.0.cohort.split.train"]);
    const tooMany = { manifest, split: { train: 50, validation: 1, test: 1 } };
    const large = study("large", { tasks: [{ kind: "super-resolution", cohort: tooMany }] });
    await expect(runStudy(large)).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(/tasks\[0\]\.cohort\.split: .*at most the 5 patients/),
    });
  });
});
