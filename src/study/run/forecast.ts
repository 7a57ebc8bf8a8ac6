import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { factsOf, openCase } from "../../cohort/case-volumes.js";
import { requireCallback, requireList, requireOptions, requireSignal } from "../../common/arguments.js";
import { messageOf, TransferLimitsError, throwIfAborted } from "../../common/errors.js";
import { average } from "../../common/numbers.js";
import { packageVersion } from "../../common/package-version.js";
import type { StudyEvent } from "../../common/progress.js";
import { seedFor } from "../../common/random.js";
import { writeSealedJson } from "../../common/sealed-json.js";
import { isThere, type OnDamage } from "../../common/set-aside.js";
import type { TaskName } from "../../common/vocabulary.js";
import { architectureOf, comesFromFile } from "../../models/architectures/index.js";
import { encoderOf } from "../../models/specification.js";
import { loadEncoder } from "../../models/weights.js";
import { Network } from "../../native/network.js";
import type { CellResult, EpochRecord } from "../../results/cell.js";
import { keptScoresSchema } from "../../results/cohort.js";
import { encoderFile, studyPaths } from "../../results/paths.js";
import { readOwn } from "../../results/read-own.js";
import { computeClaims } from "../../statistics/claims.js";
import { checkForecasts, type ForecastCheck, type ForecastPoint } from "../../statistics/forecast-check.js";
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
import { betterOf, ownStrategy, taskOf } from "../../tasks/index.js";
import type { Task } from "../../tasks/task.js";
import { progressOf } from "../cell/cell-claim.js";
import { readCellOf } from "../cell/cell-folder.js";
import { CheckpointFolder } from "../cell/checkpoint.js";
import {
  type ModelConfig,
  marginsOf,
  type Study,
  type StudyInput,
  type TaskConfig,
} from "../config/schema.js";
import { basesOf, type CellBasis, digest, setOf, shownTo, taskPart } from "../plan/basis.js";
import type { CheckedStudy } from "../plan/checked-study.js";
import { cohortOf, type StudyCohort } from "../plan/cohort-file.js";
import { withDevices } from "../plan/devices.js";
import { checkStudy } from "../plan/load.js";
import type { PlannedCell, StudyPlan } from "../plan/plan.js";
import { prepareStudyCohort } from "../plan/prepare.js";
import { checksumsOfWeights, readingOf } from "../plan/weights.js";
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

/** What the first 5 % of a training came to. */
export interface EarlyTraining {
  /** The validation metric where there is one by then, else the training loss; errors and losses with their sign turned: greater is better. */
  of: "validation metric" | "training loss";
  epoch: number;
  epochs: number;
  fineTuned: number;
  /** Null where training from scratch has not come as far. */
  fromScratch: number | null;
}

/** What is forecast of an encoder on a task. */
export interface ForecastModel {
  model: string;
  /** Of the pretrained encoder; null where there is none yet, or its features cannot be scored. */
  scores: TransferScores | null;
  /** Of the same encoder with random weights: what its architecture alone gives. */
  random: TransferScores | null;
  /** Mean rank over the scores, 1 is best; null without scores. */
  meanRank: number | null;
  /** Over seeds, as far as trainings have come; null before. */
  early: EarlyTraining | null;
  /** Fine-tuned less from scratch, where the study has come as far; what is forecast. */
  gain: number | null;
  /** Why there are no scores; only there. */
  reason?: string;
}

/** A task, with the study's encoders by how much they promise. */
export interface ForecastTask {
  task: TaskName;
  metric: string;
  /** Training cases that they were shown. */
  cases: number;
  /** Rows that were scored: cases or voxels. */
  rows: number;
  of: ForecastRows["of"];
  /** The best first. */
  models: ForecastModel[];
}

/** What a forecast goes by: a score, as it is or less that of random weights, or the first epochs. */
export const predictorNames = [...scoreNames, "early"] as const;
/** What a forecast goes by. @useDeclaredType */
export type PredictorName = (typeof predictorNames)[number];

/** Which encoder will be best for which task, as far as can be said before it is trained. */
export interface Forecast {
  /** The study's. */
  name: string;
  tasks: ForecastTask[];
  /** Each predictor beside the mean gain; null where too few trainings are finished. */
  checked: Record<PredictorName, ForecastCheck | null>;
}

/** How a forecast is made, and who is told. */
export interface ForecastOptions {
  /** Stops the forecast; scores that were made until then are kept. */
  signal?: AbortSignal | undefined;
  /** Told of the preparation of cases. What it throws ends the forecast. */
  onProgress?: (event: StudyEvent) => void;
  /** Told before each model is shown a task. */
  onModel?: (task: TaskName, model: string) => void;
  /** The first of them takes the place of the study's. */
  devices?: readonly string[] | undefined;
}

