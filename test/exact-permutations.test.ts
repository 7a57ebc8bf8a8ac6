import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { mmdPermutationTest } from "../dist/alignment/permutation-test.js";
import { randomStream } from "../dist/common/random.js";
import { hashFill } from "./hash-fill.js";

interface Exact {
  name: string;
  n: number;
  m: number;
  shift: number;
  sigma: number;
  paired: boolean;
  patients: [string[], string[]] | null;
  statistic: number;
  p: number;
  divisions: number;
}
// Made with SciPy's permutation_test by test/oracles/feature_distances.py.
const { exact } = JSON.parse(
  readFileSync(new URL("oracles/feature_distances.json", import.meta.url), "utf8"),
) as { exact: Exact[] };

function sets({ name, n, m, shift, paired }: Exact) {
  const d = 3;
  const a = hashFill(`${name} a`, n * d);
  const own = hashFill(`${name} b`, m * d);
  const b = own.map((value, i) => (paired ? (a[i] as number) + 0.5 * value : value) + shift);
  return [
    { data: a, shape: [n, d] },
    { data: b, shape: [m, d] },
  ] as const;
}

describe("a permutation test whose divisions are few", () => {
  it.each(exact)("has SciPy's exact p: $name, $n and $m rows", async (one) => {
    const { sigma, paired, patients } = one;
    const tested = await mmdPermutationTest(...sets(one), {
      ...{ sigma, paired, permutations: 50 },
      ...(patients ? { patients: { a: patients[0], b: patients[1] } } : {}),
    });
    expect(tested.exact).toBe(true);
    // SciPy swaps all pairs too, which changes nothing; of paired rows half of its divisions are enough.
    expect(tested.permutations).toBe(paired ? one.divisions / 2 : one.divisions);
    expect(Math.abs((tested.unbiased as number) - one.statistic)).toBeLessThan(1e-12);
    expect(Math.abs(tested.pValue - one.p)).toBeLessThan(1e-12);
  });

  it("tries all of as many as are asked for, and draws at random where there are more", async () => {
    const rows = (name: string) => ({ data: hashFill(name, 14 * 2), shape: [14, 2] });
    const [a, b] = [rows("many a"), rows("many b")];
    const test = (permutations: number) => mmdPermutationTest(a, b, { sigma: 1, permutations, paired: true });
    expect(await test(8191)).toMatchObject({ exact: false, permutations: 8191 });
    const all = await test(8192);
    expect(all).toMatchObject({ exact: true, permutations: 8192 });
    const { pValue } = await test(8000);
    expect(Math.abs(pValue - all.pValue)).toBeLessThan(5 * Math.sqrt((all.pValue * (1 - all.pValue)) / 8000));
  });

  it("answers 1 for the one division of a single case", async () => {
    const [a, b] = [
      { data: Float64Array.of(0, 1), shape: [1, 2] },
      { data: Float64Array.of(3, 1), shape: [1, 2] },
    ];
    expect(await mmdPermutationTest(a, b, { paired: true })).toMatchObject({
      exact: true,
      permutations: 1,
      pValue: 1,
    });
  });
});

describe("whose rows are", () => {
  const a = { data: hashFill("whose a", 6), shape: [3, 2] };
  const b = { data: hashFill("whose b", 6), shape: [3, 2] };

  it("decides what chance moves: a patient with rows in both sets has them swapped, others are divided anew", async () => {
    const patients = { a: ["p", "q", "q"], b: ["r", "r", "q"] };
    // q swapped or not, times p or r in the first set.
    expect(await mmdPermutationTest(a, b, { patients })).toMatchObject({ exact: true, permutations: 4 });
    const all = { a: ["p", "q", "q"], b: ["q", "p", "p"] };
    expect(await mmdPermutationTest(a, b, { patients: all })).toMatchObject({ exact: true, permutations: 2 });
  });

  it.each([
    [
      { patients: { a: ["p", "q"], b: ["r", "s", "t"] } },
      "a name for each of the 3 rows of a for patients.a",
    ],
    [{ patients: { a: ["p", "q", "r"], b: ["r", 3, "t"] } }, "a name for each of the 3 rows of b"],
    [{ patients: { a: ["p", "q", "r"], b: ["p", "q", "s"] }, paired: true }, 'Expected "r" for row 2'],
  ])("is refused where it does not fit: %j", async (options, message) => {
    const refused = mmdPermutationTest(a, b, options as Parameters<typeof mmdPermutationTest>[2]);
    await expect(refused).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(message),
    });
  });
});

