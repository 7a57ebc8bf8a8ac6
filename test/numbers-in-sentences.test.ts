import { describe, expect, it } from "vitest";
import { type RandomStream, randomStream } from "../dist/common/random.js";
import type { TaskVariant } from "../dist/common/vocabulary.js";
import { alignmentFigure } from "../dist/report/figures/alignment.js";
import { casesFigure } from "../dist/report/figures/cases.js";
import { curvesFigure } from "../dist/report/figures/curves.js";
import { depthsFigure } from "../dist/report/figures/depths.js";
import { gainFigure } from "../dist/report/figures/gain.js";
import { learningFigure } from "../dist/report/figures/learning.js";
import { scratchFigure } from "../dist/report/figures/scratch.js";
import { specificationsFigure } from "../dist/report/figures/specifications.js";
import { methodsText } from "../dist/report/methods-text.js";
import { missingWork } from "../dist/report/missing-work.js";
import { summarise } from "../dist/report/report-summary.js";
import { claimsSection } from "../dist/report/sections/claims.js";
import { timeTaken } from "../dist/report/sections/cost.js";
import { caveats, leaks, modelAnswers } from "../dist/report/sentences.js";
import type { CellResult } from "../dist/results/cell.js";
import type { DriftBetweenSeeds, Range } from "../dist/results/distances.js";
import type { CellSummary, StudyResults } from "../dist/results/study.js";
import { summaryOf } from "../dist/statistics/curve-summary.js";
import { judgeDrift } from "../dist/statistics/drift.js";
import { specificationCurve } from "../dist/statistics/specification-curve.js";
import { summariseResults } from "../dist/statistics/study-summary.js";
import type { TaskKind } from "../dist/tasks/index.js";
import { studyResults } from "./report-fixture.js";

const studies = 500;

/** A study of random size and luck: cells that failed, metrics that the test set leaves undefined, cases without a value. */
function drawStudy(study: number): StudyResults {
  const random = randomStream(98, "study", study);
  const of = <Item>(items: readonly Item[]): Item =>
    items[Math.min(items.length - 1, Math.floor(random.between(0, items.length)))] as Item;
  const [failing, undefining, missing] = [of([0, 0, 0.1]), of([0, 0, 0.15]), of([0, 0.2])];
  const results = studyResults({
    name: "study",
    tasks: (["lesion-segmentation", "super-resolution", "distortion-correction"] as TaskKind[]).slice(
      0,
      of([1, 2, 3]),
    ),
    models: of([["one"], ["one", "two"]]),
    seeds: of([[7], [1, 2], [1, 2, 3]]),
    testCases: of([3, 6, 13]),
    epochs: of([2, 9]),
    saturated: of([true, false, false]),
    mean: () => Math.max(0, of([0, 0.01, 0.3, 0.62, 0.87]) + random.normal(0, 0.03)),
    ...(of([true, false]) ? { trivial: () => random.between(0.2, 0.8) } : {}),
    status: () => (random.between(0, 1) < failing ? of(["failed", "pending"] as const) : "done"),
  });
  for (const { result } of results.cells) {
    if (!result) continue;
    const { metric } = result;
    if (random.between(0, 1) < undefining)
      Object.assign(metric, { mean: null, standardDeviation: null, reason: "it has no positive case" });
    else for (const one of metric.cases) if (random.between(0, 1) < missing) one.value = null;
  }
  for (const one of results.distances)
    if (random.between(0, 1) < 0.8)
      one.depths = ["stage 1", "stage 2"].map((depth) => ({
        ...{ depth, features: 96, kernel: null },
        withoutKernel: { linearCka: 0.5, procrustes: random.between(0, 2), meanShift: random.between(0, 3) },
      }));
  results.drift = results.cells
    .filter(({ comparator, seed }) => comparator === "fine-tuned" && seed === results.cells[0]?.seed)
    .map(({ task, strategy, model }) => driftOf({ task, strategy, model }, random));
  const y = Array.from({ length: of([3, 4, 5]) }, () => random.normal());
  const specifications = Array.from({ length: of([1, 4, 12]) }, (_, index) => ({
    choices: { distance: `D${index % 3}`, layer: `stage ${index % 2}` },
    ...{ x: y.map((value) => value + random.normal()), y },
  }));
  results.specificationCurve = summaryOf(specificationCurve(specifications));
  if (study % 10 === 0) results.learningCurves = { cells: partsOf(results, random) };
  return results;
}

