import { groupBy } from "../common/group-by.js";
import type { Strategy, TaskName } from "../common/vocabulary.js";
import type { GainReference, WouldSettle } from "../results/claims.js";
import { type Claim, gainReferences } from "../results/claims.js";
import type { Study } from "../study/config/schema.js";
import { varies } from "../study/config/seeds.js";
import type { StudyPlan } from "../study/plan/plan.js";
import type { CohortPreview } from "../study/plan/preview.js";
import type { ExpectedSpread } from "../tasks/expected-spreads.js";
import { definitionOf, taskOf } from "../tasks/index.js";
import { setMetricOf } from "../tasks/set-metrics.js";
import { expectedOfDivisions } from "./divided.js";
import { detectableDifference, expectedHalfWidth } from "./planning.js";

/** What a study can tell about a task over a reference, before it is run. */
export interface PlannedClaim {
  task: TaskName;
  strategy: Strategy;
  reference: GainReference;
  metric: string;
  /** How many of each; patients of the test set that take part, some of whom may leave the metric undefined. */
  seeds: number;
  patients: number;
  models: number;
  /** Standard deviations of the difference, in the metric's unit, and who says so. */
  spread: ExpectedSpread;
  spreadFrom: "study" | "earlier" | "default";
  /** Half of the 95 % interval of the difference, on average. Null: there will be none. */
  halfWidth: number | null;
  /** The gain that is found with a power of 80 %, if it is the only claim. Null likewise. */
  detectable: number | null;
  /** Differences up to here count as practically equal. */
  margin: number;
  /** Why there will be no interval; only there. */
  reason?: string;
}

/** A claim that an earlier study left open, and what would settle it if the difference truly is the one that was seen. */
export interface OpenClaim
  extends Pick<Claim, "task" | "strategy" | "model" | "reference" | "metric" | "reason"> {
  seeds: number;
  patients: number;
  estimate: number;
  low: number | null;
  high: number | null;
  wouldSettle: WouldSettle | null;
}

/**
 * Which gain each comparison of a study can find with its seeds and test patients. The spread of the difference is the one
 * that an earlier study saw, else the one that the study plants (`claims.expected`), else a default.
 *
 * @param earlier claims of another study of the same kind; default: none
 */
export function plannedClaims(
  study: Study,
  { cells }: StudyPlan,
  previews: readonly CohortPreview[],
  earlier: readonly Claim[] = [],
): PlannedClaim[] {
  const planned = cells.filter(({ kind }) => kind === "cell");
  const fineTuned = groupBy(
    planned.filter(({ comparator }) => comparator === "fine-tuned"),
    ({ task, strategy }) => JSON.stringify([task, strategy]),
  );
  const references = gainReferences.filter((name) => planned.some(({ comparator }) => comparator === name));
  return [...fineTuned.values()].flatMap((own) => {
    const task = own[0]?.task as TaskName;
    const strategy = own[0]?.strategy as Strategy;
    const config = study.tasks.find(({ name }) => name === task) as Study["tasks"][number];
    const patients = previews.flatMap(({ judged }) => judged).find((one) => one.task === task)?.patients ?? 0;
    const ofCohort = previews.find(({ judged }) => judged.some((one) => one.task === task))?.patients ?? 0;
    const seeds = new Set(own.map(({ seed }) => seed)).size;
    const models = new Set(own.map(({ model }) => model)).size;
    const { metric } = taskOf(config, strategy);
    return references.map((reference): PlannedClaim => {
      const known = spreadOf(study, { task, strategy, reference }, earlier);
      const of = { task, strategy, reference, metric, seeds, patients, models, ...known };
      const margin = study.claims.margins[config.kind];
      const reason = whyNone(metric, seeds, patients);
      if (reason !== null) return { ...of, halfWidth: null, detectable: null, margin, reason };
      const { seed, patient, interaction } = known.spread;
      const spreads = { seeds: seed, patients: patient, rest: interaction };
      if (varies(study, "split"))
        return {
          ...of,
          ...expectedOfDivisions(spreads, seeds, { patients: ofCohort, tested: patients }),
          margin,
        };
      return {
        ...of,
        halfWidth: expectedHalfWidth(spreads, seeds, patients, 0.05, models),
        detectable: detectableDifference(spreads, seeds, patients, models),
        margin,
      };
    });
  });
}

/** The claims that an earlier study left open. */
export const openClaims = (earlier: readonly Claim[]): OpenClaim[] =>
  earlier
    .filter(({ verdict }) => verdict === "undetermined")
    .map(
      ({ task, strategy, model, reference, metric, reason, seeds, patients, difference, wouldSettle }) => ({
        ...{ task, strategy, model, reference, metric, reason, seeds: seeds.length, patients },
        ...{ estimate: difference.estimate, low: difference.low, high: difference.high, wouldSettle },
      }),
    );

function spreadOf(
  study: Study,
  { task, strategy, reference }: Pick<PlannedClaim, "task" | "strategy" | "reference">,
  earlier: readonly Claim[],
): Pick<PlannedClaim, "spread" | "spreadFrom"> {
  const { expected } = study.claims;
  const alike = earlier.filter(
    (claim) => claim.task === task && claim.strategy === strategy && claim.reference === reference,
  );
  const seen = alike.flatMap((claim) => seenSpread(claim) ?? []);
  if (seen.length > 0) {
    const of = (part: keyof ExpectedSpread) =>
      Math.sqrt(seen.reduce((sum, one) => sum + one[part] ** 2, 0) / seen.length);
    const spread = { seed: of("seed"), patient: of("patient"), interaction: of("interaction") };
    return { spread, spreadFrom: "earlier" };
  }
  const config = study.tasks.find(({ name }) => name === task) as Study["tasks"][number];
  const { kind } = config;
  const planted = expected[kind];
  return planted
    ? { spread: planted, spreadFrom: "study" }
    : { spread: taskOf(config, strategy).spread ?? definitionOf(kind).metric.spread, spreadFrom: "default" };
}

/** The spread that an earlier claim saw; null where it saw none. */
function seenSpread({ difference, patients }: Claim): ExpectedSpread | null {
  const { deviations, standardError } = difference;
  if (deviations)
    return { seed: deviations.seeds, patient: deviations.patients, interaction: deviations.rest };
  // Of a metric of the whole test set seeds and patients are not told apart: all of it is taken as the patients'.
  if (standardError === null) return null;
  return { seed: 0, patient: standardError * Math.sqrt(patients), interaction: 0 };
}

/** With fewer seeds a metric of the whole test set has no interval. */
const fewestSeedsOfSets = 3;

function whyNone(metric: string, seeds: number, patients: number): string | null {
  if (seeds < 2) return "one seed: nothing can be settled";
  if (patients < 2) return "fewer than two test patients: nothing can be settled";
  if (setMetricOf(metric) !== null && seeds < fewestSeedsOfSets)
    return `${metric} is one number for the whole test set: it takes three seeds or more`;
  return null;
}
