import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeReport } from "../dist/report/index.js";
import type { StudyResults } from "../dist/results/study.js";
import { temporaryFolder, writeStudyFolder } from "./report-fixture.js";

let folder: string;
let remove: () => Promise<void>;
let results: StudyResults;
let files: Map<string, string>;

beforeAll(async () => {
  ({ folder, remove } = await temporaryFolder());
  results = await writeStudyFolder(folder, {
    seeds: [1, 2],
    trivial: (task) => (task === "lesion-segmentation" ? 0.4 : 0.9),
  });
  await writeReport(folder);
  files = new Map();
  for (const below of ["figures", "tables"])
    for (const name of (await readdir(join(folder, below))).filter((one) => one.endsWith(".csv")))
      files.set(`${below}/${name}`, await readFile(join(folder, below, name), "utf8"));
});
afterAll(() => remove());

const rows = (name: string) =>
  parse(files.get(name) as string, { columns: true, bom: true }) as Record<string, string>[];
const trivialOf = (task: string) =>
  results.cells.find((cell) => cell.task === task && cell.comparator === "trivial")?.result;

/** What is of networks' own representations or of their pretraining, and the paper's figures over its two references. */
const without = new Set([
  "figures/figure-2-random-weights.csv",
  "figures/figure-2-specialised.csv",
  "figures/pretraining.csv",
  "tables/distances.csv",
]);

describe("what takes no network", () => {
  it("stands in every figure and table", () => {
    expect(
      [...files.keys()].filter((name) => !without.has(name) && !/trivial/.test(files.get(name) as string)),
    ).toEqual([]);
    expect(files.has("figures/figure-2-trivial.csv")).toBe(true);
    expect(files.size).toBeGreaterThan(12);
  });

  it("is a bar at each point of Figure 1b, at its mean", () => {
    for (const row of rows("figures/figure-1b.csv"))
      expect(Number(row.trivial)).toBeCloseTo(trivialOf(row.task as string)?.metric.mean as number, 12);
  });

  it("is a level line of Figure 3, at its metric on the validation set, over all epochs", () => {
    const lines = rows("figures/figure-3-profound-tiny.csv").filter(
      ({ comparator }) => comparator === "trivial",
    );
    expect(lines.map(({ task, epoch }) => [task, epoch])).toEqual([
      ["lesion-segmentation", "1"],
      ["lesion-segmentation", "12"],
      ["super-resolution", "1"],
      ["super-resolution", "12"],
    ]);
    for (const row of lines) {
      expect(row.quantity).toBe("validation metric");
      expect(Number(row.value)).toBe(trivialOf(row.task as string)?.trivial?.validation);
    }
  });

  it("is a third reference of Figure 2, by the gain of its claim", () => {
    const figure = rows("figures/figure-2-trivial.csv");
    expect(figure).toHaveLength(6); // two tasks, three distances
    for (const { task, percent } of figure) {
      const fineTuned = results.cells.filter(
        (cell) => cell.task === task && cell.comparator === "fine-tuned",
      );
      const mean =
        fineTuned.reduce((sum, { result }) => sum + (result?.metric.mean as number), 0) / fineTuned.length;
      const level = trivialOf(task as string)?.metric.mean as number;
      expect(Number(percent)).toBeCloseTo((mean / level - 1) * 100, 9);
    }
  });

  it("stands beside both trainings in the table of their cost", () => {
    for (const row of rows("tables/table-1.csv"))
      expect(Number(row["trivial (s)"])).toBe(trivialOf(row.task as string)?.cost.deviceSeconds);
  });
});
