import { type CohortCase, caseFacts } from "../../cohort/manifest.js";
import { lackOf } from "../../cohort/needs.js";
import { architectureOf, batchNormStrideOf } from "../../models/architectures/index.js";
import { depthwise, type Extents, pass, volumeOf, type Work } from "../../models/architectures/work.js";
import { taskOf } from "../../tasks/index.js";
import type { ModelConfig, PretrainSettings, Study, TaskConfig, TrainingSettings } from "../config/schema.js";
import type { CheckedStudy } from "./checked-study.js";
import { manifestOf } from "./divisions.js";
import { forwardWork } from "./estimate.js";
import { parametersOf } from "./memory.js";
import { batchesOfStatistics, isDrawnAndKept, type PlannedCell, voxelsSeen } from "./plan.js";
import {
  add,
  forwardOnly,
  nothingSpent,
  type Passing,
  type Rates,
  type Spent,
  scaled,
  secondsOf,
} from "./time-rates.js";

/** Cases that a cell works on. */
export interface CellCases {
  train: number;
  validation: number;
  test: number;
}

/** What a cell spends its time on. */
export interface CellParts {
  /** Starting its process, building the network, opening cases. */
  start: Spent;
  /** What is computed once before training: kept features, statistics of batch norms. */
  before: Spent;
  training: Spent;
  validation: Spent;
  /** Answers of the test set, by sampling where the task is learnt by diffusion, and their features along the encoder. */
  test: Spent;
}

/** How many cases a cell works on, as its cohort is divided; those that lack what its task needs left out. */
export function casesOf({ study, manifests, divisions }: CheckedStudy, cell: PlannedCell): CellCases {
  const division = divisions.find(({ seed }) => seed === cell.seed) ?? divisions[0];
  if (cell.kind === "pretraining") {
    const settings = pretrainingOf(study, cell);
    const [own] = division.cohorts;
    const shown = new Set(own.splits.train);
    const all =
      settings.manifest === null
        ? own.cases.filter(({ id }) => shown.has(id))
        : manifestOf(manifests, settings.manifest).cases;
    const teaches = ({ volumes }: CohortCase) =>
      settings.method !== "patch-contrast" || hasMask(volumes, settings);
    return { train: all.filter(teaches).length, validation: 0, test: 0 };
  }
  const config = configOf(study, cell);
  const cohort = division.cohorts.find(({ tasks }) => tasks.includes(config.name)) ?? division.cohorts[0];
  const { needs } = taskOf(config, cell.strategy ?? undefined);
  const taking = new Map(
    cohort.cases
      .filter((one) => lackOf(needs, caseFacts(one)) === null)
      .map(({ id, patient }) => [id, patient]),
  );
  const of = (set: readonly string[]) => set.filter((id) => taking.has(id));
  const { train, validation, test } = cohort.splits;
  const trained = of(train);
  const patients = new Set(trained.map((id) => taking.get(id))).size;
  const asked = cell.patients ?? patients;
  const share = Math.min(1, asked < 1 ? asked : asked / Math.max(1, patients));
  return {
    train: Math.round(share * trained.length),
    validation: of(validation).length,
    test: of(test).length,
  };
}

const hasMask = (volumes: CohortCase["volumes"], { mask = "lesion" }: PretrainSettings): boolean =>
  volumes[mask as keyof typeof volumes] !== undefined;

const configOf = (study: Study, { task }: PlannedCell): TaskConfig =>
  study.tasks.find(({ name }) => name === task) as TaskConfig;

const pretrainingOf = (study: Study, { model }: PlannedCell): PretrainSettings =>
  (study.models.find(({ name }) => name === model) as ModelConfig).pretrain as PretrainSettings;

