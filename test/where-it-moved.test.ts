import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compareFeatures } from "../dist/alignment/compare-features.js";
import { mmd2 } from "../dist/alignment/mmd.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { Comparator, PaperTask, TaskName } from "../dist/common/vocabulary.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyResults } from "../dist/results/study.js";
import { correlationOf } from "../dist/statistics/correlation.js";
import { runStudy } from "../dist/study/run/run.js";
import { quickStudy, readResults, withoutCost } from "./study-fixture.js";

let folder: string;
let results: StudyResults;
const output = () => join(folder, "study");
const tasks: PaperTask[] = ["lesion-segmentation", "super-resolution", "distortion-correction"];
const comparators: Comparator[] = ["fine-tuned", "pretrained", "random-weights", "from-scratch"];

const cellOf = (task: TaskName, comparator: Comparator, seed: number): string =>
  results.cells.find((one) => one.task === task && one.comparator === comparator && one.seed === seed)?.id ??
  "";

async function rows(cell: string, file: string, name: string) {
  const opened = await readSafetensors(join(output(), "cells", cell, file));
  using tensor = await opened.tensor(name);
  return { data: (await tensor.toArray()) as Float32Array, shape: tensor.shape };
}
const embeddings = (cell: string) => rows(cell, "embeddings.safetensors", "embeddings");

const study = () =>
  quickStudy(folder, "study", {
    split: { train: 3, validation: 1, test: 5 },
    tasks,
    comparators,
    seeds: [1, 2],
    training: { epochs: 1, learningRate: 1e-3 },
  });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 9, seed: 3, voxels: [32, 32, 16] });
  results = await runStudy(study());
}, 600_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("where along the network an encoder moved", () => {
  it("is measured at each stage from the cells' kept features, by the same measures as the embedding", async () => {
    for (const { task, seed, name, depths } of results.distances) {
      expect(depths?.map(({ depth }) => depth)).toEqual(["stage 1", "stage 2", "stage 3", "stage 4"]);
      expect(depths?.map(({ features }) => features)).toEqual([4, 8, 8, 16]);
      if (task !== "super-resolution") continue;
      const other = { D2R: "random-weights", D2P: "pretrained", D2S: "from-scratch" } as const;
      for (const { depth, kernel, withoutKernel } of depths ?? []) {
        const a = await rows(cellOf(task, "fine-tuned", seed), "stages.safetensors", `${depth} mean`);
        const b = await rows(cellOf(task, other[name], seed), "stages.safetensors", `${depth} mean`);
        expect(withoutKernel).toEqual(await compareFeatures(a, b));
        const { sigma, ...mmd } = kernel as NonNullable<typeof kernel>;
        expect(mmd).toMatchObject(await mmd2(a, b, { sigma, paired: true }));
      }
    }
    // One bandwidth a depth for all distances of a task.
    const sigmas = results.distances
      .filter(({ task }) => task === "super-resolution")
      .map(({ depths }) => depths?.map(({ kernel }) => kernel?.sigma));
    for (const one of sigmas) expect(one).toEqual(sigmas[0]);
  });

  it("takes a few kilobytes of a cell", async () => {
    const cell = join(output(), "cells", cellOf("super-resolution", "fine-tuned", 1));
    // 36 features by two poolings over 5 cases in float32, and a header.
    expect((await stat(join(cell, "stages.safetensors"))).size).toBeLessThan(36 * 2 * 5 * 4 + 1_500);
  });
});

describe("the drift between seeds", () => {
  it("is the distance between fine-tuned encoders of two seeds, and D2P is judged against it", async () => {
    expect(results.drift?.map(({ task }) => task).sort()).toEqual([...tasks].sort());
    for (const drift of results.drift ?? []) {
      expect(drift).toMatchObject({ seeds: [1, 2], pairs: 1 });
      const [a, b] = await Promise.all(
        [1, 2].map((seed) => embeddings(cellOf(drift.task, "fine-tuned", seed))),
      );
      const { linearCka, procrustes, meanShift } = await compareFeatures(a as never, b as never);
      expect(drift.procrustes).toEqual({ low: procrustes, mean: procrustes, high: procrustes });
      expect(drift.linearCka?.mean ?? null).toBe(linearCka);
      expect(drift.meanShift?.mean).toBe(meanShift);
      const ownSigma = results.distances.find(({ task }) => task === drift.task)?.medianHeuristic
        .sigma as number;
      const { biased } = await mmd2(a as never, b as never, { sigma: ownSigma, paired: true });
      expect(drift.medianHeuristic?.mean).toBe(biased);
      expect(drift.depths).toHaveLength(4);
      // The verdict, the plain way.
      const d2p = results.distances.filter(({ task, name }) => task === drift.task && name === "D2P");
      const { measure, verdict, value, chance } = drift.d2p;
      const of = (one: (typeof d2p)[number]): number =>
        measure === "procrustes"
          ? (one.withoutKernel?.procrustes as number)
          : (one[measure as "paper"].biased as number);
      const band = drift[measure as "paper" | "medianHeuristic" | "procrustes"];
      expect(value).toBeCloseTo((of(d2p[0] as never) + of(d2p[1] as never)) / 2, 12);
      expect(verdict).toBe(d2p.every((one) => of(one) > (band?.high as number)) ? "beyond" : "within");
      expect(chance).toBe(1 / 3);
    }
  });
});

