import { beforeAll, describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import type { CellResult } from "../dist/results/cell.js";
import type { LearningCurve } from "../dist/results/learning-curves.js";
import { type CurveLevel, worthInPatients } from "../dist/statistics/break-even.js";
import { computeLearningCurves } from "../dist/statistics/learning-curves.js";

const level = (patients: number, fineTuned: number, fromScratch: number): CurveLevel => ({
  patients,
  fineTuned: [[fineTuned]],
  fromScratch: [[fromScratch]],
});

describe("what pretraining is worth, on curves without noise", () => {
  it("is how many patients fewer fine-tuning needs to do what training from scratch does on all", () => {
    // From 100 to 400 patients, linear in the logarithm, 0.65 lies half way: on 200.
    const { patients, better, most, interval } = worthInPatients([
      level(100, 0.6, 0.4),
      level(400, 0.7, 0.65),
    ]);
    expect(patients).toBeCloseTo(200, 6);
    expect({ better, most, interval }).toEqual({ better: "fine-tuned", most: 300, interval: null });
  });

  it("is negative where training from scratch needs fewer", () => {
    const { patients, better } = worthInPatients([level(100, 0.4, 0.6), level(400, 0.65, 0.7)]);
    expect(patients).toBeCloseTo(-200, 6);
    expect(better).toBe("from-scratch");
  });

  it("is 0 where both end alike, and beyond what was tried where even the fewest do better", () => {
    expect(worthInPatients([level(100, 0.6, 0.4), level(400, 0.7, 0.7)])).toMatchObject({
      patients: 0,
      better: "neither",
    });
    expect(worthInPatients([level(100, 0.8, 0.4), level(400, 0.9, 0.7)])).toMatchObject({
      patients: null,
      better: "fine-tuned",
    });
  });

  it("is refused from one level, or levels that do not rise", () => {
    expect(() => worthInPatients([level(100, 0.6, 0.4)])).toThrow(/at least two levels/);
    expect(() => worthInPatients([level(100, 0.6, 0.4), level(100, 0.7, 0.5)])).toThrow(/more patients than/);
  });
});

interface Planted {
  /** What pretraining is truly worth, at every number of patients. */
  worth: number;
  seeds: number;
  runSpread: number;
  tested?: number;
}
const levels = [25, 50, 100, 200, 400];

/** The metric that training on so many patients gives. */
const curve = (patients: number) => 0.85 - 1.5 / Math.sqrt(patients);

/** Cells of a study in which fine-tuning does on n patients what training from scratch does on n + worth. */
function simulated(
  { worth, seeds, runSpread, tested = 60 }: Planted,
  study: number,
): { full: CellResult[]; parts: CellResult[] } {
  const { normal } = randomStream(23, "learning curves", study);
  const cells: CellResult[] = [];
  const share = Math.SQRT1_2;
  const everybody = Array.from({ length: tested }, () => 0.1 * normal());
  for (const comparator of ["fine-tuned", "from-scratch"] as const) {
    const own = everybody.map((patient) => patient + share * 0.05 * normal());
    for (let seed = 1; seed <= seeds; seed++) {
      for (const patients of levels) {
        const run = share * runSpread * normal();
        const truth = curve(patients + (comparator === "fine-tuned" ? worth : 0));
        const cases = own.map((patient, i) => ({
          case: `${i}`,
          patient: `${i}`,
          value: truth + run + patient + share * 0.03 * normal(),
        }));
        const seconds = 36 * patients * (comparator === "fine-tuned" ? 1 : 1.5);
        cells.push({
          id: `${comparator} ${seed} ${patients}`,
          ...{ task: "super-resolution", strategy: "direct", model: "ProFound", comparator, seed },
          network: { architecture: "simulated", parameters: 0, trainable: 0 },
          trainedOn: { patients, cases: patients, asked: patients === 400 ? null : patients },
          metric: {
            name: "SSIM",
            mean: cases.reduce((sum, { value }) => sum + value, 0) / tested,
            standardDeviation: 0.1,
            cases,
            secondary: {},
          },
          curve: [],
          bestEpoch: null,
          cost: {
            ...{ wallSeconds: seconds, deviceSeconds: seconds, peakMemoryBytes: 0, epochSeconds: [] },
            ...{ epochEmbedded: [], device: "cuda:0", threads: 1 },
          },
        });
      }
    }
  }
  const isPart = ({ trainedOn }: CellResult) => trainedOn?.asked !== null;
  return { full: cells.filter((cell) => !isPart(cell)), parts: cells.filter(isPart) };
}

const worthOf = (planted: Planted, study: number): NonNullable<LearningCurve["worth"]> => {
  const { full, parts } = simulated(planted, study);
  return computeLearningCurves(full, parts, new Map([["ProFound", 7200]]))[0]?.worth as never;
};

describe.each<[string, Planted]>([
  ["worth 150 patients, three seeds", { worth: 150, seeds: 3, runSpread: 0.01 }],
  ["worth 150 patients, five seeds that scatter", { worth: 150, seeds: 5, runSpread: 0.02 }],
  ["worth nothing", { worth: 0, seeds: 4, runSpread: 0.01 }],
  ["worth −15 patients", { worth: -15, seeds: 4, runSpread: 0.01 }],
])("100 studies in which pretraining is %s", (_, planted) => {
  let covered = 0;
  let bounded = 0;
  let mean = 0;

  beforeAll(() => {
    for (let study = 0; study < 100; study++) {
      const { interval, patients } = worthOf(planted, study);
      const { low, high } = interval ?? { low: 0, high: 0 };
      if ((low ?? -Infinity) <= planted.worth && planted.worth <= (high ?? Infinity)) covered++;
      if (low !== null && high !== null) bounded++;
      mean += (patients ?? 0) / 100;
    }
  }, 240_000);

  it("have a 95 % interval that covers it in at least 90", () => {
    expect(covered).toBeGreaterThanOrEqual(90);
  });

  it("have one with two ends in most of them, and an estimate that is right on average", () => {
    expect(bounded).toBeGreaterThan(60);
    expect(Math.abs(mean - planted.worth)).toBeLessThan(35);
  });
});

describe("the words of a learning curve", () => {
  it("hold the numbers that stand beside them, in patients and in hours", () => {
    const worth = worthOf({ worth: 150, seeds: 5, runSpread: 0.005 }, 3);
    const rounded = (value: number | null | undefined) => String(Math.round(value as number));
    const { patients, interval, hours } = worth;
    expect(worth.words).toContain(
      `Pretraining is worth ${rounded(patients)} patients (95 % interval ${rounded(interval?.low)} to ${rounded(interval?.high)})`,
    );
    expect(worth.words).toContain(`fine-tuning on ${rounded(400 - (patients as number))} does as well as`);
    // A patient takes 0.01 hours to fine-tune on and 0.015 from scratch.
    expect(hours.saved).toBeCloseTo(6 - (400 - (patients as number)) * 0.01, 9);
    expect(worth.pretrainingHours).toBe(2);
    expect(worth.words).toMatch(
      /GPU-hours less \(.* to .*\); pretraining took 2, and 1 such trainings pay that back/,
    );
  });

  it("say what lies beyond what was tried, and that one seed decides nothing", () => {
    const far = worthOf({ worth: 5000, seeds: 3, runSpread: 0.005 }, 0);
    expect(far.patients).toBeNull();
    expect(far.words).toMatch(
      /^Pretraining is worth more than 375 patients \(95 % interval from 375 on, without an upper end/,
    );
    const single = worthOf({ worth: 150, seeds: 1, runSpread: 0.01 }, 0);
    expect(single.interval).toBeNull();
    expect(single.words).toMatch(
      /^How many patients pretraining is worth is undecided: with one seed nobody knows how much a result moves from one training to the next\. As measured it is \d+ patients: /,
    );
  });
});

describe("the points of a learning curve", () => {
  it("are means over seeds and test patients, from few patients to all, with what each comparator took", () => {
    const { full, parts } = simulated({ worth: 150, seeds: 3, runSpread: 0.01 }, 1);
    const [{ points }] = computeLearningCurves(full, parts) as [LearningCurve];
    for (const comparator of ["fine-tuned", "from-scratch"] as const) {
      const own = points.filter((point) => point.comparator === comparator);
      expect(own.map(({ patients }) => patients)).toEqual(levels);
      for (const { patients, mean, low, high, seeds, seconds } of own) {
        const means = [...full, ...parts]
          .filter((cell) => cell.comparator === comparator && cell.trainedOn?.patients === patients)
          .map(({ metric }) => metric.mean as number);
        expect(mean).toBeCloseTo(means.reduce((sum, value) => sum + value, 0) / 3, 12);
        expect(low).toBeLessThan(mean);
        expect(high).toBeGreaterThan(mean);
        expect(seeds).toEqual([1, 2, 3]);
        expect(seconds).toBeCloseTo(36 * patients * (comparator === "fine-tuned" ? 1 : 1.5), 9);
      }
    }
  });
});
