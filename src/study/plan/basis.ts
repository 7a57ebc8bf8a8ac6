import { basename } from "node:path";
import type { PreparedCase } from "../../cohort/preprocess.js";
import { sha256OfText } from "../../common/checksums.js";
import { TransferLimitsError } from "../../common/errors.js";
import type { Strategy } from "../../common/vocabulary.js";
import { comesFromFile } from "../../models/architectures/index.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import type { Basis } from "../../results/cell.js";
import { taskOf } from "../../tasks/index.js";
import type { Task } from "../../tasks/task.js";
import type { ModelConfig, PretrainSettings, Study, TaskConfig } from "../config/schema.js";
import { seedOf, varies } from "../config/seeds.js";
import { readingOf } from "./check-weights.js";
import { cohortOf, divisionOf, pretrainingCases, type StudyCohort } from "./cohort-file.js";
import { isDrawnAndKept, type PlannedCell, type StudyPlan } from "./plan.js";

/**
 * To be raised whenever the same study would give other numbers than before, in the last bit too: what was computed until
 * then is set aside, and computed anew. docs/changes.md says what changed with each.
 */
const numbersVersion = 10;

/** What a cell rests on, as far as it is known before the cell is worked on. */
export type CellBasis = Omit<Basis, "weights">;

/**
 * What every cell of a plan rests on, by its id: of the study and its cohort, what changes the cell's numbers, and nothing
 * else. So a cell stays what it was when a study gets another seed, task, model or comparator, or its files another place.
 *
 * @param weights by model that brings weights, SHA-256 of their file
 */
export function basesOf(
  study: Study,
  { cells }: Pick<StudyPlan, "cells">,
  cohort: StudyCohort,
  weights: ReadonlyMap<string, string>,
): Map<string, CellBasis> {
  const bases = new Map<string, CellBasis>();
  const casesOnce = new Map<string, Basis["cases"]>();
  // What others start from comes first.
  for (const cell of cells) {
    const of = cell.kind === "pretraining" ? [cell.model] : [cell.task, cell.strategy];
    const key = JSON.stringify([cell.kind, ...of, cell.seed]);
    const cases = casesOnce.get(key) ?? casesOf(study, cell, divisionOf(cohort, cell.seed));
    casesOnce.set(key, cases);
    const [pretraining] = cell.dependsOn;
    const startsFrom =
      pretraining === undefined
        ? cell.startsFrom === "pretrained"
          ? (weights.get(cell.model) ?? null)
          : null
        : (bases.get(pretraining)?.hash ?? null);
    if (pretraining !== undefined && startsFrom === null)
      throw new TransferLimitsError("INTERNAL", `${cell.id} is planned before ${pretraining}`);
    const numbers = numbersVersion;
    const part = cell.kind === "pretraining" ? pretrainingPart(study, cell) : cellPart(study, cell, cohort);
    const known = { numbers, study: asJson(part), cases, startsFrom };
    bases.set(cell.id, { ...known, hash: digest(known) });
  }
  return bases;
}

/** The hash of anything that JSON can hold, whatever order the entries of its objects have. */
export const digest = (value: unknown): string => sha256OfText(JSON.stringify(value, inOrder));

const inOrder = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value;

/** As a file will hold it: what is undefined is absent. */
const asJson = (value: object): Record<string, unknown> => JSON.parse(JSON.stringify(value));

/** What all cells of a study have in common. How its files are found and opened is not part of it. */
const commonPart = ({ seed, cohort, execution }: Study) => {
  const { manifest: _, manifestLimits: __, images: ___, columns, ...grid } = cohort;
  const ofImages =
    typeof columns === "string"
      ? columns
      : { images: columns.images, masks: columns.masks, reference: columns.reference };
  // A study of before there was one had this precision.
  const { precision = "float32" } = execution;
  return { seed, cohort: { ...grid, columns: ofImages }, execution: { precision } };
};

/** A network without the place of its module's file, whose content it names too. */
function networkPart(network: NetworkSpec | null): unknown {
  if (network === null || !("encoder" in network) || !comesFromFile(network.encoder)) return network;
  const { file: _, ...encoder } = network.encoder;
  return { ...network, encoder };
}

