import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { makeSplits, paperSplit, type Splits } from "../dist/cohort/splits.js";

interface Case {
  id: string;
  patient: string;
  labels: { pirads: number | null };
}

const asked = ["train", "validation", "test"] as const;
const parts = [...asked, "unused"] as const;
const pirads = fc.constantFrom(null, 1, 2, 3, 4, 5);

/** A cohort in which every patient has one case. */
const singles = fc
  .array(pirads, { minLength: 1, maxLength: 120 })
  .map((scores): Case[] =>
    scores.map((score, index) => ({ id: `c${index}`, patient: `p${index}`, labels: { pirads: score } })),
  );

/** A cohort in which patients have one to four cases. */
const families = fc
  .array(fc.array(pirads, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 40 })
  .map((patients): Case[] =>
    patients.flatMap((scores, p) =>
      scores.map((score, c) => ({ id: `c${p}.${c}`, patient: `p${p}`, labels: { pirads: score } })),
    ),
  );

/** Counts that a cohort of `total` patients can meet. */
const countsWithin = (total: number) =>
  fc
    .tuple(fc.nat(total), fc.nat(total), fc.nat(total))
    .map((cuts) => [...cuts].sort((a, b) => a - b) as [number, number, number])
    .map(([a, b, c]) => ({ train: a, validation: b - a, test: c - b }))
    .filter(({ train, validation, test }) => train + validation + test > 0);

const withCounts = (cohort: fc.Arbitrary<Case[]>) =>
  cohort.chain((cases) =>
    fc.tuple(
      fc.constant(cases),
      countsWithin(new Set(cases.map(({ patient }) => patient)).size),
      fc.integer({ min: 0, max: 1e6 }),
    ),
  );

const setsOf = (splits: Splits) => parts.map((part) => [...splits[part]].sort());

describe("Splits where every patient has one case", () => {
  test("give each part exactly what it asked for, and every case once", () => {
    fc.assert(
      fc.property(withCounts(singles), ([cases, counts, seed]) => {
        const splits = makeSplits(cases, counts, seed);
        for (const part of asked) expect(splits[part]).toHaveLength(counts[part]);
        expect(parts.flatMap((part) => splits[part]).sort()).toEqual(cases.map(({ id }) => id).sort());
      }),
    );
  });

  test("keep each stratum's share in each part within 1 of proportional", () => {
    fc.assert(
      fc.property(withCounts(singles), ([cases, counts, seed]) => {
        const splits = makeSplits(cases, counts, seed);
        const scoreOf = new Map(cases.map((one) => [one.id, one.labels.pirads]));
        for (const score of [null, 1, 2, 3, 4, 5]) {
          const inStratum = cases.filter((one) => one.labels.pirads === score).length;
          for (const part of parts) {
            const here = splits[part].filter((id) => scoreOf.get(id) === score).length;
            const fair = (inStratum * splits[part].length) / cases.length;
            expect(Math.abs(here - fair)).toBeLessThan(1);
          }
        }
      }),
    );
  });

  test("meet the paper's counts on a cohort of its size, the same ones for the same seed, others for another", () => {
    const cases = Array.from(
      { length: 760 },
      (_, index): Case => ({
        id: `${index}`,
        patient: `${index}`,
        labels: { pirads: [null, 2, 3, 3, 4, 4, 5][index % 7] as number | null },
      }),
    );
    const splits = makeSplits(cases, paperSplit, 1);
    expect(parts.map((part) => splits[part].length)).toEqual([555, 37, 148, 20]);
    expect(makeSplits(cases, paperSplit, 1)).toEqual(splits);
    expect(makeSplits(cases, paperSplit, 2).test).not.toEqual(splits.test);
  });

  test("every case reaches every part under some seed, about as often as any other", () => {
    const cases = Array.from(
      { length: 10 },
      (_, index): Case => ({ id: `${index}`, patient: `${index}`, labels: { pirads: index % 2 ? 4 : 2 } }),
    );
    const inTest = new Map<string, number>();
    const seeds = 2000;
    for (let seed = 0; seed < seeds; seed++)
      for (const id of makeSplits(cases, { train: 6, validation: 2, test: 2 }, seed).test)
        inTest.set(id, (inTest.get(id) ?? 0) + 1);
    // Binomial with p = 0.2: five standard deviations.
    const slack = 5 * Math.sqrt(seeds * 0.2 * 0.8);
    expect(inTest.size).toBe(10);
    for (const times of inTest.values()) expect(Math.abs(times - 0.2 * seeds)).toBeLessThan(slack);
  });
});

