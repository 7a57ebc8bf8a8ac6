import { requireOptions } from "../common/arguments.js";
import { describe, expected } from "../common/errors.js";
import { groupBy } from "../common/group-by.js";
import { average } from "../common/numbers.js";
import type { TaskName } from "../common/vocabulary.js";
import type { CellResult } from "../results/cell.js";
import { type Claim, type GainReference, gainReferences } from "../results/claims.js";
import { definitionOf, isKind } from "../tasks/index.js";
import { cellsOf, patientsOf, requireCells, valuesByCase } from "./cells.js";
import { type CrossedDifference, type CrossedPair, crossedDifference, crossedPair } from "./crossed.js";
import {
  betterBy,
  betterOfTwo,
  directionOf,
  directionSaid,
  floorSaid,
  isHardlyAnything,
  turned,
} from "./direction.js";
import type { DividedDifference } from "./divided.js";
import { dividedClaim } from "./divided-claim.js";
import { type Circumstances, costOf, doubtsAbout, requireCircumstances } from "./doubts.js";
import { holm } from "./holm.js";
import { detectableDifference, fewSeeds, whatSettles } from "./planning.js";
import { type DifferenceOfSet, differenceOfSet } from "./set-claim.js";
import { setDifference } from "./set-difference.js";
import type { MeanSquare } from "./uncertain-spread.js";

/** Rules of claims, as a study sets them beforehand. */
export interface ClaimRules {
  /**
   * By task, the difference of its metric up to which two models count as practically equal; default: that of the kind of
   * task whose name it has.
   */
  margins?: Partial<Record<TaskName, number>>;
}

/** The chance of calling a claim supported, among all over one reference, where none is true. */
const level = 0.05;

/** A claim before it is judged: what is measured. */
interface Comparison {
  claim: Omit<
    Claim,
    | "verdict"
    | "reason"
    | "difference"
    | "percent"
    | "p"
    | "adjustedP"
    | "equivalence"
    | "detectable"
    | "wouldSettle"
    | "distrust"
  > & {
    estimate: number;
  };
  /** The cells that it rests on: the fine-tuned one and the reference, of each seed. */
  pairs: readonly (readonly [CellResult, CellResult])[];
  /** Null for a metric that only a whole test set has. */
  pair: CrossedPair | null;
  /** Of such a metric, where it can be judged. */
  ofSet: DifferenceOfSet | null;
  /** Where each seed divides the patients anew, in place of both. */
  divided: DividedDifference | null;
}

/**
 * Every claim that a study's cells allow: each fine-tuned model on each task over each reference that was run. All numbers
 * rest on the same seeds and patients for both, and no claim is better than undetermined from one seed.
 *
 * @param circumstances what is known of the models besides their cells, for `distrust`
 * @throws `BAD_INPUT` for what are no results of cells, and for a task of another name than a kind's without a margin
 */
export function computeClaims(
  cells: readonly CellResult[],
  rules: ClaimRules = {},
  circumstances: Circumstances = {},
): Claim[] {
  requireCells(cells);
  requireOptions(rules, "rules");
  requireCircumstances(circumstances);
  const { margins = {} } = rules;
  requireOptions(margins, "rules.margins");
  const comparisons = gainReferences.flatMap((reference) => comparisonsOver(cells, reference));
  const measured = comparisons.map((comparison) => {
    const { pair, ofSet, divided } = comparison;
    const pooled = pooledSeeds(comparison, comparisons);
    const crossed = pair && crossedDifference(pair, pooled);
    const models = pair && pooled ? Math.round(pooled.degrees / (pair.seeds - 1)) : 1;
    const seeds = comparison.claim.seeds.length;
    const whole =
      ofSet &&
      setDifference(ofSet.estimate, ofSet.spread, pooled && { ...pooled, value: pooled.value / seeds });
    const known = crossed ?? whole ?? divided;
    const ratio = whole ? { ratio: (at: number) => whole.ratio(ofSet.pair, at) } : (crossed ?? divided);
    const direction = directionOf(comparison.claim);
    return { ...comparison, crossed, models, ratio, known: known && betterBy(known, direction) };
  });
  const adjusted = new Map<Comparison, number>();
  for (const reference of gainReferences) {
    const family = measured.filter(({ claim, known }) => known !== null && claim.reference === reference);
    const pValues = holm(family.map(({ known }) => (known as { p: number }).p));
    for (const [index, one] of family.entries()) adjusted.set(one, pValues[index] as number);
  }
  return measured.map((one) => {
    const { claim, crossed, divided, models, known, ratio } = one;
    const { estimate, ...rest } = claim;
    const [low, high] = known?.interval(1 - level) ?? [null, null];
    const [from, to] = known?.interval(1 - 2 * level) ?? [null, null];
    const numbers: Judged = {
      ...rest,
      difference: {
        estimate,
        low,
        high,
        standardError: known?.standardError ?? null,
        deviations: crossed?.deviations ?? null,
      },
      percent: percentOf(rest, ratio),
      p: known?.p ?? null,
      adjustedP: adjusted.get(one) ?? null,
      equivalence: {
        margin: marginOf(claim.task, margins),
        low: from,
        high: to,
      },
      detectable: crossed
        ? detectableDifference(crossed.deviations, rest.seeds.length, rest.patients, models)
        : (divided?.detectable ?? null),
    };
    const judged = judge(numbers);
    const wouldSettle =
      judged.verdict === "undetermined" && crossed
        ? whatSettles(
            crossed.deviations,
            { estimate, margin: numbers.equivalence.margin },
            {
              ...{ seeds: rest.seeds.length, patients: rest.patients, models },
              alpha: level / multiplicity(numbers, measured),
            },
          )
        : null;
    return { ...numbers, ...judged, wouldSettle, distrust: doubtsAbout(rest, one.pairs, circumstances) };
  });
}