function pretrainingPart(study: Study, cell: PlannedCell) {
  const { pretrain } = modelOf(study, cell) as { pretrain: PretrainSettings };
  const { manifest: _, exclude: __, ...settings } = pretrain;
  const drawn = varies(study, "pretraining") ? cell.seed : null;
  const model = { name: cell.model, pretrain: settings };
  return { ...commonPart(study), model, network: networkPart(cell.network), seeds: { drawn } };
}

function cellPart(study: Study, cell: PlannedCell, cohort: StudyCohort) {
  const { model: name, comparator, startsFrom, trains, trainedBlocks, keptDraws, layerDecay, network } = cell;
  const reading =
    startsFrom === "pretrained" && cell.dependsOn.length === 0 ? readingOf(modelOf(study, cell)) : {};
  const learnt = { startsFrom, trains, trainedBlocks, keptDraws, layerDecay };
  const seeds = {
    of: cell.seed,
    weights: seedOf(study, "weights", cell.seed),
    order: seedOf(study, "order", cell.seed),
  };
  return {
    ...commonPart(study),
    task: taskPart(configOf(study, cell), cell.strategy as Strategy),
    comparator,
    patients: cell.patients ?? null,
    // A result says among how many the patients of its test set are drawn.
    ...(cohort.divisions === undefined ? {} : { dividedPatients: patientsOf(cohort, cell) }),
    ...(network === null
      ? { model: { name }, seeds: { of: cell.seed } }
      : {
          model: { name, ...reading, ...learnt },
          network: networkPart(network),
          seeds,
          training: trainingPart(cell),
        }),
  };
}

/** Of a network that nothing is trained of, batch norms alone see cases, in batches. */
function trainingPart(cell: PlannedCell): unknown {
  if (cell.trains !== "nothing") return cell.training;
  return isDrawnAndKept(cell) ? { batchSize: cell.training?.batchSize } : {};
}

/** A task as a strategy learns it, without its training, which stands by itself, and the place of its cohort. */
export function taskPart(config: TaskConfig, strategy: Strategy): unknown {
  const { training: _, cohort: __, ...rest } = config;
  const { strategies: ___, diffusion, ...task } = rest as typeof rest & Record<string, unknown>;
  if (strategy !== "diffusion" || typeof diffusion !== "object") return { ...task, strategy };
  const { training: ____, ...byDiffusion } = diffusion as Record<string, unknown>;
  return { ...task, strategy, diffusion: byDiffusion };
}

/** The cases of each set that a cell sees. @param cohort as the cell's seed divides it */
function casesOf(study: Study, cell: PlannedCell, cohort: StudyCohort): Basis["cases"] {
  if (cell.kind === "pretraining")
    return { pretraining: setOf(pretrainingCases(cohort, cell.model).map(withoutLabels)) };
  const task = taskOf(configOf(study, cell), cell.strategy as Strategy);
  const { train, validation, test } = cohortOf(cohort, task.name).split;
  const of = (cases: readonly PreparedCase[]) => setOf(cases.map((one) => shownTo(task, one)));
  return { training: of(train), validation: of(validation), test: of(test) };
}

/** A set of cases by what they are. A prepared file is named after what it was made from. */
export const setOf = (cases: readonly PreparedCase[]): Basis["cases"][string] => ({
  count: cases.length,
  sha256: digest(cases.map(({ id, patient, labels, file }) => [id, patient, labels, basename(file)])),
});

/** A case with the labels that a task looks at: what it does not rest on it does not see. */
export function shownTo({ needs, alsoReads = [] }: Task, one: PreparedCase): PreparedCase {
  const read = new Set([...needs.flatMap(({ oneOf }) => oneOf), ...alsoReads]);
  return {
    ...one,
    labels: Object.fromEntries(Object.entries(one.labels).filter(([name]) => read.has(name))),
  };
}

/** A case as a pretraining sees it, which looks at images and masks alone. */
export const withoutLabels = (one: PreparedCase): PreparedCase => ({ ...one, labels: {} });

const patientsOf = (cohort: StudyCohort, cell: PlannedCell): number =>
  cohortOf(divisionOf(cohort, cell.seed), cell.task as string).patients;

const modelOf = ({ models }: Study, cell: PlannedCell): ModelConfig =>
  models.find(({ name }) => name === cell.model) as ModelConfig;

const configOf = ({ tasks }: Study, cell: PlannedCell): TaskConfig =>
  tasks.find(({ name }) => name === cell.task) as TaskConfig;