describe("the size of the test, where nothing differs,", () => {
  const d = 3;
  /** Features of patients with 1 to 3 rows each, nearly equal within a patient; `own` is what a network adds to each row. */
  function cohort(seed: number, name: string, patients: number) {
    const stream = randomStream(seed, "size", name);
    const names: string[] = [];
    const features: number[] = [];
    for (let patient = 0; patient < patients; patient++) {
      const centre = Array.from({ length: d }, () => stream.normal());
      for (let row = stream.integer(1, 3); row > 0; row--) {
        names.push(`${name}${patient}`);
        features.push(...centre.map((value) => value + 0.1 * stream.normal()));
      }
    }
    const network = () => ({
      data: Float64Array.from(features, (value) => value + 0.2 * stream.normal()),
      shape: [names.length, d],
    });
    return { names, network };
  }
  const trials = 300;

  /** How often p is at most alpha, and the most that 300 trials of that chance give in all but one of 1,000 runs. */
  async function sizes(p: (seed: number) => Promise<number>) {
    const values: number[] = [];
    for (let trial = 0; trial < trials; trial++) values.push(await p(trial));
    return [0.05, 0.1, 0.3, 0.5].map((alpha) => ({
      found: values.filter((value) => value <= alpha).length / trials,
      most: alpha + 3.1 * Math.sqrt((alpha * (1 - alpha)) / trials),
    }));
  }

  it("is at most alpha for two sets of other patients with several rows each; by rows it is not", async () => {
    const test = async (seed: number, byPatient: boolean) => {
      const [left, right] = [cohort(seed, "a", 9), cohort(seed, "b", 8)];
      const patients = { a: left.names, b: right.names };
      const { pValue } = await mmdPermutationTest(left.network(), right.network(), {
        ...{ sigma: 2, permutations: 199, seed },
        ...(byPatient ? { patients } : {}),
      });
      return pValue;
    };
    for (const { found, most } of await sizes((seed) => test(seed, true))) expect(found).toBeLessThan(most);
    const [byRows] = await sizes((seed) => test(seed, false));
    expect(byRows?.found).toBeGreaterThan(0.1);
  });

  it("is at most alpha for two networks on the same patients, and near it", async () => {
    const found = await sizes(async (seed) => {
      const { names, network } = cohort(seed, "a", 10);
      const patients = { a: names, b: names };
      return (await mmdPermutationTest(network(), network(), { sigma: 2, paired: true, patients, seed }))
        .pValue;
    });
    for (const { found: share, most } of found) expect(share).toBeLessThan(most);
    expect(found[3]?.found).toBeGreaterThan(0.38);
  });

  it("is at most alpha where each patient's drift is its own, whatever its rows", async () => {
    // A network's features of one patient move together: rows are not independent even given the patient.
    const drift = (seed: number, names: readonly string[]) => {
      const stream = randomStream(seed, "drift");
      const of = new Map(names.map((name) => [name, Array.from({ length: d }, () => 0.5 * stream.normal())]));
      return (values: Float64Array) =>
        values.map((value, i) => value + (of.get(names[Math.floor(i / d)] as string)?.[i % d] as number));
    };
    const test = async (seed: number, byPatient: boolean) => {
      const { names, network } = cohort(seed, "a", 10);
      const [a, b] = [network(), network()];
      b.data = drift(seed, names)(b.data);
      a.data = drift(seed + 10_000, names)(a.data);
      const patients = { a: names, b: names };
      const { pValue } = await mmdPermutationTest(a, b, {
        ...{ sigma: 2, paired: true, permutations: 199, seed },
        ...(byPatient ? { patients } : {}),
      });
      return pValue;
    };
    for (const { found, most } of await sizes((seed) => test(seed, true))) expect(found).toBeLessThan(most);
    const [byRows] = await sizes((seed) => test(seed, false));
    expect(byRows?.found).toBeGreaterThan(0.1);
  });
});