/** How far two seeds drift apart, which is not known of some. */
function driftOf(of: TaskVariant & { model: string }, random: RandomStream): DriftBetweenSeeds {
  const range = (): Range | null => {
    const [low, more] = [random.between(0, 0.4), random.between(0, 0.4)];
    return random.between(0, 1) < 0.2 ? null : { low, mean: low + more / 2, high: low + more };
  };
  const known = { linearCka: range(), procrustes: range(), meanShift: range() };
  return {
    ...{ ...of, seeds: [1, 2, 3], pairs: 3, paper: range(), saturated: false, medianHeuristic: range() },
    ...known,
    depths: ["stage 1", "stage 2"].map((depth) => ({ depth, ...known })),
    d2p: judgeDrift([], [], 3),
  };
}

/** The same cells trained on half as many patients, which is what all of them then are. */
function partsOf({ cells }: StudyResults, random: RandomStream): CellSummary[] {
  return cells.flatMap((cell): CellSummary[] => {
    const { result } = cell;
    if (!result || !["fine-tuned", "from-scratch", "trivial"].includes(cell.comparator)) return [];
    result.trainedOn = { patients: 20, cases: 20, asked: null };
    const less = random.between(0.5, 1.02);
    const { metric } = result;
    const part: CellResult = {
      ...{ ...result, id: `${result.id}-10`, trainedOn: { patients: 10, cases: 10, asked: 10 } },
      metric: {
        ...metric,
        mean: metric.mean === null ? null : less * metric.mean,
        cases: metric.cases.map((one) => ({ ...one, value: one.value === null ? null : less * one.value })),
      },
    };
    return [{ ...cell, id: part.id, patients: 10, result: part }];
  });
}

/** What a reader reads: without markup, without names that have digits, without the numbers of methods and definitions. */
function prose(text: string): string {
  return text
    .replaceAll(/<[^>]*>/g, " ")
    .replaceAll("&lt;", "<")
    .replaceAll("\u00a0", " ")
    .replaceAll(
      /MMD²|unet-3d|D2[RPS]|p-\d+[\w/.]*|\bFigure \d\w?|Node [\d.]+|LibTorch [\d.]+|transfer-limits [\d.]+|float32/g,
      "",
    )
    .replaceAll(/\b(?:19|20)\d\d\b/g, "") // years of papers
    .replaceAll(
      /9[05] %\s|8 of 10 studies|p < 0\.001|at a level of 0\.05|of 0\.05\b|1 % of it|50 seeds nor 5,000|seeds: \[1, 2, 3\]/g,
      "",
    )
    .replaceAll(
      /(?:below|reaches) 0\.05|needs at least 3|reference of 0 |may be 0|The file ends after [^<]* voxels/g,
      "",
    );
}

/** Every number of the results but curves and single cases, of which no sentence speaks; and how many there are of things. */
function* numbersOf(value: unknown, key = "", single = notSpokenOf): Generator<number> {
  if (typeof value === "number") yield value;
  else if (typeof value === "string") for (const one of written(value)) yield Number(one);
  else if (Array.isArray(value)) {
    if (key !== "cases" && key !== "epochSeconds") yield value.length;
    if (!single.includes(key)) for (const one of value) yield* numbersOf(one, "", single);
  } else if (typeof value === "object" && value !== null)
    for (const [name, one] of Object.entries(value)) yield* numbersOf(one, name, single);
}

const notSpokenOf = ["cases", "epochSeconds", "epochEmbedded", "curve"];

