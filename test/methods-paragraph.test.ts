import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeReport } from "../dist/report/index.js";
import { methodsText } from "../dist/report/methods-text.js";
import { summarise } from "../dist/report/report-summary.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { type FixtureOptions, studyResults, temporaryFolder, writeStudyFolder } from "./report-fixture.js";

const textOf = (options: FixtureOptions, change?: (results: ReturnType<typeof studyResults>) => void) => {
  const results = studyResults(options);
  results.claims = computeClaims(results.cells.flatMap(({ result }) => result ?? []));
  change?.(results);
  return { text: methodsText(results, summarise(results)), results };
};

describe("the paragraph on methods", () => {
  it("names models, tasks, references, cohort, split, seeds, tests, correction, margins and version", () => {
    const { text } = textOf({ seeds: [3, 5, 8], models: ["ProFound", "ProViCNet"], trivial: () => 0.2 });
    for (const part of [
      "2 foundation models (ProFound and ProViCNet)",
      "lesion segmentation (by Dice) and super-resolution (by SSIM)",
      "trained from scratch",
      "a model made for the task (unet-3d)",
      "the best answer that takes no network",
      "36 cases of 34 patients, split by patient into 18 to train on, 6 to validate on and 12 to test on",
      "1 case was left out",
      "trained 3 times (seeds 3, 5 and 8), for 12 epochs",
      "ProFound was pretrained in this study for 20 epochs",
      "crossed over seeds and patients",
      "Holm’s method (1979)",
      "4 over training from scratch",
      "0.02 of Dice and 0.01 of SSIM",
      "transfer-limits 0.1.0 (LibTorch 2.14.1",
    ])
      expect(text).toContain(part);
    expect(text).not.toContain("\n");
  });

  it("has no number that stands neither in the results nor in a method's name", () => {
    const { text, results } = textOf(
      { seeds: [31, 57, 83, 99], testCases: 17, epochs: 14, trivial: () => 0.2 },
      (of) => {
        of.cohort = {
          ...of.cohort,
          cases: 411,
          patients: 398,
          split: { train: 301, validation: 93, test: 17 },
        };
        of.exposure = [
          { model: "profound-tiny", patients: 77, overlap: { validation: ["a"], test: ["b", "c"] } },
        ];
      },
    );
    const known = new Set([...JSON.stringify(results).matchAll(/\d+(?:\.\d+)?/g)].map((one) => one[0]));
    const { claims = [], cells } = results;
    const counts = [
      new Set(cells.filter(({ comparator }) => comparator === "fine-tuned").map(({ model }) => model)).size,
      new Set(cells.map(({ seed }) => seed)).size,
      claims.filter(({ reference }) => reference === "trivial").length,
      results.pretraining[0]?.curve.length,
      14, // epochs
      results.cohort.excluded.length,
      results.exposure?.[0]?.overlap.validation.length,
      results.exposure?.[0]?.overlap.test.length,
    ].map(String);
    const names = ["95", "90", "0.05", "1979", "1987", "1995", "1954", "2012"];
    const said = [...text.replace(/(unet|vit)-3d/g, "").matchAll(/\d+(?:\.\d+)*/g)].map((one) => one[0]);
    expect(said.length).toBeGreaterThan(20);
    for (const number of said)
      expect(
        known.has(number) ||
          counts.includes(number) ||
          names.includes(number) ||
          text.includes(`(LibTorch ${number}`) ||
          text.includes(`transfer-limits ${number}`) ||
          text.includes(`Node ${number}`),
        number,
      ).toBe(true);
    for (const own of [
      "411",
      "398",
      "301",
      "93",
      "17",
      "31, 57, 83 and 99",
      "14 epochs",
      "77 patients",
      "2 are in the test set and 1 in the validation set",
    ])
      expect(text).toContain(own);
  });

  it("says with one seed that nothing is claimed, and of an unfinished study how much was done", () => {
    const { text } = textOf({
      status: ({ task }) => (task === "super-resolution" ? "pending" : "done"),
    });
    expect(text).toContain("trained once (seed 7)");
    expect(text).toContain("With one seed the variance between trainings is not known");
    expect(text).not.toMatch(/Holm|95 %|Weerahandi/);
    expect(text).toMatch(/Of 10 planned cells, 5 were done\.$/);
  });

  it("stands in the page to be selected by one click, and in methods.txt beside it; the cards in claims.json", async () => {
    const { folder, remove } = await temporaryFolder();
    try {
      const results = await writeStudyFolder(folder, { seeds: [1, 2, 3] });
      const html = await readFile(await writeReport(folder), "utf8");
      const text = await readFile(join(folder, "methods.txt"), "utf8");
      expect(text).toBe(`${methodsText(results, summarise(results))}\n`);
      expect(/<p class="paste"[^>]*>([^<]*)<\/p>/.exec(html)?.[1]).toBe(text.trim());
      expect(html).toContain('href="methods.txt"');
      const cards = JSON.parse(await readFile(join(folder, "claims.json"), "utf8"));
      expect(cards.map(({ task }: { task: string }) => task)).toEqual([
        "lesion-segmentation",
        "super-resolution",
      ]);
      const [claim] = cards[0].claims;
      for (const key of [
        "difference",
        "verdict",
        "reason",
        "detectable",
        "wouldSettle",
        "equivalence",
        "distrust",
        "cost",
      ])
        expect(claim).toHaveProperty(key);
    } finally {
      await remove();
    }
  });
});
