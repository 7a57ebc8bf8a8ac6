import { describe, expect, it } from "vitest";
import { type RandomStream, randomStream } from "../dist/common/random.js";
import type { CellResult } from "../dist/results/cell.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { aucDifference } from "../dist/statistics/classification-intervals.js";
import { computeIntervals } from "../dist/statistics/metric-intervals.js";
import { auc, quadraticWeightedKappa } from "../dist/tasks/metrics.js";
import { type ScoredCase, setMetricOf, valueOverSet } from "../dist/tasks/set-metrics.js";
import { studyResults } from "./report-fixture.js";

const [template] = studyResults().cells.flatMap(({ result }) => result ?? []) as [CellResult];

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** What a model says of some patients: the patients' part of its scores is the same in every model and training. */
function scored(patients: number, draw: number, model: { skill: number; luck: RandomStream }): ScoredCase[] {
  const random = randomStream(draw, "patients");
  return Array.from({ length: patients }, () => {
    const truth = random.integer(0, 3);
    const [lean, own] = [random.normal(), model.luck.normal(0, 0.7)];
    const positive = truth >= 2;
    const lesions = positive ? 1 + random.integer(0, 1) : 0;
    const answer = model.skill * (truth - 1.5) + lean + own;
    const candidates = [
      { confidence: sigmoid(answer), hit: positive },
      { confidence: sigmoid(model.luck.normal(-1)), hit: false },
    ];
    return {
      value: Math.max(...candidates.map(({ confidence }) => confidence)),
      ...{ positive, truth, predicted: Math.min(3, Math.max(0, Math.round(answer + 1.5))) },
      found: { candidates, lesions },
    };
  });
}

const cellOf = (
  cases: readonly ScoredCase[],
  metric: string,
  comparator: "fine-tuned" | "from-scratch",
  seed: number,
): CellResult => ({
  ...template,
  ...{ id: `${comparator}-${seed}`, task: "any", strategy: "direct", model: "m", comparator, seed },
  metric: {
    name: metric,
    mean: valueOverSet(metric, cases),
    standardDeviation: null,
    cases: cases.map((one, i) => ({
      case: `p${i}`,
      patient: `p${i}`,
      ...one,
    })) as CellResult["metric"]["cases"],
    secondary: {},
    confusion: [
      [0, 0, 0, 0],
      [0, 0, 0, 0],
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ],
  },
});

const rules = { margins: { any: 0.05 } };

const metrics = ["AUC", "Quadratic weighted kappa", "Average precision", "PI-CAI score"] as const;

describe("Metrics of a whole test set", () => {
  it("are known by their names, and of cases that say what they take", () => {
    for (const name of [...metrics, "Specificity at sensitivity 0.9"])
      expect(setMetricOf(name)?.name).toBe(name);
    for (const name of ["Dice", "SSIM", "Accuracy", "Specificity at sensitivity 2"])
      expect(setMetricOf(name)).toBeNull();
    const cases = scored(20, 1, { skill: 1, luck: randomStream(1, "luck") });
    expect(setMetricOf("PI-CAI score")?.of(cases.map(({ found: _, ...rest }) => rest))).toBeNull();
    expect(setMetricOf("AUC")?.of([{ value: null, positive: true }])).toBeNull();
    expect(
      valueOverSet(
        "AUC",
        cases.filter(({ positive }) => positive),
      ),
    ).toBeNull();
  });

  it("are the same of cases drawn twice as of a set in which they stand twice", () => {
    const cases = scored(30, 2, { skill: 1, luck: randomStream(2, "luck") });
    const drawn = [...cases.keys(), 3, 3, 7, 12, 29];
    const twice = drawn.map((index) => cases[index] as ScoredCase);
    for (const name of metrics)
      expect(setMetricOf(name)?.of(cases)?.(drawn)).toBeCloseTo(valueOverSet(name, twice) as number, 12);
    const labels = twice.map(({ positive }) => positive === true);
    expect(valueOverSet("AUC", twice)).toBeCloseTo(
      auc(
        labels,
        twice.map(({ value }) => value as number),
      ),
      12,
    );
    const [truth, predicted] = [
      twice.map((one) => one.truth as number),
      twice.map((one) => one.predicted as number),
    ];
    expect(valueOverSet("Quadratic weighted kappa", twice)).toBeCloseTo(
      quadraticWeightedKappa(truth, predicted, 4) as number,
      12,
    );
  });

  it.each(["Average precision", "PI-CAI score"])(
    "have intervals that hold the true %s in about 95 of 100 studies",
    (metric) => {
      const model = (draw: number) => ({ skill: 1, luck: randomStream(draw, "luck") });
      const truth = valueOverSet(metric, scored(60_000, 99, model(99))) as number;
      let held = 0;
      for (let draw = 0; draw < 150; draw++) {
        const cell = cellOf(scored(80, draw, model(draw)), metric, "fine-tuned", 1);
        const [own] = computeIntervals([cell], { resamples: 200 });
        expect(own).toMatchObject({ metric, method: "stratified bootstrap", patients: 80 });
        if ((own?.low as number) <= truth && truth <= (own?.high as number)) held++;
      }
      expect(held / 150).toBeGreaterThan(0.89);
      expect(held / 150).toBeLessThanOrEqual(0.99);
    },
  );

  it("give a difference in AUC, where trainings are alike, the standard error that DeLong's test has", () => {
    const [first, second] = [1.2, 0.6].map((skill) =>
      scored(120, 5, { skill, luck: randomStream(5, "luck", skill) }),
    ) as [ScoredCase[], ScoredCase[]];
    const cells = [1, 2, 3].flatMap((seed) => [
      cellOf(first, "AUC", "fine-tuned", seed),
      cellOf(second, "AUC", "from-scratch", seed),
    ]);
    const [claim] = computeClaims(cells, rules);
    const delong = aucDifference({
      labels: first.map(({ positive }) => positive === true),
      first: first.map(({ value }) => value as number),
      second: second.map(({ value }) => value as number),
    });
    expect(claim?.difference.estimate).toBeCloseTo(delong.estimate, 12);
    expect((claim?.difference.standardError as number) / (delong.se as number)).toBeGreaterThan(0.9);
    expect((claim?.difference.standardError as number) / (delong.se as number)).toBeLessThan(1.1);
  });

  it.each(metrics)(
    "are claimed to be better where they are, and not where models are alike: %s",
    (metric) => {
      const study = (draw: number, skills: { own: number; other: number }) =>
        computeClaims(
          [1, 2, 3].flatMap((seed) => [
            cellOf(
              scored(60, draw, { skill: skills.own, luck: randomStream(draw, "own", seed) }),
              metric,
              "fine-tuned",
              seed,
            ),
            cellOf(
              scored(60, draw, { skill: skills.other, luck: randomStream(draw, "other", seed) }),
              metric,
              "from-scratch",
              seed,
            ),
          ]),
          rules,
        )[0];
      expect(study(1, { own: 3, other: 0.2 })).toMatchObject({ verdict: "supported", metric, patients: 60 });
      expect(study(1, { own: 0.2, other: 3 })).toMatchObject({ verdict: "contradicted" });
      const wrong = Array.from(
        { length: 25 },
        (_, draw) => study(draw, { own: 1, other: 1 })?.verdict,
      ).filter((verdict) => verdict === "supported" || verdict === "contradicted");
      // Of 25 true nulls at 5 %, four or more come up in 3 of 100 tries.
      expect(wrong.length).toBeLessThanOrEqual(4);
    },
  );
});