describe("Splits where patients have several cases", () => {
  test("give each part exactly as many patients as it asked for, each with all cases, and lose none", () => {
    fc.assert(
      fc.property(withCounts(families), ([cases, counts, seed]) => {
        const splits = makeSplits(cases, counts, seed);
        const patientOf = new Map(cases.map(({ id, patient }) => [id, patient]));
        const patients = parts.map((part) => new Set(splits[part].map((id) => patientOf.get(id))));
        for (const [one, set] of patients.entries())
          for (const other of patients.slice(one + 1))
            for (const patient of set) expect(other.has(patient)).toBe(false);
        for (const [index, part] of asked.entries()) expect(patients[index]?.size).toBe(counts[part]);
        expect(parts.flatMap((part) => splits[part]).sort()).toEqual(cases.map(({ id }) => id).sort());
      }),
    );
  });

  test("count patients where the study file says so, and where it asks for fractions", () => {
    // Four patients of three cases each.
    const cases = Array.from(
      { length: 12 },
      (_, index): Case => ({ id: `c${index}`, patient: `p${index % 4}`, labels: { pirads: 3 } }),
    );
    const sizes = (request: Parameters<typeof makeSplits>[1]) => {
      const splits = makeSplits(cases, request, 1);
      return parts.map((part) => splits[part].length);
    };
    expect(sizes({ train: 2, validation: 1, test: 1 })).toEqual([6, 3, 3, 0]);
    expect(sizes({ train: 0.5, validation: 0.25, test: 0.25 })).toEqual([6, 3, 3, 0]);
    expect(() => sizes({ train: 8, validation: 2, test: 2 })).toThrow(
      /at most the 4 patients \(of 12 cases, which stay together\).*12 in all/,
    );
  });

  test("count a patient by the highest PI-RADS of all cases", () => {
    // Every patient has one case of 5, so all are of one stratum, whatever the other case is.
    const cases = Array.from({ length: 8 }, (_, index): Case[] => [
      { id: `a${index}`, patient: `p${index}`, labels: { pirads: 5 } },
      { id: `b${index}`, patient: `p${index}`, labels: { pirads: (index % 4) + 1 } },
    ]).flat();
    const highest = cases.map((one) => ({ ...one, labels: { pirads: 5 } }));
    expect(makeSplits(cases, { train: 4, validation: 2, test: 2 }, 3)).toEqual(
      makeSplits(highest, { train: 4, validation: 2, test: 2 }, 3),
    );
  });
});

test("The order of the manifest's rows changes nothing but the order inside the lists, which is the manifest's", () => {
  fc.assert(
    fc.property(
      withCounts(families).chain(([cases, counts, seed]) =>
        fc.tuple(
          fc.constant(cases),
          fc.shuffledSubarray(cases, { minLength: cases.length, maxLength: cases.length }),
          fc.constant(counts),
          fc.constant(seed),
        ),
      ),
      ([cases, shuffled, counts, seed]) => {
        const splits = makeSplits(cases, counts, seed);
        const other = makeSplits(shuffled, counts, seed);
        expect(setsOf(other)).toEqual(setsOf(splits));
        const place = new Map(shuffled.map(({ id }, index) => [id, index]));
        for (const part of parts) {
          const places = other[part].map((id) => place.get(id) as number);
          expect(places).toEqual([...places].sort((a, b) => a - b));
        }
      },
    ),
  );
});