/** What works on a cell takes, at these rates. */
export function partsOf(study: Study, cell: PlannedCell, cases: CellCases, rates: Rates): CellParts {
  const start = { ...nothingSpent, fixed: rates.start };
  const none = { before: nothingSpent, training: nothingSpent, validation: nothingSpent, test: nothingSpent };
  if (cell.kind === "pretraining")
    return { ...none, start, training: ofPretraining(study, cell, cases, rates) };
  const config = configOf(study, cell);
  const task = taskOf(config, cell.strategy ?? undefined);
  const [height, width, depth] = study.cohort.voxels;
  const input: Extents = [height, width, depth / task.shape.depthScale];
  const sampling = secondsOf(samplingWork(study, task.shape.channels, config.kind), forwardOnly(), rates);
  const judging = secondsOf(judgingWork(volumeOf(study.cohort.voxels), task.metric), forwardOnly(), rates);
  if (cell.network === null) return { ...none, start, test: scaled(cases.test, add(sampling, judging)) };

  const training = cell.training as TrainingSettings;
  const { encoder, rest } = forwardWork(cell.network, input);
  const of = (work: Work, passing: Passing) => secondsOf(work, passing, rates);
  const forward = add(of(encoder, forwardOnly()), of(rest, forwardOnly()));
  const loss = lossWork(volumeOf(study.cohort.voxels), cell.strategy === "diffusion" ? "ssim" : "plain");
  const questions = task.questions ?? 1;
  const answer = add(scaled(questions, forward), sampling, judging);
  const kept = cell.keptDraws;
  const settling =
    isDrawnAndKept(cell) && "encoder" in cell.network && batchNormStrideOf(cell.network.encoder) !== null
      ? scaled(batchesOfStatistics(cases.train, training.batchSize) + 1, forwardIn(training.batchSize))
      : nothingSpent;

  /** A batch that passes forward. */
  function forwardIn(count: number): Spent {
    return add(of([...encoder, ...rest], forwardOnly(count)), scaled(count, sampling));
  }
  const trainedEncoder = encoderPassing(cell);
  const stepOf = (count: number): Spent => {
    const encoded =
      kept === null ? of(encoder, { cases: count, ...trainedEncoder }) : keptRead(encoder, count, rates);
    const decoded = of([...rest, ...loss], { cases: count, inputs: 1, weights: 1 });
    return add(encoded, decoded, scaled(count, sampling));
  };
  return {
    start,
    before: add(
      settling,
      kept === null
        ? nothingSpent
        : scaled(kept * cases.train + cases.validation, add(of(encoder, forwardOnly()), sampling)),
    ),
    training: scaled(
      cell.epochs,
      add(
        epochOf(cases.train, training, stepOf, of(optimiserWork(learntBy(cell), false), forwardOnly())),
        of(stateWork(learntBy(cell)), forwardOnly()),
      ),
    ),
    validation: scaled(
      Math.ceil(cell.epochs / training.validateEvery) * cases.validation,
      kept === null ? answer : add(of(rest, forwardOnly()), sampling, judging),
    ),
    test: scaled(
      cases.test,
      questions === 1 && task.questions === undefined ? answer : add(answer, of(encoder, forwardOnly())),
    ),
  };
}

/** Which gradients of an encoder are computed: norms of all blocks are trained with the last ones. */
function encoderPassing({ trains, trainedBlocks, network }: PlannedCell): {
  inputs: number;
  weights: number;
} {
  if (trains === "everything") return { inputs: 1, weights: 1 };
  if (trains !== "partial" || network === null || !("encoder" in network)) return { inputs: 0, weights: 0 };
  const { blocks } = architectureOf(network.encoder);
  return { inputs: 1, weights: Math.min(1, trainedBlocks / blocks(network.encoder)) };
}

/** An epoch in batches, the last of which may be smaller; each goes through the network in its micro-batches. */
function epochOf(
  cases: number,
  { batchSize, microBatch }: { batchSize: number; microBatch: number | null },
  stepOf: (cases: number) => Spent,
  optimiser: Spent,
): Spent {
  const atOnce = Math.min(batchSize, microBatch ?? batchSize);
  const inParts = (count: number): Spent =>
    add(
      scaled(Math.floor(count / atOnce), stepOf(atOnce)),
      count % atOnce === 0 ? nothingSpent : stepOf(count % atOnce),
      optimiser,
    );
  const whole = Math.floor(cases / batchSize);
  return add(
    scaled(whole, inParts(batchSize)),
    cases % batchSize === 0 ? nothingSpent : inParts(cases % batchSize),
  );
}

