import { describe, expect, it } from "vitest";
import { drawFigure } from "../dist/report/figures/figure.js";
import { gainFigure } from "../dist/report/figures/gain.js";
import { summarise } from "../dist/report/report-summary.js";
import { caveats } from "../dist/report/sentences.js";
import type { StudyResults } from "../dist/results/study.js";
import { computeFindings } from "../dist/statistics/findings.js";
import { type FixtureOptions, studyResults } from "./report-fixture.js";

/** Better than training from scratch, as good as the specialised model, worse than what takes no network. */
const mixed: FixtureOptions = {
  tasks: ["super-resolution"],
  seeds: [1, 2, 3, 4, 5],
  testCases: 60,
  mean: (_, comparator) =>
    ({ "from-scratch": 0.6, "fine-tuned": 0.7, specialised: 0.7 })[comparator as string] ?? 0.1,
  trivial: () => 0.8,
};
const pictureOf = (results: StudyResults) =>
  gainFigure(summarise(results)) as NonNullable<ReturnType<typeof gainFigure>>;
const svgOf = async (results: StudyResults) =>
  (await drawFigure(pictureOf(results), () => null)).svgs[0]?.[1] as string;

describe("the picture of the first screen", () => {
  it("has a row a task and reference, with the claim's own effect, interval, margin and verdict", () => {
    const results = studyResults({ ...mixed, tasks: ["lesion-segmentation", "super-resolution"] });
    const { claims } = summarise(results).rows[1] as ReturnType<typeof summarise>["rows"][number];
    const { rows } = pictureOf(results);
    expect(rows.map(({ task, reference }) => `${task} ${reference}`)).toEqual(
      ["lesion-segmentation", "super-resolution"].flatMap((task) =>
        ["from-scratch", "specialised", "trivial"].map((reference) => `${task} ${reference}`),
      ),
    );
    for (const reference of ["from-scratch", "specialised", "trivial"] as const) {
      const row = rows.find((one) => one.task === "super-resolution" && one.reference === reference);
      const claim = claims[reference];
      expect(row).toMatchObject({
        difference: claim?.difference.estimate,
        low: claim?.difference.low,
        high: claim?.difference.high,
        margin: 0.01,
        verdict: claim?.verdict,
      });
    }
    expect(rows.slice(3).map(({ verdict }) => verdict)).toEqual([
      "supported",
      "practically-equal",
      "contradicted",
    ]);
  });

  it("tells a verdict by its word and its mark, and is as loud about worse as about better", async () => {
    const svg = await svgOf(studyResults(mixed));
    const words = [...svg.matchAll(/<text[^>]*font-weight="600"[^>]*>(better|worse)<\/text>/g)].map(
      (one) => one[1],
    );
    expect(words.sort()).toEqual(["better", "worse"]);
    expect(svg).toContain(">practically equal</text>");
    // Marks of the points: one shape a verdict.
    const points = /class="[^"]*points_marks[^"]*"[^>]*>(.*?)<\/g>/s.exec(svg)?.[1] ?? "";
    const shapes = new Set([...points.matchAll(/ d="([^"]+)"/g)].map((one) => one[1]));
    expect(shapes.size).toBe(3);
  });

  it("says what a screen reader needs: every verdict with its effect and interval", () => {
    const [panel] = pictureOf(studyResults(mixed)).panels;
    expect(panel?.label).toMatch(
      /^profound-tiny\. Super-resolution over training from scratch: better, \+0\.\d{3}, 95 % interval \+0\.\d{3} to \+0\.\d{3}; .* the specialised model: practically equal, .* what takes no network: worse, \u22120\.\d{3}, /,
    );
  });

  it("decides nothing with one seed, and says in its caption what is not known", async () => {
    const results = studyResults({ ...mixed, seeds: [7] });
    expect(String(pictureOf(results).caption)).toMatch(
      /one seed there is no interval, and nothing is decided/,
    );
    const svg = await svgOf(results);
    expect(svg.match(/>undecided<\/text>/g)).toHaveLength(3);
    expect(svg).not.toMatch(/font-weight="600"[^>]*>(better|worse)</);
  });

  it("draws no claim whose margin or difference a file leaves without a value", async () => {
    const results = studyResults(mixed);
    const claims = structuredClone(Object.values(summarise(results).rows[0]?.claims ?? {}));
    for (const claim of claims) if (claim.reference === "trivial") claim.equivalence.margin = 0;
    expect(pictureOf({ ...results, claims }).rows.map(({ reference }) => reference)).toEqual([
      "from-scratch",
      "specialised",
    ]);
    expect(await svgOf({ ...results, claims })).not.toMatch(/NaN|Infinity/);
  });

  it("keeps the row of a comparison that could not be made", async () => {
    const results = studyResults({
      ...mixed,
      status: ({ comparator }) => (comparator === "specialised" ? "failed" : "done"),
    });
    expect(await svgOf(results)).toContain(">not compared</text>");
    expect(pictureOf(results).rows).toHaveLength(2);
  });
});

describe("what makes numbers say less than they seem to", () => {
  const findings = (results: StudyResults) => computeFindings(results);
  const said = (results: StudyResults) => caveats(summarise(results));

  it("is a task that no network beats nothing on, said once for all models", () => {
    const results = studyResults({ ...mixed, models: ["one", "two"], trivial: () => 0.99 });
    const best = Math.max(
      ...["one", "two"].flatMap((model) =>
        ["fine-tuned", "from-scratch", "specialised"].map((comparator) => {
          const own = results.cells.filter(
            (cell) =>
              cell.comparator === comparator && (cell.model === model || comparator === "specialised"),
          );
          return own.reduce((sum, { result }) => sum + (result?.metric.mean as number), 0) / own.length;
        }),
      ),
    );
    const [finding, ...others] = findings(results);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({
      kind: "nothing-learnt",
      task: "super-resolution",
      answer: "nothing-learnt",
    });
    expect((finding as { best: number }).best).toBeCloseTo(best, 12);
    const lines = said(results).filter((line) => line.includes("no network of this study"));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^Super-resolution: no network of this study beats what takes none\. The best of them \(.*\) has SSIM 0\.\d+ against 0\.\d+ of nothing-learnt\.$/,
    );
  });

  it("is a task that no network has learnt at all", () => {
    const results = studyResults({
      seeds: [1, 2],
      mean: (task) => (task === "super-resolution" ? 0.004 : 0.5),
    });
    expect(findings(results)).toMatchObject([
      { kind: "nothing-learnt", task: "super-resolution", trivial: null },
    ]);
    const lines = said(results).filter((line) => /learnt/.test(line));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^Super-resolution: no network of this study has learnt it\..*below 0\.05/);
  });

  it("is not a task that one network has learnt", () => {
    expect(findings(studyResults(mixed)).map(({ kind }) => kind)).toEqual(["nothing-learnt"]);
    expect(findings(studyResults({ ...mixed, trivial: () => 0.65 }))).toEqual([]);
  });

  it("is a pretraining whose loss ended where it began, with both losses, and none whose loss fell", () => {
    const results = studyResults();
    expect(findings(results)).toEqual([]);
    const [run] = results.pretraining;
    // First fifth of 20 epochs: 1.00, 1.02, 1.04, 1.06; last: 1.32 to 1.38.
    for (const epoch of run?.curve ?? []) epoch.trainingLoss = 1 + (epoch.epoch - 1) / 50;
    expect(findings(results)).toEqual([
      {
        kind: "pretraining-not-fallen",
        model: "profound-tiny",
        first: expect.closeTo(1.03, 12),
        last: expect.closeTo(1.35, 12),
      },
    ]);
    expect(said(results).join("\n")).toContain(
      "The loss of profound-tiny’s pretraining did not fall (1.03 over its first epochs, 1.35 over its last)",
    );
    for (const epoch of run?.curve ?? []) epoch.trainingLoss = Number.NaN;
    expect(findings(results)).toMatchObject([{ first: null, last: null }]);
    run?.curve.splice(1);
    expect(findings(results)).toEqual([]);
  });

  it("is an encoder that collapsed and a distance at its ceiling, each once, whatever the seeds", () => {
    const results = studyResults({ seeds: [1, 2, 3] });
    for (const distance of results.distances) {
      if (distance.task === "super-resolution") distance.medianHeuristic.flags = ["collapsed-a"];
      else if (distance.name === "D2P") distance.medianHeuristic.flags = ["ceiling"];
    }
    expect(findings(results)).toMatchObject([
      { kind: "distance-at-ceiling", task: "lesion-segmentation", distance: "D2P" },
      { kind: "collapsed-features", task: "super-resolution", comparator: "fine-tuned" },
    ]);
    const lines = said(results);
    expect(lines.filter((line) => line.includes("collapsed"))).toEqual([
      "The encoder of profound-tiny, fine-tuned, has collapsed on super-resolution: it gives all test cases the same features, and distances to it say nothing.",
    ]);
    expect(lines.filter((line) => line.includes("ceiling"))).toHaveLength(1);
  });
});
