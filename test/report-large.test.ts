import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeReport } from "../dist/report/index.js";
import { evenlySpread, thinCurve } from "../dist/report/thin.js";
import type { StudyResults } from "../dist/results/study.js";
import { type FixtureOptions, studyResults, temporaryFolder } from "./report-fixture.js";

let folder: string;
let remove: () => Promise<void>;
beforeEach(async () => {
  ({ folder, remove } = await temporaryFolder());
});
afterEach(() => remove());

/** Writes the report of results alone, without pictures. */
async function reportOf(options: FixtureOptions, change: (results: StudyResults) => void = () => {}) {
  const results = studyResults(options);
  change(results);
  await writeFile(join(folder, "results.json"), JSON.stringify(results));
  const page = await readFile(await writeReport(folder), "utf8");
  return { results, page };
}
const rowsOf = async (file: string) =>
  parse(await readFile(join(folder, file), "utf8"), { columns: true }) as Record<string, string>[];
const megabytes = 2 ** 20;

describe("the report of a study of 3,000 models", () => {
  it("shows some, says how many more there are, and has all of them in its table's file", async () => {
    const models = Array.from({ length: 3000 }, (_, index) => `model-${index}`);
    const { results, page } = await reportOf({
      models,
      tasks: ["lesion-segmentation"],
      testCases: 3,
      epochs: 2,
    });
    expect(page.length).toBeLessThan(10 * megabytes);
    expect(page).toContain("And 2,992 more foundation models");
    expect(page).toContain("All figures and pictures show the first 12 of 3,000 foundation models");
    expect(page).toContain("And 2,800 more rows: tables/results.csv has them all.");
    const rows = await rowsOf("tables/results.csv");
    expect(rows).toHaveLength(3000);
    const last = results.cells.find(
      (cell) => cell.model === "model-2999" && cell.comparator === "from-scratch",
    );
    expect(Number(rows.at(-1)?.["from-scratch mean"])).toBe(last?.result?.metric.mean);
    // One figure for each model shown, none for the others.
    const names = await readdir(join(folder, "figures"));
    expect(names.filter((name) => /^figure-3-model-\d+-85mm\.svg$/.test(name))).toHaveLength(12);
  }, 120_000);
});

describe("the report of a study of 100,000 cases a cell", () => {
  it("has means over all of them, and draws some from the lowest to the highest", async () => {
    const { results, page } = await reportOf({ tasks: ["super-resolution"], testCases: 100_000, epochs: 2 });
    expect(page.length).toBeLessThan(10 * megabytes);
    expect(page).toContain("Of 100,000 cases, 400 are drawn");
    const tuned = results.cells[0]?.result?.metric;
    const values = (tuned?.cases ?? []).flatMap(({ value }) => value ?? []).sort((a, b) => a - b);
    const [table] = await rowsOf("tables/comparison-super-resolution.csv");
    expect(Number(table?.mean)).toBe(tuned?.mean);
    expect([Number(table?.lowest), Number(table?.highest)]).toEqual([values[0], values.at(-1)]);
    const drawn = (await rowsOf("figures/cases-super-resolution.csv"))
      .filter(({ comparator }) => comparator === "fine-tuned")
      .map(({ value }) => Number(value))
      .sort((a, b) => a - b);
    expect(drawn).toHaveLength(400);
    expect([drawn[0], drawn.at(-1)]).toEqual([values[0], values.at(-1)]);
    // The points drawn are spread as all cases are: their mean lies within the interval of a sample of 400.
    const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
    const deviation = Math.sqrt(
      drawn.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (drawn.length - 1),
    );
    expect(Math.abs((tuned?.mean as number) - mean)).toBeLessThan(
      (1.96 * deviation) / Math.sqrt(drawn.length),
    );
  }, 120_000);
});

describe("the report of a study of 200,000 epochs", () => {
  it("keeps the ends and the extremes of every curve, in a figure of bounded size", async () => {
    const { results, page } = await reportOf(
      { tasks: ["super-resolution"], testCases: 3, epochs: 200_000 },
      ({ cells }) => {
        const curve = cells[0]?.result?.curve ?? [];
        if (curve[123_456]) curve[123_456].trainingLoss = 99;
      },
    );
    expect(page.length).toBeLessThan(10 * megabytes);
    expect(page).toContain("cells/&lt;id&gt;/curve.csv has every epoch");
    const rows = await rowsOf("figures/curves-super-resolution.csv");
    const losses = rows.filter(
      ({ comparator, quantity }) => comparator === "fine-tuned" && quantity === "training loss",
    );
    expect(losses.length).toBeLessThanOrEqual(400);
    expect([Number(losses[0]?.epoch), Number(losses.at(-1)?.epoch)]).toEqual([1, 200_000]);
    expect(losses.some(({ epoch, value }) => epoch === "123457" && value === "99")).toBe(true);
    for (const { epoch, value } of losses)
      expect(results.cells[0]?.result?.curve[Number(epoch) - 1]?.trainingLoss).toBe(Number(value));
    expect((await stat(join(folder, "figures", "curves-super-resolution-85mm.svg"))).size).toBeLessThan(
      megabytes,
    );
  }, 120_000);
});

describe("the report of a study file of 40 MB", () => {
  it("quotes its beginning and says how much more there is", async () => {
    const study = JSON.stringify({ name: "large", notes: Array(400_000).fill("x".repeat(97)) });
    expect(study.length).toBeGreaterThan(40_000_000);
    await writeFile(join(folder, "study.resolved.json"), study);
    const { page } = await reportOf({ tasks: ["super-resolution"], testCases: 3, epochs: 2 });
    expect(page.length).toBeLessThan(10 * megabytes);
    expect(page).toContain(`… and ${(study.length - 60_000).toLocaleString("en")} more characters.`);
  });
});

describe("a curve with fewer points", () => {
  it("is itself where it is short", () => {
    const points = [3, 1, 2];
    expect(thinCurve(points, 3, (value) => value)).toEqual(points);
  });

  it("keeps order, ends, the lowest and the highest point", () => {
    const points = Array.from({ length: 10_001 }, (_, x) => ({
      x,
      y: Math.sin(x / 50) + (x === 777 ? 9 : 0),
    }));
    const kept = thinCurve(points, 100, ({ y }) => y);
    expect(kept.length).toBeLessThanOrEqual(100);
    expect(kept.map(({ x }) => x)).toEqual(kept.map(({ x }) => x).toSorted((a, b) => a - b));
    expect([kept[0]?.x, kept.at(-1)?.x]).toEqual([0, 10_000]);
    expect(kept.some(({ x }) => x === 777)).toBe(true);
    expect(Math.min(...kept.map(({ y }) => y))).toBe(Math.min(...points.map(({ y }) => y)));
  });

  it("of a list is its quantiles, from the lowest to the highest", () => {
    const list = Array.from({ length: 1001 }, (_, index) => (index * 389) % 1001);
    expect(evenlySpread(list, 11, (value) => value)).toEqual([
      0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000,
    ]);
  });
});