/** Parameters that are trained. */
function learntBy(cell: PlannedCell): number {
  const { network, trains } = cell;
  if (network === null || trains === "nothing") return 0;
  const { encoder, rest } = parametersOf(network);
  return (
    rest + (trains === "everything" ? 1 : trains === "partial" ? encoderPassing(cell).weights : 0) * encoder
  );
}

/** AdamW goes through what it trains, its gradient and both moments; the gradient's norm before that. A teacher follows. */
const optimiserWork = (learnt: number, teacher: boolean): Work => [pass((teacher ? 14 : 11) * learnt, 4)];

/** After each epoch what is learnt and both moments are copied, written, and read for their checksum. */
const stateWork = (learnt: number): Work => [pass(3 * 8 * learnt, 4)];

/** Features that were kept are read in place of the encoder's run: those of its last maps. */
function keptRead(encoder: Work, count: number, rates: Rates): Spent {
  const values = Math.max(0, ...encoder.map((one) => one.values / one.calls));
  return secondsOf([pass(2 * values)], forwardOnly(count), rates);
}

/** How a sample is made of a case's volumes: they are copied, stacked, moved and given their intensities. */
function samplingWork(study: Study, channels: number, kind: string): Work {
  const voxels = volumeOf(study.cohort.voxels);
  // A field of displacements for each voxel, drawn, smoothed, held to one that folds nothing, and followed.
  const field = kind === "distortion-correction" ? [pass(60 * voxels, 20)] : [];
  return [pass(4 * (channels + 1) * voxels, 8), ...field];
}

/** Windows of SSIM: sums of both images, their squares and product, 11 voxels along each axis. */
const ssimWork = (voxels: number) => depthwise(voxels, 1, 5 * 3 * 11);

const judgingWork = (voxels: number, metric: string): Work =>
  metric === "SSIM" ? [ssimWork(voxels), pass(4 * voxels, 4)] : [pass(6 * voxels, 6)];

const lossWork = (voxels: number, kind: "ssim" | "plain"): Work =>
  kind === "ssim" ? [ssimWork(voxels), pass(4 * voxels, 4)] : [pass(4 * voxels, 4)];

/** Steps of pretraining; of self-distillation with the forward pass of its teacher, and what follows the network. */
function ofPretraining(study: Study, cell: PlannedCell, cases: CellCases, rates: Rates): Spent {
  const settings = pretrainingOf(study, cell);
  const network = cell.network as NonNullable<PlannedCell["network"]>;
  const [height, width, depth] = study.cohort.voxels;
  const voxels = volumeOf(study.cohort.voxels);
  const { trained, taught } = voxelsSeen(study, settings);
  const workAt = (seen: number) => forwardWork(network, [height, width, (depth * seen) / voxels]);
  const { encoder, rest } = workAt(trained);
  const teacher = taught > 0 ? workAt(taught) : null;
  const sampling = secondsOf(samplingWork(study, 3, "pretraining"), forwardOnly(), rates);
  const stepOf = (count: number): Spent =>
    add(
      secondsOf(encoder, { cases: count, inputs: 1, weights: 1 }, rates),
      // The contrast projects those patches that it draws.
      secondsOf(
        settings.method === "patch-contrast" ? drawnPatches(rest, settings, count) : rest,
        { cases: count, inputs: 1, weights: 1 },
        rates,
      ),
      teacher === null
        ? nothingSpent
        : secondsOf([...teacher.encoder, ...teacher.rest], forwardOnly(count), rates),
      scaled(count, sampling),
    );
  const learnt = learntBy(cell);
  const optimiser = secondsOf(optimiserWork(learnt, teacher !== null), forwardOnly(), rates);
  return scaled(
    cell.epochs,
    add(
      epochOf(cases.train, settings, stepOf, optimiser),
      secondsOf(stateWork(learnt), forwardOnly(), rates),
    ),
  );
}

function drawnPatches(rest: Work, { patches }: PretrainSettings, count: number): Work {
  const [first] = rest;
  const rows = first && first.weights > 0 ? first.multiplyAdds / first.weights : 0;
  const share = rows === 0 ? 1 : Math.min(1, patches / (count * rows));
  return rest.map((one) => ({ ...one, multiplyAdds: share * one.multiplyAdds, values: share * one.values }));
}
