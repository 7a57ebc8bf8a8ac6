import { TransferLimitsError } from "../common/errors.js";
import { type RandomStream, randomStream } from "../common/random.js";
import type { CohortCase } from "./manifest.js";

/** Case ids, each list in the order of the manifest; no patient has cases in two of them. */
export interface Splits {
  train: string[];
  validation: string[];
  test: string[];
  /** Cases that no part asked for, or whose patient has more cases than any part had room for. */
  unused: string[];
}

/** How much each part gets: whole numbers are counts of cases, numbers of at most 1 are fractions of all cases. */
export interface SplitRequest {
  train: number;
  validation: number;
  test: number;
}

/** The paper's split of PROMIS, where every patient has one case. */
export const paperSplit: SplitRequest = { train: 555, validation: 37, test: 148 };

const askedParts = ["train", "validation", "test"] as const;
const parts = [...askedParts, "unused"] as const;
type Part = (typeof parts)[number];
type Counts = Record<Part, number>;

interface Patient {
  name: string;
  /** How many cases. */
  size: number;
}

/**
 * Divides a cohort by patient, at random but reproducibly, keeping the mix of PI-RADS in every part.
 *
 * - Counts and fractions are of cases. Fractions become counts by largest remainder, with at least one case for
 *   every part that asked for more than 0. Where each patient has one case, the counts are met exactly.
 * - A patient with several cases goes as a whole. A part never gets more than its count; it gets less where the patients
 *   that are left do not fit, and those are then `unused`.
 * - Strata are the patients' highest PI-RADS, and one for patients of whom none is known. Where each patient has one
 *   case, the number of a stratum's cases in a part differs from its proportional share by less than 1.
 * - The result follows from the seed and the set of cases, not from their order.
 *
 * @throws `BAD_CONFIG` when the request is not three such numbers, asks for more than there is, or when a part that was
 *   asked for would stay empty
 */
export function makeSplits(
  cases: readonly Pick<CohortCase, "id" | "patient" | "pirads">[],
  request: SplitRequest,
  seed: number,
): Splits {
  const wanted = countsOf(request, cases.length);
  const strata = stratify(cases);
  const partOf = allocate(strata, wanted, seed);
  const splits: Splits = { train: [], validation: [], test: [], unused: [] };
  for (const { id, patient } of cases) splits[partOf.get(patient) ?? "unused"].push(id);

  const empty = askedParts.find((part) => wanted[part] > 0 && splits[part].length === 0);
  if (empty !== undefined)
    throw badSplit(
      `the part ${empty} should get ${cases_(wanted[empty])} but stays empty: a patient's cases stay together, ` +
        "and no patient is left who has so few; ask for more cases in it",
    );
  return splits;
}

const badSplit = (reason: string) =>
  new TransferLimitsError("BAD_CONFIG", `The cohort cannot be split: ${reason}`);

const cases_ = (count: number) => `${count} case${count === 1 ? "" : "s"}`;

/** Counts of cases for every part; they add up to `total`. */
function countsOf(request: SplitRequest, total: number): Counts {
  const shares = askedParts.map((part) => request[part]);
  const text = askedParts.map((part) => `${part} ${request[part]}`).join(", ");
  if (!shares.every((share) => Number.isFinite(share) && share >= 0))
    throw badSplit(`expected numbers of at least 0 but received ${text}`);
  const asked = shares.reduce((sum, share) => sum + share, 0);
  if (asked === 0) throw badSplit(`expected at least one part above 0 but received ${text}`);

  if (shares.every(Number.isInteger)) {
    if (asked > total)
      throw badSplit(
        `expected at most the ${cases_(total)} that it has but received ${text}: ${asked} in all`,
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
      `expected either whole numbers of cases for all parts, or fractions for all, but received ${text}`,
    );
  if (asked > 1 + 1e-9) throw badSplit(`expected fractions that add up to at most 1 but received ${text}`);
  const needed = shares.filter((share) => share > 0).length;
  if (needed > total)
    throw badSplit(
      `expected at least a case for every part but received ${text} of ${cases_(total)}; take more cases`,
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
function stratify(cases: readonly Pick<CohortCase, "patient" | "pirads">[]): Map<number, Patient[]> {
  const patients = new Map<string, { size: number; pirads: number }>();
  for (const { patient, pirads } of cases) {
    const known = patients.get(patient) ?? { size: 0, pirads: 0 };
    patients.set(patient, { size: known.size + 1, pirads: Math.max(known.pirads, pirads ?? 0) });
  }
  const strata = new Map<number, Patient[]>();
  for (const [name, { size, pirads }] of [...patients].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const stratum = strata.get(pirads) ?? [];
    stratum.push({ name, size });
    strata.set(pirads, stratum);
  }
  return new Map([...strata].sort(([a], [b]) => a - b));
}

function allocate(strata: ReadonlyMap<number, Patient[]>, wanted: Counts, seed: number): Map<string, Part> {
  const sizes = [...strata.values()].map((patients) => patients.reduce((sum, { size }) => sum + size, 0));
  const quotas = roundTable(sizes, wanted);
  const room = { ...wanted };
  const partOf = new Map<string, Part>();
  const place = (patient: Patient, part: Part) => {
    partOf.set(patient.name, part);
    room[part] -= patient.size;
  };

  const left: Patient[] = [];
  for (const [row, [pirads, patients]] of [...strata].entries()) {
    const stream = randomStream(seed, "split", pirads === 0 ? "unknown" : pirads);
    const quota = { ...(quotas[row] as Counts) };
    // Patients with many cases first, while there is room for them; those with one case fill what is left.
    for (const patient of stream.shuffle(patients).sort((a, b) => b.size - a.size)) {
      const part = drawPart(quota, patient.size, stream);
      if (part === undefined) left.push(patient);
      else {
        quota[part] -= patient.size;
        place(patient, part);
      }
    }
  }
  // Those whose stratum had no room fill the parts that are still short, whatever their stratum.
  for (const patient of left.sort((a, b) => b.size - a.size))
    place(patient, askedParts.find((part) => room[part] >= patient.size) ?? "unused");
  // Then the unused ones do: a part is short only when nobody fits.
  const names = new Map([...strata.values()].flat().map((patient) => [patient.name, patient]));
  for (const part of askedParts)
    for (const [name, current] of partOf) {
      const patient = names.get(name) as Patient;
      if (current === "unused" && room[part] >= patient.size) place(patient, part);
    }
  return partOf;
}

/** A part with room for `size` more cases, drawn with the probability of its room. */
function drawPart(quota: Counts, size: number, stream: RandomStream): Part | undefined {
  const fitting = parts.filter((part) => quota[part] >= size);
  let draw = stream.uniform() * fitting.reduce((sum, part) => sum + quota[part], 0);
  for (const part of fitting) {
    draw -= quota[part];
    if (draw < 0) return part;
  }
  return fitting.at(-1);
}

/**
 * Whole numbers for a table of strata by parts that keep its row sums (`sizes`) and column sums (`wanted`), each the
 * proportional share rounded down or up. Such a rounding always exists: the shares themselves are a fractional flow
 * through a network whose capacities are whole, so a whole flow exists too. It is found by augmenting paths.
 */
function roundTable(sizes: readonly number[], wanted: Counts): Counts[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
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
