import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compareFeatures } from "../dist/alignment/compare-features.js";
import { mmd2 } from "../dist/alignment/mmd.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { writeChecksums } from "../dist/common/checksums.js";
import type { Comparator } from "../dist/common/vocabulary.js";
import { readSafetensors, writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { writeReport } from "../dist/report/index.js";
import type { Distance } from "../dist/results/distances.js";
import type { StudyResults } from "../dist/results/study.js";
import { runStudy } from "../dist/study/run/run.js";
import { tinyStudy } from "./study-fixture.js";

let folder: string;
let results: StudyResults;
const embeddingsOf = async (comparator: Comparator, seed: number, study = "study") => {
  const cell = results.cells.find((one) => one.comparator === comparator && one.seed === seed);
  return readSafetensors(join(folder, study, "cells", cell?.id ?? "", "embeddings.safetensors"));
};

/** The median over all pairs of rows, the plain way. */
async function plainMedian(file: Awaited<ReturnType<typeof embeddingsOf>>): Promise<number> {
  using tensor = await file.tensor("embeddings");
  const [n = 0, d = 0] = tensor.shape;
  const values = (await tensor.toArray()) as Float32Array;
  const distance = (i: number, j: number) =>
    Math.hypot(...Array.from({ length: d }, (_, k) => (values[i * d + k] ?? 0) - (values[j * d + k] ?? 0)));
  const all = Array.from({ length: n }, (_, i) =>
    Array.from({ length: n - i - 1 }, (__, j) => distance(i, i + 1 + j)),
  )
    .flat()
    .sort((x, y) => x - y);
  const middle = all.length / 2;
  return ((all[Math.ceil(middle) - 1] as number) + (all[Math.floor(middle)] as number)) / 2;
}

const study = (name: string, comparators: Comparator[]) =>
  tinyStudy(folder, name, {
    split: { train: 3, validation: 1, test: 5 },
    tasks: ["super-resolution"],
    comparators,
    seeds: [1, 2],
  });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 9, seed: 3, voxels: [32, 32, 16] });
  results = await runStudy(study("study", ["fine-tuned", "pretrained", "random-weights", "from-scratch"]));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the distances of a study", () => {
  it("have one bandwidth for a task and model: the median distance between the pretrained features of test cases", async () => {
    expect(results.distances.map(({ name, seed }) => `${name} ${seed}`)).toEqual(
      [1, 2].flatMap((seed) => ["D2R", "D2P", "D2S"].map((name) => `${name} ${seed}`)),
    );
    const wanted = await plainMedian(await embeddingsOf("pretrained", 1));
    for (const { medianHeuristic, bandwidthFrom } of results.distances) {
      expect(bandwidthFrom).toBe("pretrained");
      expect((medianHeuristic.sigma as number) / wanted).toBeCloseTo(1, 10);
    }
  });

  it("leave out pairs of one case, and stand beside what needs no bandwidth", async () => {
    for (const [name, comparator] of [
      ["D2R", "random-weights"],
      ["D2P", "pretrained"],
      ["D2S", "from-scratch"],
    ] as const) {
      const got = results.distances.find((one) => one.name === name && one.seed === 2) as Distance;
      using a = await (await embeddingsOf("fine-tuned", 2)).tensor("embeddings");
      using b = await (await embeddingsOf(comparator, 2)).tensor("embeddings");
      const sigma = got.medianHeuristic.sigma as number;
      expect(got.medianHeuristic).toEqual({ sigma, ...(await mmd2(a, b, { sigma, paired: true })) });
      expect(got.withoutKernel).toEqual(await compareFeatures(a, b));
      for (const value of Object.values(got.withoutKernel ?? {})) expect(Number.isFinite(value)).toBe(true);
    }
    const table = await readFile(join(folder, "study", "results.csv"), "utf8");
    for (const quantity of ["linear CKA", "Procrustes", "mean shift"])
      expect(table).toMatch(
        new RegExp(`^D2R ${quantity},super-resolution,direct,profound,fine-tuned,random-weights,1,,`, "m"),
      );
  });

  it("rest on embeddings that say whose they are, so that align pairs them", async () => {
    const { metadata } = await embeddingsOf("fine-tuned", 1);
    const cases = JSON.parse(metadata.cases ?? "") as string[];
    expect(cases).toHaveLength(results.cohort.split.test);
    const manifest = await readFile(join(folder, "cohort", "manifest.csv"), "utf8");
    const [heading = "", ...lines] = manifest.trim().split("\n");
    const column = (line: string, name: string) => line.split(",")[heading.split(",").indexOf(name)];
    const patientOf = new Map(lines.map((line) => [column(line, "case"), column(line, "patient")]));
    expect(JSON.parse(metadata.patients ?? "")).toEqual(cases.map((id) => patientOf.get(id)));
  });

  it("are shown in the report's table and its CSV with flags, kernel means and what needs no bandwidth", async () => {
    const page = await readFile(await writeReport(join(folder, "study")), "utf8");
    expect(page).toContain("linear CKA");
    expect(page).toContain("Procrustes");
    const [heading = "", first = ""] = (
      await readFile(join(folder, "study", "tables", "distances.csv"), "utf8")
    ).split("\n");
    const D2R = results.distances[0] as Distance;
    const columns = heading.split(",");
    const field = (name: string) => first.split(",")[columns.indexOf(name)];
    expect(Number(field("Procrustes"))).toBeCloseTo(D2R.withoutKernel?.procrustes as number, 12);
    expect(Number(field("mean shift"))).toBeCloseTo(D2R.withoutKernel?.meanShift as number, 12);
    expect(Number(field("kernel between"))).toBeCloseTo(D2R.paper.kernelMeans?.between as number, 12);
    expect(field("flags")).toBe(D2R.paper.flags.join(" "));
    expect(field("bandwidth from")).toBe("pretrained");
  });

  it("take their bandwidth from random weights where the pretrained features tell no case from another", async () => {
    for (const seed of [1, 2]) {
      const cell = results.cells.find((one) => one.comparator === "pretrained" && one.seed === seed);
      const path = join(folder, "study", "cells", cell?.id ?? "");
      const shape = (await embeddingsOf("pretrained", seed)).shape("embeddings");
      using embeddings = Tensor.from(new Float32Array((shape[0] ?? 0) * (shape[1] ?? 0)).fill(0.5), shape);
      await writeSafetensors(join(path, "embeddings.safetensors"), { embeddings });
      await writeChecksums(path);
    }
    const now = await runStudy(
      study("study", ["fine-tuned", "pretrained", "random-weights", "from-scratch"]),
    );
    const wanted = await plainMedian(await embeddingsOf("random-weights", 1));
    for (const { name, medianHeuristic, bandwidthFrom, warning } of now.distances) {
      expect(bandwidthFrom).toBe("random-weights");
      expect((medianHeuristic.sigma as number) / wanted).toBeCloseTo(1, 10);
      expect(medianHeuristic.flags.includes("collapsed-b")).toBe(name === "D2P");
      if (name === "D2P") expect(warning).toContain("features of the reference are collapsed");
    }
  });
});
