import { join } from "node:path";
import { type CaseVolumes, factsOf, openCase } from "../../cohort/case-volumes.js";
import type { PreparedCase } from "../../cohort/preprocess.js";
import type { VolumeBank } from "../../cohort/volume-bank.js";
import { TransferLimitsError } from "../../common/errors.js";
import { writeSafetensors } from "../../native/safetensors.js";
import { Tensor } from "../../native/tensor.js";
import type { CellResult, TestMetric } from "../../results/cell.js";
import { cellFiles } from "../../results/paths.js";
import { betterOf, floorOf, type TaskSpec } from "../../tasks/index.js";
import type { Picture, Task } from "../../tasks/task.js";
import type { Study } from "../config/schema.js";
import { shownTo } from "../plan/basis.js";
import { cohortOf, type StudyCohort } from "../plan/cohort-file.js";
import type { PlannedCell } from "../plan/plan.js";
import { tooFewOfPart, tooFewPrepared } from "../plan/usable-cases.js";
import type { Evaluation, Visit } from "./evaluate.js";
import { PooledFeatures } from "./pooled-features.js";
import { trainingPart } from "./training-part.js";

/** The cases of a task, opened, and those of the test set as they were prepared. */
export interface OpenSets {
  train: CaseVolumes[];
  validation: CaseVolumes[];
  test: CaseVolumes[];
  testCases: PreparedCase[];
  trainedOn: NonNullable<CellResult["trainedOn"]>;
  /** Where each seed divides the patients anew. */
  division: NonNullable<CellResult["division"]> | null;
}

/**
 * Opens the cases that can take part in a cell's task, for a device.
 *
 * @param bank what keeps volumes of training and validation cases there, which are seen again and again
 * @throws `BAD_MANIFEST` where they are too few
 */
export async function openSets(
  task: Task,
  cohort: StudyCohort,
  cell: PlannedCell,
  study: Study,
  bank?: VolumeBank,
): Promise<OpenSets> {
  const fitting = (cases: readonly PreparedCase[]) =>
    cases.filter((prepared) => task.missing(factsOf(prepared)) === null).map((one) => shownTo(task, one));
  const {
    cohort: { voxels },
    execution: { device },
  } = study;
  const { split, patients } = cohortOf(cohort, task.name);
  const { train: trainCases, validation, test: testCases } = split;
  const sets = {
    train: trainingPart(study, cell, fitting(trainCases)),
    validation: fitting(validation),
    test: fitting(testCases),
  };
  const reason =
    tooFewPrepared(cell, task, cohort, voxels) ??
    tooFewOfPart(cell, task, voxels, sets.train, fitting(trainCases));
  if (reason !== null) throw new TransferLimitsError("BAD_MANIFEST", `The cohort: ${reason}`);
  const open = (cases: readonly PreparedCase[], kept?: VolumeBank) =>
    Promise.all(cases.map((prepared) => openCase(prepared, device, kept)));
  return {
    train: await open(sets.train, bank),
    validation: await open(sets.validation, bank),
    test: await open(sets.test), // seen once
    testCases: sets.test,
    trainedOn: {
      patients: new Set(sets.train.map(({ patient }) => patient)).size,
      cases: sets.train.length,
      asked: cell.patients ?? null,
    },
    division: cohort.divisions
      ? { patients, tested: new Set(testCases.map(({ patient }) => patient)).size }
      : null,
  };
}

/** What testing gave: the metric of each case, and what is written of it. */
export interface Tested extends Disposable {
  evaluation: Evaluation;
  /** Writes each case's features, where there is an encoder, and a picture of it, where the task has any. */
  write(partial: string, prepared: readonly PreparedCase[]): Promise<void>;
}

/**
 * Tests whoever answers: `evaluate` goes through the test set and shows each of its cases.
 *
 * @param depths names of the encoder's depths; none where there is no encoder
 */
export async function test(
  task: Task,
  depths: readonly string[],
  evaluate: (visit: Visit) => Promise<Evaluation>,
): Promise<Tested> {
  const embeddings: Tensor[] = [];
  const along = new PooledFeatures(depths);
  const pictures: Picture[] = [];
  const dispose = () => {
    for (const part of [...embeddings, ...pictures, along]) part[Symbol.dispose]();
  };
  try {
    const evaluation = await evaluate(async (sample, prediction, features) => {
      if (task.pictures !== null) pictures.push(await task.picture(sample, prediction));
      if (features) embeddings.push(await features.pooled.select(0, 0));
      if (features && "along" in features) await along.add(features.along);
    });
    const write = async (partial: string, prepared: readonly PreparedCase[]) => {
      await writeEmbeddings(join(partial, cellFiles.embeddings), embeddings, prepared);
      await along.write(partial, whose(prepared));
      if (task.pictures !== null)
        await writePictures(join(partial, cellFiles.examples), pictures, prepared, task.pictures);
    };
    return { evaluation, write, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** The metric over the test set, as results hold it. @throws `NOT_FINITE` where that of a case is no number */
export function testMetricOf(
  task: Task,
  config: Pick<TaskSpec, "kind">,
  { assessment, cases }: Evaluation,
): TestMetric {
  const wrong = cases.find(({ value }) => value !== null && !Number.isFinite(value));
  if (wrong) {
    throw new TransferLimitsError(
      "NOT_FINITE",
      `${task.metric} of test case ${wrong.case} became ${wrong.value}`,
    );
  }
  const floor = floorOf(config, task);
  return {
    name: task.metric,
    ...(betterOf(config) === "lower" ? { lowerIsBetter: true } : {}),
    ...(floor === null ? {} : { floor }),
    mean: assessment.value,
    ...(assessment.reason === undefined ? {} : { reason: assessment.reason }),
    standardDeviation: assessment.standardDeviation,
    cases,
    secondary: assessment.secondary,
    ...(assessment.confusion ? { confusion: assessment.confusion } : {}),
    ...(assessment.classes ? { classes: assessment.classes } : {}),
  };
}

/** `embeddings` [cases, features] and, as metadata, the cases' ids in order, and whose they are. */
async function writeEmbeddings(
  path: string,
  rows: readonly Tensor[],
  cases: readonly PreparedCase[],
): Promise<void> {
  if (rows.length === 0) return;
  using embeddings = await Tensor.gather(
    rows,
    rows.map((_, index) => index),
  );
  await writeSafetensors(path, { embeddings }, whose(cases));
}

/** Whose the rows of a file are. */
const whose = (cases: readonly PreparedCase[]) => ({
  cases: JSON.stringify(cases.map(({ id }) => id)),
  patients: JSON.stringify(cases.map(({ patient }) => patient)),
});

async function writePictures(
  path: string,
  pictures: readonly Picture[],
  cases: readonly PreparedCase[],
  kind: "mask" | "image",
): Promise<void> {
  const indices = pictures.map((_, index) => index);
  using input = await Tensor.gather(
    pictures.map((picture) => picture.input),
    indices,
  );
  using target = await Tensor.gather(
    pictures.map((picture) => picture.target),
    indices,
  );
  using prediction = await Tensor.gather(
    pictures.map((picture) => picture.prediction),
    indices,
  );
  const inPlane = cases.map(({ spacing }) => [spacing[1], spacing[2]]);
  const metadata = {
    cases: JSON.stringify(cases.map(({ id }) => id)),
    slices: JSON.stringify(pictures.map(({ slice }) => slice)),
    spacing: JSON.stringify(inPlane[0]),
    spacings: JSON.stringify(inPlane),
    kind,
  };
  await writeSafetensors(path, { input, target, prediction }, metadata);
}
