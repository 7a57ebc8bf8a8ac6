import { groupBy } from "../common/group-by.js";
import { isShared, type TaskVariant } from "../common/vocabulary.js";
import type { Answer, Counts, Saturation, Tally } from "../results/answers.js";
import { type Claim, type GainReference, gainReferences } from "../results/claims.js";
import { type Distance, distanceNames, type MeanDistance } from "../results/distances.js";
import type { Finding } from "../results/findings.js";
import type { CellSummary, StudyResults } from "../results/study.js";
import { betterOfTwo, isHardlyAnything } from "./direction.js";
import { countsFor, variantsOf } from "./variants.js";

/** What is said first is said over these: to be better than a network that never saw the task tells nothing. */
export const answeredOver = [
  "from-scratch",
  "specialised",
  "trivial",
] as const satisfies readonly GainReference[];

/** How often each verdict was given, a foundation model each. */
export function computeAnswers(
  cells: readonly CellSummary[],
  claims: readonly Claim[],
  distances: readonly MeanDistance[],
): Answer[] {
  const variants = variantsOf(cells);
  const byModel = groupBy(
    cells.filter(({ comparator }) => !isShared(comparator)),
    ({ model }) => model,
  );
  const claimsOf = groupBy(claims, ({ model }) => model);
  const distancesOf = groupBy(distances, ({ model }) => model);
  return [...byModel].map(([model, own]) => {
    const tasks = variants.filter((variant) => own.some((cell) => isOf(variant, cell)));
    const counted = tasks.filter((variant) => countsFor(variants, variant));
    const others = tasks.filter((variant) => !countsFor(variants, variant));
    const mine = claimsOf.get(model) ?? [];
    const moved = distancesOf.get(model) ?? [];
    return {
      model,
      tasks: counted.length,
      withDistances: counted.filter((variant) => moved.some((one) => isOf(variant, one))).length,
      tallies: [false, true].flatMap((again) =>
        (again ? others : counted).length === 0
          ? []
          : answeredOver.map((reference) => tallyOf(again ? others : counted, mine, reference, again)),
      ),
    };
  });
}

function tallyOf(
  tasks: readonly TaskVariant[],
  claims: readonly Claim[],
  reference: GainReference,
  again: boolean,
): Tally {
  const known = tasks.flatMap((variant) => {
    const claim = claims.find((one) => one.reference === reference && isOf(variant, one));
    return claim ? [{ variant, claim }] : [];
  });
  // Of two models that have learnt next to nothing neither is better.
  const learnt = ({ claim }: (typeof known)[number]) =>
    reference !== "from-scratch" || !isHardlyAnything(claim, betterOfTwo(claim));
  const compared = known.filter(learnt);
  const several = ({ claim }: (typeof known)[number]) => claim.seeds.length > 1;
  // Where one seed decides nothing, a verdict is none; over training from scratch every task is answered for.
  const judged = compared.filter((one) => reference === "from-scratch" || several(one));
  const which = (those: typeof known) => those.map(({ variant }) => variant);
  return {
    reference,
    again,
    compared: compared.length,
    higher: compared.filter(({ claim }) => claim.difference.estimate > 0).length,
    oneSeed: !compared.some(several),
    judged: judged.length,
    verdicts: (["supported", "contradicted", "practically-equal", "undetermined"] as const).flatMap(
      (verdict) => {
        const those = which(judged.filter(({ claim }) => claim.verdict === verdict));
        return those.length === 0 && verdict !== "supported"
          ? []
          : [{ verdict, tasks: those.length, which: those }];
      },
    ),
    notLearnt: which(known.filter((one) => !learnt(one))),
    notCompared: tasks.filter((variant) => known.every((one) => one.variant !== variant)),
    // Whoever is not ahead has beaten nothing, and neither has who is ahead by what does not matter.
    notBeaten:
      reference !== "trivial"
        ? []
        : which(
            known.filter(
              ({ claim }) => !(claim.difference.estimate > 0 && claim.verdict !== "practically-equal"),
            ),
          ),
  };
}

const isOf = (variant: TaskVariant, one: TaskVariant): boolean =>
  one.task === variant.task && one.strategy === variant.strategy;

/** How much of what a study holds, and how much of it says less than it seems to. */
export function computeCounts(
  results: Pick<StudyResults, "cells" | "learningCurves" | "cohort" | "distances" | "gains">,
  means: readonly MeanDistance[],
  { claims, findings }: { claims: readonly Claim[]; findings: readonly Finding[] },
): Counts {
  const cells = [...results.cells, ...(results.learningCurves?.cells ?? [])];
  const of = (status: CellSummary["status"]) => cells.filter((cell) => cell.status === status).length;
  const atCeiling = findings.flatMap((one) => (one.kind === "distance-at-ceiling" ? [one.distance] : []));
  const bySeed = groupBy(results.distances, keyOf);
  const kinds = means
    .filter(({ saturated }) => saturated)
    .map((one) => saturationOf(bySeed.get(keyOf(one)) ?? []));
  return {
    cells: { all: cells.length, done: of("done"), failed: of("failed"), pending: of("pending") },
    excludedCases: results.cohort.excluded.length,
    tested: gainReferences.flatMap((reference) => {
      const tested = claims.filter((one) => one.reference === reference && one.adjustedP !== null).length;
      return tested === 0 ? [] : [{ reference, claims: tested }];
    }),
    distances: {
      all: means.length,
      saturated: kinds.length,
      kinds: [...groupBy(kinds, (kind) => kind)].map(([kind, own]) => ({ kind, distances: own.length })),
      atCeiling: atCeiling.length,
      atCeilingByName: distanceNames.flatMap((name) => {
        const distances = atCeiling.filter((one) => one === name).length;
        return distances === 0 ? [] : [{ name, distances }];
      }),
    },
    gainsWithoutPercent: results.gains.filter(
      (gain) => gain.percent === null && gain.fineTuned !== null && gain.referenceValue !== null,
    ).length,
  };
}

const keyOf = ({ task, strategy, model, name }: Pick<Distance, "task" | "strategy" | "model" | "name">) =>
  JSON.stringify([task, strategy, model, name]);

/** What is wrong with a distance at the paper's kernel width, in any seed. */
function saturationOf(bySeed: readonly Distance[]): Saturation {
  const flags = new Set(bySeed.flatMap(({ paper }) => paper.flags));
  if (flags.has("collapsed-a") || flags.has("collapsed-b")) return "collapsed";
  if (flags.has("ceiling")) return "ceiling";
  return flags.has("sigma-too-large") ? "floor" : "constant";
}
