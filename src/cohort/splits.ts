import { TransferLimitsError } from "../common/errors.js";
import { sumOf } from "../common/numbers.js";
import { type RandomStream, randomStream } from "../common/random.js";
import type { CohortColumns } from "./columns.js";
import { stratumOf } from "./labels.js";
import type { CohortCase } from "./manifest.js";
import { prostateColumns } from "./presets/prostate.js";

/** Case ids, each list in the order of the manifest; no patient has cases in two of them. */
export interface Splits {
  train: string[];
  validation: string[];
  test: string[];
  /** Cases of patients that no part asked for. */
  unused: string[];
}

/** How much each part gets: whole numbers are counts of patients, numbers below 1 fractions of all patients. */
export interface SplitRequest {
  train: number;
  validation: number;
  test: number;
}

/** The paper's split of PROMIS. */
export const paperSplit: SplitRequest = { train: 555, validation: 37, test: 148 };

const askedParts = ["train", "validation", "test"] as const;
const parts = [...askedParts, "unused"] as const;
type Part = (typeof parts)[number];
type Counts = Record<Part, number>;

/**
 * Divides a cohort by patient, at random but reproducibly, keeping the mix of a label in every part: of a prostate's, PI-RADS.
 *
 * - Counts and fractions are of patients, who take all their cases along, however many. Fractions become counts by
 *   largest remainder, with at least one patient for every part that asked for more than 0. Counts are met exactly.
 * - Strata are the patients' highest class of that label, and one for patients of whom none is known. The number of a stratum's
 *   patients in a part differs from its proportional share by less than 1.
 * - The result follows from the seed and the set of cases, not from their order.
 *
 * @throws `BAD_CONFIG` when the request is not three such numbers, or asks for more than there is
 */
export function makeSplits(
  cases: readonly Pick<CohortCase, "id" | "patient" | "labels">[],
  request: SplitRequest,
  seed: number,
  columns: CohortColumns = prostateColumns,
): Splits {
  const strata = stratify(cases, columns);
  const patients = [...strata.values()].reduce((sum, names) => sum + names.length, 0);
  const wanted = countsOf(request, { patients, cases: cases.length });
  const partOf = allocate(strata, wanted, seed);
  const splits: Splits = { train: [], validation: [], test: [], unused: [] };
  for (const { id, patient } of cases) splits[partOf.get(patient) ?? "unused"].push(id);
  return splits;
}

const badSplit = (reason: string) =>
  new TransferLimitsError("BAD_CONFIG", `The cohort cannot be split: ${reason}`);

/** `3 patients`, and where that is another number, of how many cases. */
function cohortWords({ patients, cases }: { patients: number; cases: number }): string {
  const words = `${patients} patient${patients === 1 ? "" : "s"}`;
  return patients === cases ? words : `${words} (of ${cases} cases, which stay together)`;
}

/** Numbers that add up to 100 were meant as percents. */
function asFractions(shares: readonly number[]): string {
  const arePercents = sumOf(shares) === 100;
  const fractions = arePercents ? shares.map((share) => share / 100) : [0.75, 0.05, 0.2];
  return askedParts.map((part, index) => `${part} ${fractions[index]}`).join(", ");
}

/** Counts of patients for every part; they add up to all that there are. */
function countsOf(request: SplitRequest, cohort: { patients: number; cases: number }): Counts {
  const total = cohort.patients;
  const shares = askedParts.map((part) => request[part]);
  const text = askedParts.map((part) => `${part} ${request[part]}`).join(", ");
  if (!shares.every((share) => Number.isFinite(share) && share >= 0))
    throw badSplit(`expected numbers of at least 0 but received ${text}`);
  const asked = sumOf(shares);
  if (asked === 0) throw badSplit(`expected at least one part above 0 but received ${text}`);

  if (shares.every(Number.isInteger)) {
    if (asked > total)
      throw badSplit(
        `expected at most the ${cohortWords(cohort)} that it has but received ${text}: ${asked} in all. Lower the counts, ` +
          `or give fractions of all patients, such as ${asFractions(shares)}`,
      );
    return {
      train: request.train,
      validation: request.validation,
      test: request.test,
      unused: total - asked,
    };
  }
  if (shares.some((share) => share > 1))
    throw badSplit(
      `expected either whole numbers of patients for all parts, or fractions for all, but received ${text}`,
    );
  if (asked > 1 + 1e-9) throw badSplit(`expected fractions that add up to at most 1 but received ${text}`);
  const needed = shares.filter((share) => share > 0).length;
  if (needed > total)
    throw badSplit(
      `expected at least a patient for every part but received ${text} of ${cohortWords(cohort)}; take more patients`,
    );
  return apportion({ ...request, unused: Math.max(1 - asked, 0) }, total);
}