/** The difference that does not matter: as the study says, or else as the task's kind does, where its name is that of a kind. */
function marginOf(task: TaskName, margins: NonNullable<ClaimRules["margins"]>): number {
  const said = margins[task];
  if (said !== undefined) return said;
  if (isKind(task)) return definitionOf(task).metric.margin;
  throw expected(
    "the margin of a task whose name is not that of a kind",
    `rules.margins[${describe(task)}]`,
    said,
  );
}

/** A claim as far as its verdict takes it. */
type Judged = Omit<Claim, "verdict" | "reason" | "wouldSettle" | "distrust">;

/** By how much Holm's method raises the p of a claim: of one that it raises to 1, by no less than all claims there are. */
function multiplicity(
  { p, adjustedP, reference }: Judged,
  all: readonly { claim: { reference: GainReference }; known: unknown }[],
): number {
  const family = all.filter(({ claim, known }) => known !== null && claim.reference === reference).length;
  return p === null || adjustedP === null || adjustedP >= 1 || p === 0
    ? family
    : Math.min(family, adjustedP / p);
}

function percentOf(
  claim: Pick<Claim, "fineTuned" | "referenceValue" | "lowerIsBetter">,
  known: Pick<CrossedDifference, "ratio"> | null,
): Claim["percent"] {
  const { fineTuned, referenceValue } = claim;
  if (!(referenceValue > 0)) return null;
  const direction = directionOf(claim);
  const percent = (ratio: number) => turned((ratio - 1) * 100, direction);
  if (!known) return { estimate: percent(fineTuned / referenceValue), low: null, high: null };
  const set = known.ratio(1 - level);
  if (set === null) return null;
  const [low, high] = [percent(set.low), percent(set.high)];
  return { estimate: percent(set.estimate), low: Math.min(low, high), high: Math.max(low, high) };
}

/** The verdict on a claim from its numbers, and why. */
function judge(claim: Judged): Pick<Claim, "verdict" | "reason"> {
  const { difference, equivalence, p, adjustedP, seeds, patients, cases } = claim;
  const undetermined = (reason: string) => ({ verdict: "undetermined" as const, reason });
  if (isHardlyAnything(claim, betterOfTwo(claim)))
    return undetermined(`neither reaches ${floorSaid(claim)}: the task was not learnt`);
  if (seeds.length < 2)
    return undetermined("one seed: how much the result moves from one training to the next is not known");
  if (patients === 0)
    return undetermined(
      `${claim.metric} is one number for the whole test set of ${cases} cases: three seeds or more, and patients of both kinds, give it an interval`,
    );
  if (patients < 2) return undetermined("one patient: how much patients differ is not known");
  const { low, high } = difference;
  if (low === null || high === null || p === null || adjustedP === null)
    return undetermined("its interval is not known");
  const interval = `95 % interval ${number(low)} to ${number(high)}`;
  const over = claim.dividedAnew
    ? `over ${seeds.length} divisions of the patients`
    : `over ${seeds.length} seeds and ${patients} patients`;
  const { margin } = equivalence;
  if (Math.max(-(equivalence.low as number), equivalence.high as number) < margin)
    return {
      verdict: "practically-equal",
      reason: `it differs by less than ${margin} (${interval}, ${over})`,
    };
  if (adjustedP < level) {
    const verdict = difference.estimate > 0 ? "supported" : "contradicted";
    return { verdict, reason: `${interval} ${over}` };
  }
  if (p < level)
    return undetermined(`${interval} ${over}, but among all claims of the study chance gives as much`);
  return undetermined(`${interval} ${over} holds both better and worse`);
}

