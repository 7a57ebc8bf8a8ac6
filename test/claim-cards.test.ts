import { describe, expect, it } from "vitest";
import { summarise } from "../dist/report/report-summary.js";
import { claimsSection } from "../dist/report/sections/claims.js";
import type { StudyResults } from "../dist/results/study.js";
import { detectableDifference, expectedHalfWidth, whatSettles } from "../dist/statistics/planning.js";
import { simulateClaims } from "../dist/statistics/simulation.js";
import { type FixtureOptions, studyResults } from "./report-fixture.js";

const textOf = (results: StudyResults) =>
  String(claimsSection(summarise(results)) ?? "")
    .replace(/<[^>]*>/g, "")
    .replaceAll("\u00a0", " ");
const cards = (options: FixtureOptions) => textOf(studyResults(options));

describe("a claim card", () => {
  it("says effect, interval and verdict over training from scratch and over the specialised model", () => {
    const text = cards({ seeds: [1, 2, 3, 4, 5] });
    expect(text).toContain("profound-tiny: Lesion segmentation");
    expect(text).toMatch(
      /Over training from scratch: better\s+Dice 0\.\d+ against 0\.\d+, \+0\.\d+ \(95 % interval \+0\.\d+ to \+0\.\d+\), \+\d+\.\d %\./,
    );
    expect(text).toMatch(/Over the specialised model: /);
    expect(text).not.toMatch(/Over random weights|Over the pretrained/);
  });

  it("says of one seed once that it settles nothing, and claims no verdict", () => {
    const text = cards({});
    expect(text.match(/This study has one seed, which settles none/g)).toHaveLength(1);
    expect(text.match(/Seeds may simply be raised/g)).toHaveLength(1);
    expect(text).not.toMatch(/interval [+\u2212]|: better|: undetermined/);
  });

  it("says what would settle an undetermined claim, and how large a difference was in reach of a settled one", () => {
    const undetermined = cards({
      seeds: [1, 2, 3],
      testCases: 12,
      mean: (_, name) => (name === "fine-tuned" ? 0.53 : 0.5),
    });
    expect(undetermined).toMatch(/Likely settled by \d+ seeds with these 12 patients|Neither 50 seeds nor/);
    if (/Likely settled by \d+ seeds/.test(undetermined))
      expect(undetermined).toContain("run again with more of them, keeps what is finished");
    expect(cards({ seeds: [1, 2, 3, 4, 5] })).toMatch(
      /5 seeds and 12 patients find a difference of 0\.0\d+ in 8 of 10 studies/,
    );
  });

  it("says what to distrust: few patients, weights that saw the test set, trainings that had not ended", () => {
    const results = studyResults({ seeds: [1, 2, 3], testCases: 6 });
    results.exposure = [
      { model: "profound-tiny", patients: 50, overlap: { validation: [], test: ["p-101", "p-102"] } },
    ];
    const text = textOf(results);
    expect(text).toMatch(/its weights were pretrained on 2 patients of the test set/);
    expect(text).toMatch(/only 6 patients/);
    // The fixture's trainings are all best at their last epoch.
    expect(text).toMatch(
      /the fine-tuned model was best at its last epoch; the model trained from scratch was/,
    );
    expect(text).toMatch(/might be better after a longer training/);
  });

  it("says what it rests on whatever the verdict: margin, p, power, cost", () => {
    const text = cards({ seeds: [1, 2, 3], mean: (_, name) => (name === "fine-tuned" ? 0.53 : 0.5) });
    expect(text).toMatch(/p [=<] 0\.\d+ by Holm/);
    expect(text).toMatch(/A difference of up to 0\.02 in Dice does not matter in practice\./);
    expect(text).toMatch(
      /Over training from scratch: undecided.*find a difference of 0\.\d+ in 8 of 10 studies/s,
    );
    expect(text).toMatch(/Device time of a seed: 28 s to fine-tune, 28 s for training from scratch/);
  });

  it("keeps the place of a comparison that could not be made, and says why", () => {
    const text = cards({
      seeds: [1, 2, 3],
      status: ({ comparator }) => (comparator === "specialised" ? "failed" : "done"),
    });
    expect(text).toMatch(/Over the specialised model: not compared\s*A cell that it takes failed\./);
  });
});

describe("what seeds and patients can tell, before they are spent", () => {
  it.each([
    [3, 37, { seeds: 0.02, patients: 0.05, rest: 0.03 }],
    [5, 37, { seeds: 0.05, patients: 0.05, rest: 0.03 }],
    [5, 148, { seeds: 0.005, patients: 0.05, rest: 0.05 }],
  ])(
    "%i seeds and %i patients: half the interval is as forecast within 20 %%, on average over 200 studies",
    (seeds, patients, spreads) => {
      const settings = {
        tasks: 1,
        seeds,
        patients,
        runSpread: spreads.seeds,
        patientSpread: spreads.patients,
        restSpread: spreads.rest,
      };
      const halves = Array.from({ length: 200 }, (_, study) => {
        const [claim] = simulateClaims(settings, 21, study);
        return ((claim?.difference.high as number) - (claim?.difference.low as number)) / 2;
      });
      const mean = halves.reduce((sum, half) => sum + half, 0) / halves.length;
      expect(expectedHalfWidth(spreads, seeds, patients) / mean).toBeGreaterThan(0.8);
      expect(expectedHalfWidth(spreads, seeds, patients) / mean).toBeLessThan(1.2);
    },
  );

  it("finds a difference of the size that is called detectable in about 8 of 10 studies", () => {
    const spreads = { seeds: 0.01, patients: 0.05, rest: 0.03 };
    const gain = detectableDifference(spreads, 5, 60);
    const found = Array.from({ length: 300 }, (_, study) => {
      const settings = {
        tasks: 1,
        seeds: 5,
        patients: 60,
        gain,
        runSpread: 0.01,
        patientSpread: 0.05,
        restSpread: 0.03,
      };
      return simulateClaims(settings, 22, study)[0]?.p as number;
    }).filter((p) => p < 0.05);
    expect(found.length / 300).toBeGreaterThan(0.72);
    expect(found.length / 300).toBeLessThan(0.9);
  });

  it("settles by more patients what patients leave open, and by more seeds what seeds do", () => {
    const of = { estimate: 0.03, margin: 0.01 };
    const byPatients = whatSettles({ seeds: 0, patients: 0.1, rest: 0.001 }, of, { seeds: 5, patients: 20 });
    expect(byPatients.seeds).toBeNull();
    expect(byPatients.patients).toBeGreaterThan(60);
    const bySeeds = whatSettles({ seeds: 0.05, patients: 0.001, rest: 0.001 }, of, {
      seeds: 3,
      patients: 100,
    });
    expect(bySeeds.patients).toBeNull();
    expect(bySeeds.seeds).toBeGreaterThan(10);
  });
});