/** Largest remainder, with at least one for every asked part above 0. */
function apportion(fractions: Counts, total: number): Counts {
  const quota = (part: Part) => fractions[part] * total;
  const least = (part: Part) => (part !== "unused" && fractions[part] > 0 ? 1 : 0);
  // The tiny amount takes back the rounding of products such as 0.29 * 100.
  const counts = Object.fromEntries(
    parts.map((part) => [part, Math.max(Math.floor(quota(part) + 1e-9), least(part))]),
  ) as Counts;
  const sum = () => parts.reduce((total, part) => total + counts[part], 0);
  const excess = (part: Part) => counts[part] - quota(part);
  // Ties go to the part that stands first.
  const most = (candidates: readonly Part[], value: (part: Part) => number) =>
    candidates.reduce((best, part) => (value(part) > value(best) + 1e-9 ? part : best));
  while (sum() < total)
    counts[
      most(
        parts.filter((part) => fractions[part] > 1e-9),
        (part) => -excess(part),
      )
    ]++;
  while (sum() > total)
    counts[
      most(
        parts.filter((part) => counts[part] > least(part)),
        excess,
      )
    ]--;
  return counts;
}

/** The patients of every stratum, in an order that does not depend on the manifest's. */
function stratify(
  cases: readonly Pick<CohortCase, "patient" | "labels">[],
  columns: CohortColumns,
): Map<number, string[]> {
  const highest = new Map<string, number>();
  for (const { patient, labels } of cases)
    highest.set(patient, Math.max(highest.get(patient) ?? 0, stratumOf(labels, columns)));
  const strata = new Map<number, string[]>();
  for (const [patient, stratum] of [...highest].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const patients = strata.get(stratum) ?? [];
    patients.push(patient);
    strata.set(stratum, patients);
  }
  return new Map([...strata].sort(([a], [b]) => a - b));
}

function allocate(strata: ReadonlyMap<number, string[]>, wanted: Counts, seed: number): Map<string, Part> {
  const sizes = [...strata.values()].map(({ length }) => length);
  const quotas = roundTable(sizes, wanted);
  const partOf = new Map<string, Part>();
  for (const [row, [stratum, patients]] of [...strata].entries()) {
    const stream = randomStream(seed, "split", stratum === 0 ? "unknown" : stratum);
    const quota = { ...(quotas[row] as Counts) };
    for (const patient of stream.shuffle(patients)) {
      const part = drawPart(quota, stream);
      quota[part]--;
      partOf.set(patient, part);
    }
  }
  return partOf;
}

/** A part with room for one more, drawn with the probability of its room. */
function drawPart(quota: Counts, stream: RandomStream): Part {
  const fitting = parts.filter((part) => quota[part] > 0);
  let draw = stream.uniform() * fitting.reduce((sum, part) => sum + quota[part], 0);
  for (const part of fitting) {
    draw -= quota[part];
    if (draw < 0) return part;
  }
  return fitting.at(-1) as Part;
}

/**
 * Whole numbers for a table of strata by parts that keep its row sums (`sizes`) and column sums (`wanted`), each the
 * proportional share rounded down or up. Such a rounding always exists: the shares themselves are a fractional flow
 * through a network whose capacities are whole, so a whole flow exists too. It is found by augmenting paths.
 */
function roundTable(sizes: readonly number[], wanted: Counts): Counts[] {
  const total = sumOf(sizes);
  const columns = parts.map((part) => wanted[part]);
  // Floor and remainder from whole numbers, so that no rounding blurs which shares are whole.
  const floors = sizes.map((size) => columns.map((column) => Math.floor((size * column) / total)));
  const fractional = sizes.map((size) => columns.map((column) => (size * column) % total !== 0));
  const raised = sizes.map(() => columns.map(() => false));
  const columnRoom = columns.map(
    (column, c) => column - floors.reduce((sum, row) => sum + (row[c] as number), 0),
  );

  const augment = (row: number, visited: Set<number>): boolean => {
    for (const c of columns.keys()) {
      if (!fractional[row]?.[c] || raised[row]?.[c] || visited.has(c)) continue;
      visited.add(c);
      const free = (columnRoom[c] as number) > 0;
      if (free) columnRoom[c] = (columnRoom[c] as number) - 1;
      else {
        // Let another stratum give up its place in this part, if it finds one in another part.
        const other = sizes.findIndex((_, r) => r !== row && raised[r]?.[c] === true && augment(r, visited));
        if (other < 0) continue;
        (raised[other] as boolean[])[c] = false;
      }
      (raised[row] as boolean[])[c] = true;
      return true;
    }
    return false;
  };
  for (const [row, size] of sizes.entries()) {
    const missing = size - (floors[row] as number[]).reduce((sum, floor) => sum + floor, 0);
    for (let unit = 0; unit < missing; unit++) augment(row, new Set());
  }
  return floors.map(
    (row, r) =>
      Object.fromEntries(
        parts.map((part, c) => [part, (row[c] as number) + (raised[r]?.[c] ? 1 : 0)]),
      ) as Counts,
  );
}
