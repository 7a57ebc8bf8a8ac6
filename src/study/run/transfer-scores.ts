import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { factsOf, openCase } from "../../cohort/case-volumes.js";
import { messageOf, TransferLimitsError } from "../../common/errors.js";
import { packageVersion } from "../../common/package-version.js";
import { seedFor } from "../../common/random.js";
import { writeSealedJson } from "../../common/sealed-json.js";
import { isThere, type OnDamage } from "../../common/set-aside.js";
import { architectureOf, comesFromFile } from "../../models/architectures/index.js";
import { loadEncoder } from "../../models/checkpoints/load-weights.js";
import { encoderOf } from "../../models/specification.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import { keptScoresSchema } from "../../results/cohort.js";
import { encoderFile, studyPaths } from "../../results/paths.js";
import { readOwn } from "../../results/read-own.js";
import {
  hScore,
  linearProbe,
  linearProbeOfRegression,
  logMe,
  logMeOfRegression,
  nearestNeighbours,
  nearestNeighboursOfRegression,
  sfda,
} from "../../statistics/transferability/index.js";
import { ownStrategy } from "../../tasks/index.js";
import type { Task } from "../../tasks/task.js";
import type { ModelConfig, Study, TaskConfig } from "../config/schema.js";
import { digest, setOf, shownTo, taskPart } from "../plan/basis.js";
import { readingOf } from "../plan/check-weights.js";
import { cohortOf, type StudyCohort } from "../plan/cohort-file.js";
import type { StudyPlan } from "../plan/plan.js";
import { type ForecastRows, forecastRows } from "./forecast-rows.js";

/** Scores of an encoder on a task, greater is better; null where a score is not for such a task. */
export interface TransferScores {
  logMe: number | null;
  /** With shrunk covariances. */
  hScore: number | null;
  sfda: number | null;
  /** Balanced accuracy of classes, R² of intensities; a patient is answered by others. */
  nearestNeighbours: number | null;
  linearProbe: number | null;
}

/** In the order in which tables have them. */
export const scoreNames = ["logMe", "hScore", "sfda", "nearestNeighbours", "linearProbe"] as const;

export interface ShownTask {
  study: Study;
  plan: StudyPlan;
  cohort: StudyCohort;
  config: TaskConfig;
  task: Task;
  signal: AbortSignal | undefined;
  onDamage: OnDamage;
}

export const trainingCases = ({ cohort, task }: ShownTask) =>
  cohortOf(cohort, task.name).split.train.filter((one) => task.missing(factsOf(one)) === null);

/** Scores that are kept, with what they rest on. */
interface KeptScores {
  restsOn: string;
  rows: number;
  scores: TransferScores;
}

type ScoredModel = { scored: KeptScores | null; random: KeptScores | null; reason?: string };

/** A pretrained encoder and the same with random weights; what cannot be scored says why, and does not stop the others. */
export async function scoresOfModel(shown: ShownTask, model: ModelConfig): Promise<ScoredModel> {
  const { study, plan } = shown;
  // Of several, one a seed, the first.
  const cell = plan.cells.find(({ kind, model: of }) => kind === "pretraining" && of === model.name);
  const own = cell ? join(studyPaths(study.execution.output).cell(cell.id), encoderFile) : null;
  const weights = model.weights ?? own ?? (comesWithWeights(model) ? fromModule : null);
  const made: ScoredModel = { scored: null, random: null };
  try {
    made.random = await scoresWith(shown, model, null);
    if (weights === null) made.reason = "nothing of the study starts from its pretrained encoder";
    else if (weights === fromModule) made.scored = await scoresWith(shown, model, fromModule);
    else if (model.weights === undefined && !(await isThere(weights)))
      made.reason = "it is not pretrained yet: the command pretrain does so";
    else made.scored = await scoresWith(shown, model, weights);
  } catch (error) {
    if (!(error instanceof TransferLimitsError) || !scoreless.has(error.code)) throw error;
    made.reason = messageOf(error);
  }
  return made;
}

/** Errors that lie in one encoder's weights or features, or in labels of which there is but one. */
const scoreless: ReadonlySet<string> = new Set(["BAD_INPUT", "BAD_CHECKPOINT", "NOT_FINITE"]);

/** The weights that an encoder from a file comes with. */
const fromModule = Symbol("from the module");

const comesWithWeights = ({ encoder, pretrain }: ModelConfig): boolean =>
  architectureOf(encoderOf(encoder)).comesFromFile === true && pretrain === undefined;

/** @param weights a file of weights; null: random ones */
async function scoresWith(
  shown: ShownTask,
  model: ModelConfig,
  weights: string | typeof fromModule | null,
): Promise<KeptScores> {
  const { study, config, task, signal, onDamage } = shown;
  const { output, device } = study.execution;
  const seed = seedFor(study.seed, "weights", model.name, "forecast");
  const encoder = encoderOf(model.encoder);
  using network = await PlacedNetwork.build({ encoder }, { device, seed, drawn: weights === null });
  const sha256 =
    weights === null
      ? null
      : weights === fromModule
        ? comesFromFile(encoder)
          ? encoder.sha256
          : null
        : (await loadEncoder(network, weights, { ...readingOf(model), fresh: true })).file.sha256;
  const shownCases = trainingCases(shown);
  const restsOn = digest({
    ...{ package: packageVersion, seed: study.seed, model: model.name, weights: sha256 },
    encoder: { ...encoder, file: undefined },
    reading: readingOf(model),
    task: taskPart(config, ownStrategy(config.name)),
    cases: setOf(shownCases.map((one) => shownTo(task, one))),
  });
  const path = studyPaths(output).forecast(
    model.name,
    config.name,
    weights === null ? "random" : "pretrained",
  );
  const kept = await readOwn<KeptScores>(output, path, onDamage, keptScoresSchema);
  if (kept?.restsOn === restsOn) return kept;
  const cases = await Promise.all(shownCases.map((one) => openCase(one, device)));
  if (cases.length < 2)
    throw new TransferLimitsError(
      "BAD_INPUT",
      `Expected at least two training cases for ${config.name} but there are ${cases.length}`,
    );
  const rows = await forecastRows(task, config, cases, network, { seed: study.seed, signal });
  const made: KeptScores = { restsOn, rows: rows.features.length, scores: scoresOf(rows) };
  await mkdir(dirname(path), { recursive: true });
  await writeSealedJson(path, made);
  return made;
}

function scoresOf({ features, labels, targets, patients: groups }: ForecastRows): TransferScores {
  if (labels !== null)
    return {
      logMe: logMe(features, labels),
      hScore: hScore(features, labels),
      sfda: sfda(features, labels),
      nearestNeighbours: nearestNeighbours(features, labels, { groups }),
      linearProbe: linearProbe(features, labels, { groups }),
    };
  const values = targets as number[];
  const finite = (value: number) => (Number.isFinite(value) ? value : null);
  return {
    logMe: logMeOfRegression(features, values),
    hScore: null,
    sfda: null,
    nearestNeighbours: finite(nearestNeighboursOfRegression(features, values, { groups })),
    linearProbe: finite(linearProbeOfRegression(features, values, { groups })),
  };
}