/** The share of a training by whose end its early value is taken. */
const earlyShare = 0.05;

/**
 * Ranks a study's encoders for each of its tasks without training any: by how much their features of the training cases tell
 * of the answer. Scores are kept in the study's folder. Where trainings have begun their first 5 % stand beside, and where
 * some are finished each forecast is itself scored beside the mean gain, leaving out the task and the model.
 *
 * @param given from `loadStudy`, or an object as a study file would hold it, with paths relative to the working folder
 * @throws `BAD_CONFIG` before any work where the study is wrong;
 *   `BAD_MANIFEST`; `ABORTED`
 */
export async function forecastStudy(
  given: Study | StudyInput,
  options: ForecastOptions = {},
): Promise<Forecast> {
  requireOptions(options);
  const { signal, onProgress = () => {}, onModel = () => {}, devices } = options;
  requireSignal(signal);
  requireCallback(onProgress, "onProgress");
  requireCallback(onModel, "onModel");
  if (devices !== undefined) requireList(devices, "devices", "an array of devices");
  return forecastChecked(await checkStudy(given), options);
}

/** The same of a study that was checked. */
export async function forecastChecked(
  asked: CheckedStudy,
  { signal, onProgress = () => {}, onModel = () => {}, devices }: ForecastOptions = {},
): Promise<Forecast> {
  const checked = withDevices(asked, devices);
  const { study, plan } = checked;
  const folder = study.execution.output;
  const onDamage: OnDamage = (damage) => onProgress({ kind: "set-aside", ...damage });
  await mkdir(folder, { recursive: true });
  const cohort = await prepareStudyCohort(checked, { signal, onProgress, onDamage, trustCache: false });
  const bases = basesOf(study, plan, cohort, await checksumsOfWeights(study, plan));
  const done = await finishedCells(folder, plan, bases);
  const tasks: ForecastTask[] = [];
  for (const config of study.tasks) {
    const models: ForecastModel[] = [];
    const task = taskOf(config);
    const shown = { study, plan, cohort, config, task, signal, onDamage };
    let rows = 0;
    for (const model of study.models) {
      throwIfAborted(signal);
      onModel(config.name, model.name);
      const { scored, random, reason } = await scoresOfModel(shown, model);
      rows = scored?.rows ?? random?.rows ?? rows;
      models.push({
        model: model.name,
        scores: scored?.scores ?? null,
        random: random?.scores ?? null,
        meanRank: null,
        early: await earlyTraining(folder, plan, bases, config, model.name),
        gain: gainOf(done, study, config.name, model.name),
        ...(reason === undefined ? {} : { reason }),
      });
    }
    tasks.push({
      task: config.name,
      metric: task.metric,
      cases: trainingCases(shown).length,
      rows,
      of: task.shape.answers === "classes" ? "cases" : "voxels",
      models: ranked(models),
    });
  }
  return {
    name: study.name,
    tasks,
    checked: checkForecasts(pointsOf(study, tasks), study.seed) as Forecast["checked"],
  };
}

interface ShownTask {
  study: Study;
  plan: StudyPlan;
  cohort: StudyCohort;
  config: TaskConfig;
  task: Task;
  signal: AbortSignal | undefined;
  onDamage: OnDamage;
}

const trainingCases = ({ cohort, task }: ShownTask) =>
  cohortOf(cohort, task.name).split.train.filter((one) => task.missing(factsOf(one)) === null);

/** Scores that are kept, with what they rest on. */
interface KeptScores {
  restsOn: string;
  rows: number;
  scores: TransferScores;
}

type ScoredModel = { scored: KeptScores | null; random: KeptScores | null; reason?: string };