describe("Fractions", () => {
  const cohort = (size: number) =>
    Array.from(
      { length: size },
      (_, index): Case => ({ id: `${index}`, patient: `${index}`, labels: { pirads: null } }),
    );
  const sizes = (total: number, train: number, validation: number, testing: number) => {
    const splits = makeSplits(cohort(total), { train, validation, test: testing }, 0);
    return parts.map((part) => splits[part].length);
  };

  test("become counts by largest remainder", () => {
    expect(sizes(740, 0.75, 0.05, 0.2)).toEqual([555, 37, 148, 0]);
    expect(sizes(100, 0.29, 0.01, 0.7)).toEqual([29, 1, 70, 0]);
    // 8.25, 0.55, 2.2: the one that is left goes to validation.
    expect(sizes(11, 0.75, 0.05, 0.2)).toEqual([8, 1, 2, 0]);
    expect(sizes(10, 0.5, 0.1, 0.2)).toEqual([5, 1, 2, 2]);
  });

  test("give every part that asked for something at least one case", () => {
    expect(sizes(3, 0.75, 0.05, 0.2)).toEqual([1, 1, 1, 0]);
    expect(sizes(5, 0.9, 0.01, 0.09)).toEqual([3, 1, 1, 0]);
    expect(sizes(4, 0.5, 0, 0.5)).toEqual([2, 0, 2, 0]);
  });

  test("add up for any cohort and any fractions", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: 200 }),
        fc.tuple(fc.nat(50), fc.nat(50), fc.nat(50), fc.nat(50)),
        (total, shares) => {
          const whole = shares.reduce((sum, share) => sum + share, 0);
          const [train, validation, testing] = shares.map((share) => share / whole);
          if (
            whole === 0 ||
            train + validation + testing === 0 ||
            [train, validation, testing].every(Number.isInteger)
          )
            return;
          const found = sizes(total, train, validation, testing);
          expect(found.reduce((sum, size) => sum + size, 0)).toBe(total);
          for (const [index, fraction] of [train, validation, testing].entries()) {
            expect(found[index] > 0).toBe(fraction > 0);
            expect(Math.abs(found[index] - fraction * total)).toBeLessThan(3);
          }
        },
      ),
    );
  });
});

describe("A split is refused", () => {
  const three = [1, 2, 3].map(
    (index): Case => ({ id: `c${index}`, patient: `p${index}`, labels: { pirads: 3 } }),
  );
  test.each([
    [
      "when more is asked than there is",
      three,
      { train: 2, validation: 1, test: 1 },
      "expected at most the 3 patients that it has but received train 2, validation 1, test 1: 4 in all",
    ],
    [
      "when fractions are mixed with counts",
      three,
      { train: 2, validation: 0.5, test: 0 },
      "either whole numbers of patients for all parts, or fractions for all",
    ],
    ["when fractions exceed 1", three, { train: 0.8, validation: 0.1, test: 0.2 }, "add up to at most 1"],
    [
      "when a number is negative",
      three,
      { train: -1, validation: 1, test: 1 },
      "expected numbers of at least 0",
    ],
    ["when nothing is asked for", three, { train: 0, validation: 0, test: 0 }, "at least one part above 0"],
    [
      "when there are fewer patients than parts",
      three.slice(0, 2),
      { train: 0.5, validation: 0.25, test: 0.25 },
      "at least a patient for every part",
    ],
    ["when there are no cases", [], { train: 1, validation: 0, test: 0 }, "at most the 0 patients"],
  ])("%s", (_, cases, request, reason) => {
    expect(() => makeSplits(cases, request, 0)).toThrow(
      expect.objectContaining({ code: "BAD_CONFIG", message: expect.stringContaining(reason) }),
    );
  });
});