const written = (text: string): string[] =>
  [...text.replaceAll("\u2212", "-").matchAll(/(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?/g)].map(
    ([number]) => number.replaceAll(",", ""),
  );

/** Whether a number was written from one of these, to as many digits as are shown. */
function stands(shown: string, numbers: readonly number[]): boolean {
  const [mantissa = "", exponent = "0"] = shown.split("e");
  const decimals = mantissa.split(".")[1]?.length ?? 0;
  const half = 0.5 * 10 ** (Number(exponent) - decimals) * (1 + 1e-9);
  return numbers.some((number) => Math.abs(number - Number(shown)) <= half);
}

/** Lengths of time are written in units: back to seconds, to as much as is shown. */
function withoutTimes(text: string, numbers: readonly number[]): { text: string; unknown: string[] } {
  const unknown: string[] = [];
  const rest = text.replaceAll(
    /(?:(\d+) h (\d+) min|(\d+) min (\d+) s|([\d.]+) s)(?!\w)/g,
    (all, h, hm, m, ms, s) => {
      const [seconds, within] =
        h !== undefined
          ? [Number(h) * 3600 + Number(hm) * 60, 60]
          : m !== undefined
            ? [Number(m) * 60 + Number(ms), 0.5]
            : [Number(s), s.includes(".") ? 0.05 : 0.5];
      if (!numbers.some((one) => Math.abs(one - seconds) <= within + 1e-9)) unknown.push(all);
      return "";
    },
  );
  return { text: rest, unknown };
}

describe("a number that a sentence shows", () => {
  it("stands where one of the results is written so, to as many digits as are shown, and nowhere else", () => {
    const numbers = [0.61849, -0.0042, 12, 3661];
    for (const shown of ["0.618", "-0.004", "12", "0.6185", "-4.2e-3"])
      expect(stands(shown, numbers), shown).toBe(true);
    for (const shown of ["0.619", "0.004", "13", "-0.0043", "0.61"])
      expect(stands(shown, numbers), shown).toBe(false);
    expect(withoutTimes("It took 1 h 01 min and 9.3 s.", numbers)).toEqual({
      text: "It took  and .",
      unknown: ["9.3 s"],
    });
    expect(written("\u22120.004 of 1,204 in p1")).toEqual(["-0.004", "1204"]);
  });
});

describe(`the numbers in the sentences of ${studies} random studies`, () => {
  it("stand in results.json: on the first screen, the cards, in the methods, captions and what pictures are said to show", () => {
    const read = new Map<string, number>();
    const wrong: string[] = [];
    for (let study = 0; study < studies; study++) {
      const results = summariseResults(drawStudy(study));
      const summary = summarise(results);
      const file = JSON.parse(JSON.stringify(results)) as StudyResults;
      const numbers = [...numbersOf(file)];
      const withCurves = [...numbersOf(file.cells, "", ["cases"])];
      const figures = [
        gainFigure(summary),
        scratchFigure(summary),
        ...summary.tasks.map((one) => casesFigure(summary, one)),
        learningFigure(results.learningCurves?.curves ?? []),
        specificationsFigure(results.specificationCurve),
        ...summary.models.map((model) => depthsFigure(summary, results.drift ?? [], model)),
        ...(["specialised", "random-weights", "trivial"] as const).map((reference) =>
          alignmentFigure(summary, reference, results.drift),
        ),
      ];
      const curves = summary.models.map((model) => curvesFigure(summary, model));
      const missing = missingWork(results, summary.counts);
      const texts: Record<string, string[]> = {
        "first screen": modelAnswers(summary).flatMap(({ answer, more }) => [answer, more]),
        caveats: [...caveats(summary), ...leaks(results)],
        missing: [missing.headline ?? ""],
        cards: [String(claimsSection(summary, []) ?? "")],
        methods: [methodsText(results, summary)],
        cost: [timeTaken(results, summary)],
        captions: figures.flatMap((figure) => (figure === null ? [] : [String(figure.caption)])),
        pictures: figures.flatMap((figure) => figure?.panels.map(({ label }) => label) ?? []),
        curves: curves.flatMap((figure) =>
          figure === null ? [] : [String(figure.caption), ...figure.panels.map(({ label }) => label)],
        ),
        worth: (results.learningCurves?.curves ?? []).flatMap(({ worth }) => worth?.words ?? []),
      };
      for (const [where, list] of Object.entries(texts))
        for (const one of list) {
          const { text, unknown } = withoutTimes(prose(one), numbers);
          const shown = written(text);
          read.set(where, (read.get(where) ?? 0) + shown.length);
          const known = where === "curves" ? [...numbers, ...withCurves] : numbers;
          for (const number of [...unknown, ...shown.filter((each) => !stands(each, known))])
            wrong.push(`${study}, ${where}: ${number} in ${text.replaceAll(/\s+/g, " ").slice(0, 600)}`);
        }
    }
    expect(wrong.slice(0, 10)).toEqual([]);
    // No kind of sentence was left out by chance.
    for (const [where, count] of read) expect(count, where).toBeGreaterThan(100);
  }, 600_000);
});