describe("the relation over all reasonable ways of asking", () => {
  it("has every specification in a file, whose numbers come from the kept features", async () => {
    const [header, ...lines] = (await readFile(join(output(), "specifications.csv"), "utf8"))
      .trim()
      .split("\n");
    const names = header?.split(",") ?? [];
    const all = lines.map((line) => Object.fromEntries(line.split(",").map((cell, i) => [names[i], cell])));
    const { specificationCurve: relation } = results;
    expect(relation).toMatchObject({
      tasks: 3,
      orders: 6,
      leastP: 1 / 6,
      method: "exact permutation",
      verdict: "undetermined",
      specifications: all.length,
    });
    // A layer of its own and four stages by two poolings; three normalisations, distances and references or fewer.
    const layers = new Set(all.map((one) => `${one.layer} ${one.pooling}`));
    expect(layers.size).toBe(9);
    const one = all.find(
      ({ distance, layer, pooling, normalisation, measure, "gain over": over, "gain as": as }) =>
        distance === "D2P" &&
        layer === "stage 2" &&
        pooling === "maximum" &&
        normalisation === "none" &&
        measure === "Procrustes" &&
        over === "from-scratch" &&
        as === "difference",
    );
    const x: number[] = [];
    const y: number[] = [];
    for (const task of tasks) {
      let sum = 0;
      for (const seed of [1, 2]) {
        const [a, b] = await Promise.all(
          (["fine-tuned", "pretrained"] as const).map((comparator) =>
            rows(cellOf(task, comparator, seed), "stages.safetensors", "stage 2 maximum"),
          ),
        );
        sum += (await compareFeatures(a as never, b as never)).procrustes as number;
      }
      x.push(sum / 2);
      const claim = results.claims?.find(
        (other) => other.task === task && other.reference === "from-scratch",
      );
      y.push(claim?.difference.estimate as number);
    }
    expect(Number(one?.r)).toBeCloseTo(correlationOf(x, y) as number, 10);
    const rs = all.map(({ r }) => Number(r)).sort((a, b) => a - b);
    const middle = rs.length / 2;
    const median = ((rs[Math.ceil(middle) - 1] as number) + (rs[Math.floor(middle)] as number)) / 2;
    expect(relation?.median?.value).toBeCloseTo(median, 12);
  });

  it("is the same when the study is gathered again", async () => {
    await rm(join(output(), "specifications.csv"));
    await runStudy(study());
    expect(withoutCost(await readResults(output()))).toEqual(withoutCost(results));
    expect(await readdir(output())).toContain("specifications.csv");
  }, 120_000);
});

describe("the report", () => {
  it("draws where the model moved with the band between seeds, judges D2P in words, and shows the curve", async () => {
    const page = await readFile(await writeReport(output()), "utf8");
    expect(page).toContain('id="depths-profound"');
    expect(page).toContain('id="specification-curve"');
    for (const { d2p } of results.drift ?? []) expect(page).toContain(d2p.reason.slice(0, 40));
    const figures = await readdir(join(output(), "figures"));
    expect(figures).toContain("depths-profound.csv");
    // The band that figures shade lies beside them: 3 tasks, the embedding by five measures and 4 stages by three.
    const drift = (await readFile(join(output(), "tables", "drift.csv"), "utf8")).trim().split("\n");
    expect(drift).toHaveLength(1 + 3 * (5 + 4 * 3));
    const table = await readFile(join(output(), "results.csv"), "utf8");
    expect(table.match(/^"?Drift between seeds/gm)).toHaveLength(3 * (5 + 4 * 3) * 3);
    expect(table.match(/^"?D2P at stage 4, Procrustes/gm)).toHaveLength(3 * 2);
    const depths = await readFile(join(output(), "figures", "depths-profound.csv"), "utf8");
    expect(depths.trim().split("\n")).toHaveLength(1 + 3 * 2 * 3 * 4); // tasks, seeds, distances, stages
    const svg = await readFile(join(output(), "figures", "depths-profound-170mm.svg"), "utf8");
    expect(svg).toContain("stage 4");
  }, 120_000);
});
