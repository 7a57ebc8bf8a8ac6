import { groupBy } from "../common/group-by.js";
import { largest } from "../common/numbers.js";
import type { CellResult } from "../results/cell.js";
import type { StudyResults, TimeTaken } from "../results/study.js";
import { computeAnswers, computeCounts } from "./answers.js";
import { resultsOf } from "./cells.js";
import { computeClaims } from "./claims.js";
import { driftBandsOf } from "./drift.js";
import { computeFindings } from "./findings.js";
import { computeLearningCurves } from "./learning-curves.js";
import { computeMeanDistances } from "./mean-distance.js";
import { computeRelations } from "./relations.js";
import { computeScores, paceOf } from "./scores.js";

type Summarised =
  | "scores"
  | "claims"
  | "answers"
  | "counts"
  | "findings"
  | "meanDistances"
  | "driftBands"
  | "relations";

/** Results with everything that follows from them, so that a report has nothing to compute. */
export type SummarisedResults = StudyResults & Required<Pick<StudyResults, Summarised>> & Costs & Curves;
type Curves = { learningCurves?: Required<NonNullable<StudyResults["learningCurves"]>> };
type Costs = { cost: { sessions: NonNullable<StudyResults["cost"]>["sessions"]; totals: TimeTaken } };

/**
 * Adds what follows from the cells and distances of a study, as far as the results do not have it yet: scores, claims by the
 * study's margins, learning curves, findings, relations, and how often each verdict was given.
 *
 * @param options.resamples of patients and seeds, for the interval of a relation; default: none
 */
export function summariseResults(
  results: StudyResults,
  options: { resamples?: number } = {},
): SummarisedResults {
  const { learningCurves, ...rest } = results;
  const { cells, exposure = [], pretraining, margins = {}, drift = [] } = rest;
  const claims = results.claims ?? computeClaims(resultsOf(cells), { margins }, { exposure, pretraining });
  const findings = results.findings ?? computeFindings(results);
  const meanDistances = results.meanDistances ?? computeMeanDistances(results.distances);
  return {
    ...rest,
    scores: results.scores ?? computeScores(cells),
    claims,
    answers: results.answers ?? computeAnswers(cells, claims, meanDistances),
    counts: results.counts ?? computeCounts(results, meanDistances, { claims, findings }),
    findings,
    meanDistances,
    driftBands: results.driftBands ?? driftBandsOf(drift),
    relations: results.relations ?? computeRelations({ ...results, claims }, options),
    ...(learningCurves === undefined
      ? {}
      : {
          learningCurves: {
            cells: learningCurves.cells,
            curves:
              learningCurves.curves ??
              computeLearningCurves(
                resultsOf(cells),
                resultsOf(learningCurves.cells),
                pretrainingSeconds(pretraining),
              ),
          },
        }),
    cost: { sessions: results.cost?.sessions ?? [], totals: results.cost?.totals ?? timeTaken(results) },
  };
}

/** How long a study took, and what its cells took: not the same where they ran side by side. */
function timeTaken({ cells, pretraining, cost }: StudyResults): TimeTaken {
  const costs = [
    ...cells.flatMap(({ result }) => result?.cost ?? []),
    ...pretraining.flatMap((one) => one.cost ?? []),
  ];
  const sessions = cost?.sessions ?? [];
  const sum = (seconds: readonly number[]) => seconds.reduce((all, one) => all + (one || 0), 0);
  return {
    sessionSeconds: sum(sessions.map(({ seconds }) => seconds)),
    cellSeconds: sum(costs.map(({ wallSeconds }: CellResult["cost"]) => wallSeconds)),
    jobs: sessions.length === 0 ? null : largest(sessions.map(({ jobs }) => jobs)),
    pretrainingEpochsPerSecond: pretraining.map((one) => (one.cost ? paceOf(one.cost.epochSeconds) : null)),
  };
}

/** Device seconds that pretraining took, by model: of one seed on average, where each pretrains anew. */
function pretrainingSeconds(pretraining: StudyResults["pretraining"]): Map<string, number> {
  const spent = pretraining.flatMap(({ model, cost }) =>
    cost ? [{ model, seconds: cost.deviceSeconds }] : [],
  );
  return new Map(
    [...groupBy(spent, ({ model }) => model)].map(([model, own]) => [
      model,
      own.reduce((sum, { seconds }) => sum + seconds, 0) / own.length,
    ]),
  );
}
