import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { writeChecksums } from "../dist/common/checksums.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { writeReport } from "../dist/report/index.js";
import type { Distance } from "../dist/results/distances.js";
import type { StudyResults } from "../dist/results/study.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { tinyStudy, withoutCost } from "./study-fixture.js";

let folder: string;
let study: StudyInput;
let before: StudyResults;
const output = () => join(folder, "study");
const named = ({ distances }: StudyResults, wanted: string): Distance =>
  distances.find(({ name }) => name === wanted) as Distance;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
  study = tinyStudy(folder, "study", {
    tasks: ["super-resolution"],
    comparators: ["fine-tuned", "pretrained", "random-weights"],
  });
  before = await runStudy(study);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Other embeddings of the cell with random weights, as a study of another version might have left them. */
async function embeddingsOfRandomWeights(values: number[], shape: number[]): Promise<void> {
  const { id } = before.cells.find(({ comparator }) => comparator === "random-weights") as { id: string };
  const cell = join(output(), "cells", id);
  using embeddings = Tensor.from(Float32Array.from(values), shape);
  await writeSafetensors(join(cell, "embeddings.safetensors"), { embeddings });
  await writeChecksums(cell);
}

describe("a distance that is undefined in a finished study", () => {
  it("was defined before, as the others are", () => {
    expect(before.distances.map(({ name, rows, reason }) => [name, rows, reason])).toEqual([
      ["D2R", 2, undefined],
      ["D2P", 2, undefined],
    ]);
    expect(before.complete).toBe(true);
  });

  it.each([
    [
      "where an embedding is not a number",
      () => [...Array(31).fill(0.5), Number.NaN],
      [2, 16],
      /Of the numbers in the embeddings of profound--super-resolution--random-weights--seed1, 1 are NaN or infinite/,
    ],
    [
      "where it is of other cases",
      () => Array(48).fill(0.5),
      [3, 16],
      /embeddings of the same cases, \[2, 16\].*\[3, 16\]/,
    ],
  ])(
    "%s says why in its place, and all else stays as it was, run after run",
    async (_, values, shape, reason) => {
      await embeddingsOfRandomWeights(values(), shape);
      for (let run = 0; run < 2; run++) {
        const now = await runStudy(study);
        const undefinedOne = named(now, "D2R");
        expect(undefinedOne).toMatchObject({
          rows: 2,
          paper: { sigma: null, biased: null, unbiased: null, offDiagonalMean: null, saturated: false },
          multiBandwidth: { biased: null, unbiased: null },
          reason: expect.stringMatching(reason),
          warning: `It is undefined: ${undefinedOne.reason}`,
        });
        expect(named(now, "D2P")).toEqual(named(before, "D2P"));
        // What is said of that distance goes with it.
        const ofOthers = (one: object) => !("distance" in one && one.distance === "D2R");
        const rest = ({
          distances: _,
          counts: __,
          meanDistances,
          findings,
          relations,
          ...results
        }: StudyResults) =>
          withoutCost({
            ...results,
            meanDistances: meanDistances?.filter(({ name }) => name !== "D2R"),
            findings: findings?.filter(ofOthers),
            relations: relations?.filter(ofOthers),
          });
        expect(rest(now)).toEqual(rest(before));
      }
      const table = await readFile(join(output(), "results.csv"), "utf8");
      expect(table).toMatch(/^D2R,super-resolution,direct,profound,fine-tuned,random-weights,1,,$/m);
      expect(table).toMatch(/^D2P,super-resolution,direct,profound,fine-tuned,pretrained,1,,\d/m);

      const page = (await readFile(await writeReport(output()), "utf8"))
        .replace(/<(style|script)[\s\S]*?<\/\1>/g, "")
        .replace(/<[^>]*>/g, " ")
        .replace(/&(?:#39|quot|gt|lt|amp);/g, " ")
        .replace(/\s+/g, " ");
      expect(page).toContain("It is undefined:");
      expect(page).toMatch(reason);
      const distances = await readFile(join(output(), "tables", "distances.csv"), "utf8");
      expect(distances).toContain("D2P");
    },
  );
});