const number = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toPrecision(2)}`;

/** The fine-tuned cells of each model on each task, beside those of a reference. */
function comparisonsOver(cells: readonly CellResult[], reference: GainReference): Comparison[] {
  const othersOf = cellsOf(cells, reference);
  const fineTuned = cells.filter(({ comparator }) => comparator === "fine-tuned");
  const groups = groupBy(fineTuned, ({ task, strategy, model }) => JSON.stringify([task, strategy, model]));
  return [...groups.values()].flatMap((own) => {
    const pairs = own.flatMap((cell) => {
      const other = othersOf(cell).at(-1);
      return other && cell.metric.mean !== null && other.metric.mean !== null ? [[cell, other] as const] : [];
    });
    return pairs.length === 0 ? [] : [comparison(pairs, reference)];
  });
}

function comparison(
  pairs: readonly (readonly [CellResult, CellResult])[],
  reference: GainReference,
): Comparison {
  const [first] = pairs[0] as readonly [CellResult, CellResult];
  const { task, strategy, model, metric } = first;
  const direction = directionOf(metric);
  const of = {
    ...{ task, strategy, model, reference, metric: metric.name, ...directionSaid(metric) },
    seeds: pairs.map(([cell]) => cell.seed),
    cost: costOf(pairs),
  };
  const sides = [pairs.map(([cell]) => cell), pairs.map(([, other]) => other)];
  const ofCases = metric.standardDeviation !== null;
  if (first.division !== undefined) {
    const { divided, ...rest } = dividedClaim(pairs, first.division, direction);
    return { claim: { ...of, ...rest }, pairs, pair: null, ofSet: null, divided };
  }
  const tables = ofCases ? sides.map((cells) => cells.map(valuesByCase)) : [];
  const everywhere = [...(tables[0]?.[0]?.keys() ?? [])].filter((id) =>
    tables.flat().every((one) => one.has(id)),
  );
  const patientOf = patientsOf(first);
  const patients = groupBy(everywhere, (id) => patientOf.get(id) as string);
  if (patients.size === 0) {
    const [fineTuned, referenceValue] = sides.map((cells) =>
      average(cells.map((cell) => cell.metric.mean as number)),
    ) as [number, number];
    const claim = { ...of, patients: 0, cases: metric.cases.length, fineTuned, referenceValue, better: null };
    const ofSet = ofCases ? null : differenceOfSet(pairs);
    return {
      claim: {
        ...claim,
        estimate: turned(fineTuned - referenceValue, direction),
        patients: ofSet?.patients ?? 0,
      },
      pairs,
      pair: null,
      ofSet,
      divided: null,
    };
  }
  const [own, others] = tables.map((rows) =>
    rows.map((values) =>
      [...patients.values()].map((ids) => average(ids.map((id) => values.get(id) as number))),
    ),
  ) as [number[][], number[][]];
  const pair = crossedPair(own, others);
  const gains = [...patients.keys()].map((_, i) =>
    average(own.map((row, s) => (row[i] as number) - (others[s]?.[i] as number))),
  );
  const claim = {
    ...of,
    ...{ patients: patients.size, cases: everywhere.length },
    ...{ fineTuned: pair.first, referenceValue: pair.second },
    better: gains.filter((gain) => direction * gain > 0).length,
  };
  const estimate = turned(pair.first - pair.second, direction);
  return { claim: { ...claim, estimate }, pairs, pair, ofSet: null, divided: null };
}

/** The spread between seeds over all models that were compared on a task with few seeds; undefined where one is alone. */
function pooledSeeds(comparison: Comparison, all: readonly Comparison[]): MeanSquare | undefined {
  const { claim } = comparison;
  if (ofSeeds(comparison) === null || claim.seeds.length > fewSeeds) return undefined;
  const patients = patientsOfEach(comparison);
  const alike = all.filter(
    (other) =>
      other.claim.reference === claim.reference &&
      other.claim.task === claim.task &&
      other.claim.strategy === claim.strategy &&
      patientsOfEach(other) === patients,
  );
  let degrees = 0;
  let sum = 0;
  for (const other of alike) {
    const square = ofSeeds(other);
    if (square === null) continue;
    degrees += square.degrees;
    sum += square.degrees * square.value;
  }
  return { value: sum / degrees, degrees };
}

const patientsOfEach = ({ pair, ofSet }: Comparison): number | undefined => pair?.patients ?? ofSet?.patients;

/**
 * What a comparison's own seeds differ by, however many there are; null for one seed, and where each divides the patients anew.
 */
function ofSeeds({ claim, pair, ofSet }: Comparison): MeanSquare | null {
  if (ofSet) return { ...ofSet.spread.seeds, value: ofSet.spread.seeds.value * claim.seeds.length };
  if (!pair?.bySeed) return null;
  const { first, product, second } = pair.bySeed;
  return { value: first - 2 * product + second, degrees: pair.seeds - 1 };
}