/** A pretrained encoder and the same with random weights; what cannot be scored says why, and does not stop the others. */
async function scoresOfModel(shown: ShownTask, model: ModelConfig): Promise<ScoredModel> {
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
  using network = await Network.build({ encoder }, { device, seed, drawn: weights === null });
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

/** With their mean ranks, the best first; those without scores last. */
function ranked(models: readonly ForecastModel[]): ForecastModel[] {
  const ranks = scoreNames.flatMap((name) => {
    const known = models.flatMap(({ model, scores }) =>
      scores?.[name] == null ? [] : [{ model, value: scores[name] as number }],
    );
    return known.map(({ model, value }) => ({
      model,
      // Of equals, the mean of their places.
      rank:
        1 +
        known.filter((other) => other.value > value).length +
        (known.filter((other) => other.value === value).length - 1) / 2,
    }));
  });
  return models
    .map((one) => {
      const own = ranks.filter(({ model }) => model === one.model);
      return {
        ...one,
        meanRank: own.length === 0 ? null : own.reduce((sum, { rank }) => sum + rank, 0) / own.length,
      };
    })
    .sort((a, b) => (a.meanRank ?? Number.POSITIVE_INFINITY) - (b.meanRank ?? Number.POSITIVE_INFINITY));
}

/** The cells that are trained on all patients. */
const wholeCells = (plan: StudyPlan): PlannedCell[] =>
  plan.cells.filter(({ kind, patients }) => kind === "cell" && patients === undefined);

/** Those that rest on what the study is now. */
async function finishedCells(
  folder: string,
  plan: StudyPlan,
  bases: ReadonlyMap<string, CellBasis>,
): Promise<CellResult[]> {
  const cells: CellResult[] = [];
  for (const { id } of wholeCells(plan)) {
    const result = await readCellOf(folder, id, bases.get(id));
    if (result) cells.push(result);
  }
  return cells;
}

/** What fine-tuning came to over training from scratch; null where either is not finished. */
function gainOf(done: readonly CellResult[], study: Study, task: TaskName, model: string): number | null {
  const own = done.filter(
    (cell) => cell.task === task && cell.model === model && cell.strategy === ownStrategy(task),
  );
  const [claim] = computeClaims(own, { margins: marginsOf(study) }).filter(
    ({ reference }) => reference === "from-scratch",
  );
  return claim?.difference.estimate ?? null;
}

/** The first 5 % of the trainings of a model on a task, the mean over seeds; of trainings that are still going on too. */
async function earlyTraining(
  folder: string,
  plan: StudyPlan,
  bases: ReadonlyMap<string, CellBasis>,
  config: TaskConfig,
  model: string,
): Promise<EarlyTraining | null> {
  const { name: task } = config;
  const turn = betterOf(config) === "higher" ? 1 : -1;
  const found: {
    side: "fineTuned" | "fromScratch";
    epochs: number;
    epoch: number;
    loss: number;
    metric: number | null;
  }[] = [];
  for (const cell of wholeCells(plan)) {
    const side = ({ "fine-tuned": "fineTuned", "from-scratch": "fromScratch" } as const)[
      cell.comparator as string
    ];
    if (!side || cell.task !== task || cell.model !== model || cell.strategy !== ownStrategy(task)) continue;
    const epoch = Math.max(1, Math.ceil(earlyShare * cell.epochs));
    const basis = bases.get(cell.id) as CellBasis;
    const curve =
      (await readCellOf(folder, cell.id, basis))?.curve ?? (await curveSoFar(folder, cell.id, basis));
    const until = curve.filter((record) => record.epoch <= epoch);
    const last = until.at(-1);
    if (last?.epoch !== epoch) continue;
    const metric = until.flatMap(({ validationMetric }) => validationMetric ?? []).at(-1) ?? null;
    found.push({ side, epochs: cell.epochs, epoch, loss: last.trainingLoss, metric });
  }
  const [first] = found.filter(({ side }) => side === "fineTuned");
  if (!first) return null;
  const validated = found.every(({ metric }) => metric !== null);
  const mean = (side: string) => {
    const own = found
      .filter((one) => one.side === side)
      .map(({ metric, loss }) => (validated ? turn * (metric as number) : -loss));
    return own.length === 0 ? null : average(own);
  };
  return {
    of: validated ? "validation metric" : "training loss",
    epoch: first.epoch,
    epochs: first.epochs,
    fineTuned: mean("fineTuned") as number,
    fromScratch: mean("fromScratch"),
  };
}

/** Of a training that is not finished. */
async function curveSoFar(folder: string, id: string, basis: CellBasis): Promise<EpochRecord[]> {
  const state = await new CheckpointFolder(await progressOf(folder, id)).readOf(basis);
  return state?.curve ?? [];
}

/** Of each predictor the points whose gain is known: a score less that of random weights, the first epochs less those from scratch. */
function pointsOf(study: Study, tasks: readonly ForecastTask[]): Record<PredictorName, ForecastPoint[]> {
  const margins = marginsOf(study);
  const points = (of: (model: ForecastModel) => number | null) =>
    tasks.flatMap(({ task, models }) =>
      models.flatMap((one): ForecastPoint[] => {
        const score = of(one);
        if (score === null || one.gain === null) return [];
        return [{ task, model: one.model, score, gain: one.gain / (margins[task] as number) }];
      }),
    );
  const less = (a: number | null | undefined, b: number | null | undefined) =>
    a == null || b == null ? null : a - b;
  return {
    ...(Object.fromEntries(
      scoreNames.map((name) => [name, points(({ scores, random }) => less(scores?.[name], random?.[name]))]),
    ) as Record<(typeof scoreNames)[number], ForecastPoint[]>),
    early: points(({ early }) => less(early?.fineTuned, early?.fromScratch)),
  };
}
