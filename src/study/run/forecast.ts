import { mkdir } from "node:fs/promises";
import { requireCallback, requireList, requireOptions, requireSignal } from "../../common/arguments.js";
import { throwIfAborted } from "../../common/errors.js";
import type { StudyEvent } from "../../common/progress.js";
import type { OnDamage } from "../../common/set-aside.js";
import type { TaskName } from "../../common/vocabulary.js";
import type { CellResult } from "../../results/cell.js";
import { computeClaims } from "../../statistics/claims.js";
import { checkForecasts, type ForecastCheck, type ForecastPoint } from "../../statistics/forecast-check.js";
import { ownStrategy, taskOf } from "../../tasks/index.js";
import { readCellOf } from "../cell/cell-folder.js";
import { marginsOf, type Study, type StudyInput } from "../config/schema.js";
import { basesOf, type CellBasis } from "../plan/basis.js";
import { checksumsOfWeights } from "../plan/check-weights.js";
import type { CheckedStudy } from "../plan/checked-study.js";
import { withDevices } from "../plan/devices.js";
import { checkStudy } from "../plan/load-study.js";
import type { StudyPlan } from "../plan/plan.js";
import { prepareStudyCohort } from "../plan/prepare.js";
import { type EarlyTraining, earlyTraining, wholeCells } from "./early-training.js";
import type { ForecastRows } from "./forecast-rows.js";
import { scoreNames, scoresOfModel, type TransferScores, trainingCases } from "./transfer-scores.js";

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
