import type { CellLabel } from "../../common/progress.js";
import {
  type Comparator,
  comparators,
  isShared,
  type SharedComparator,
  type Strategy,
} from "../../common/vocabulary.js";
import { architectureOf, batchNormStrideOf } from "../../models/architectures/index.js";
import { encoderOf, headOf, specialisedOf } from "../../models/specification.js";
import type { HeadSpec, NetworkSpec } from "../../native/network-spec.js";
import { ownStrategy, strategiesOf, taskOf, trivialOf, variantName } from "../../tasks/index.js";
import {
  type ModelConfig,
  type PretrainSettings,
  type Study,
  type TaskConfig,
  type TrainingSettings,
  trainingBy,
} from "../config/schema.js";
import { seedsOf, varies } from "../config/seeds.js";
import { smallestBatchOf } from "../config/smallest-batch.js";
import { forwardCost } from "./estimate.js";
import { baseBytes, peakBytes } from "./memory.js";
import { memoryOf } from "./ranks.js";

/** What of a cell's network is trained. */
export type Trains = "everything" | "partial" | "head" | "nothing";

/** One unit of work: what it is, what must be there before it, and roughly what it costs. */
export interface PlannedCell extends CellLabel {
  /** Ids of cells whose results this one starts from. */
  dependsOn: string[];
  /** What of its network is trained. */
  trains: Trains;
  /** How many of the encoder's last blocks `partial` trains; 0 otherwise. */
  trainedBlocks: number;
  /**
   * Of how many draws of a case the features of the encoder, which stays as it is, are kept from the first epoch on;
   * null where the encoder is run in every epoch: where it is trained, and where noise or augmentation are drawn anew.
   */
  keptDraws: number | null;
  /** Layer-wise decay of the encoder's learning rate; 1 is none. */
  layerDecay: number;
  /** Where the encoder's weights come from; `nothing` where there is no network. */
  startsFrom: "pretrained" | "random" | "nothing";
  /** What is built; null for `trivial`, which takes no network. */
  network: NetworkSpec | null;
  /**
   * How it is trained: the task's settings with the model's changes; null for pretraining, which has its own, and where
   * there is no network.
   */
  training: TrainingSettings | null;
  /** 0 for a cell that trains nothing. */
  epochs: number;
  /** In no unit: only ratios mean something. */
  cost: number;
  /** Estimated peak of the memory of its device, in bytes. */
  memoryBytes: number;
  /** Of the volumes that it works on, which stay on a GPU as far as there is room beside that; absent on a CPU. */
  volumeBytes?: number;
}

/** What `runStudy` would do. */
export interface StudyPlan {
  /** Of the study. */
  name: string;
  /**
   * In a stable order: pretraining first, then by seed, task, model and comparator, then what takes no network, then learning
   * curves.
   */
  cells: PlannedCell[];
}

/** Lays out the cells of a study. It reads no file and computes nothing. */
export function planStudy(study: Study): StudyPlan {
  const chosen = comparators.filter((name) => study.comparators.includes(name));
  const needPretraining = study.tasks.length === 0 || chosen.some(startsFromPretraining);
  const cells: PlannedCell[] = [];
  const seeds = seedsOf(study);
  if (needPretraining) {
    for (const seed of varies(study, "pretraining") ? seeds : [null])
      for (const model of study.models) if (model.pretrain) cells.push(planPretraining(study, model, seed));
  }
  for (const seed of seeds) {
    for (const task of study.tasks) {
      for (const model of study.models) {
        for (const strategy of strategiesOf(task)) {
          for (const comparator of chosen) {
            if (!isShared(comparator))
              cells.push(planComparator(study, model, { task, strategy }, comparator, seed));
          }
        }
      }
      if (chosen.includes("specialised")) cells.push(planSpecialised(study, task, seed));
    }
  }
  if (chosen.includes("trivial")) {
    for (const seed of varies(study, "split") ? seeds : [null])
      for (const task of study.tasks) cells.push(planTrivial(study, task, seed));
  }
  cells.push(...learningCurveCells(study));
  return { name: study.name, cells };
}

/** What learning curves add: fine-tuned, from scratch and without a network, on fewer patients; each seed has its own. */
function learningCurveCells(study: Study): PlannedCell[] {
  const sizes = study.learningCurve?.patients ?? [];
  return sizes.flatMap((patients) =>
    seedsOf(study).flatMap((seed) =>
      study.tasks.flatMap((task) => [
        ...study.models.flatMap((model) =>
          strategiesOf(task).flatMap((strategy) =>
            (["fine-tuned", "from-scratch"] as const).map((comparator) =>
              planComparator(study, model, { task, strategy, patients }, comparator, seed),
            ),
          ),
        ),
        { ...planTrivial(study, task, seed), ...onFewer(planTrivial(study, task, seed).id, patients) },
      ]),
    ),
  );
}

/** Marks a cell that is trained on fewer patients. */
const onFewer = (id: string, patients: number | undefined): { id: string; patients?: number } =>
  patients === undefined ? { id } : { id: `${id}--patients${patients}`, patients };

/** The id of the cell that pretrains a model; `seed` where each seed has an encoder of its own. */
export const pretrainingId = (model: string, seed: number | null): string =>
  `${model}--pretraining${seed === null ? "" : `--seed${seed}`}`;

const startsFromPretraining = (comparator: Comparator): boolean =>
  comparator === "fine-tuned" || comparator === "pretrained";

/** The contrast sees the features before the published head's prototypes, of which one is then enough. */
function pretrainingHead(settings: PretrainSettings): HeadSpec {
  const { method, patch, decoderDim, decoderDepth } = settings;
  if (method === "masked-autoencoder") return { kind: "masked-autoencoder", patch, decoderDim, decoderDepth };
  const prototypes = method === "self-distillation" ? settings.distillation.prototypes : 1;
  return { kind: "contrastive", outputs: 1, ...settings.projection, prototypes };
}

/** How many voxels of a case an encoder is trained on in a step, and how many the teacher sees beside. */
export function voxelsSeen(study: Study, settings: PretrainSettings): { trained: number; taught: number } {
  if (settings.method !== "self-distillation") return { trained: voxelsOf(study), taught: 0 };
  const { slices, localViews } = settings.distillation;
  const global = (2 * slices * voxelsOf(study)) / study.cohort.voxels[2];
  return { trained: global * (1 + (localViews / 2) * localViewShare), taught: global };
}

/** The area of a local view of self-distillation, as a share of a global one's. */
const localViewShare = (96 / 224) ** 2;

/** What of a network is learnt, and what it starts from. */
type Learnt = Pick<PlannedCell, "trains" | "trainedBlocks" | "keptDraws" | "startsFrom">;

/** A network that starts from random weights, all of which learn alike. */
const fromNothing = {
  trains: "everything",
  trainedBlocks: 0,
  keptDraws: null,
  layerDecay: 1,
  startsFrom: "random",
} as const satisfies Partial<PlannedCell>;

function planPretraining(study: Study, model: ModelConfig, seed: number | null): PlannedCell {
  const settings = model.pretrain as NonNullable<ModelConfig["pretrain"]>;
  const network: NetworkSpec = { encoder: encoderOf(model.encoder), head: pretrainingHead(settings) };
  const { trained, taught } = voxelsSeen(study, settings);
  const [height, width, depth] = study.cohort.voxels;
  // Views are smaller than slices, and there are as many as make up so many voxels.
  const at = (voxels: number) => forwardCost(network, [height, width, (depth * voxels) / voxelsOf(study)]);
  const forward = 3 * at(trained) + (taught > 0 ? at(taught) : 0);
  return {
    id: pretrainingId(model.name, seed),
    kind: "pretraining",
    task: null,
    strategy: null,
    model: model.name,
    comparator: null,
    seed: seed ?? study.seed,
    dependsOn: [],
    ...fromNothing,
    network,
    training: null,
    epochs: settings.epochs,
    cost: settings.epochs * cases(study.split).train * forward,
    memoryBytes: memoryOf(study, { ...fromNothing, network }, settings, (cases) =>
      peakBytes(
        network,
        settings.method === "self-distillation" ? trained : study.cohort.voxels,
        cases,
        { encoder: 1, head: true },
        study.execution,
      ),
    ),
    ...keptOnGpu(study, cases(study.split).train, pretrainingVolumes),
  };
}

function planComparator(
  study: Study,
  model: ModelConfig,
  by: TaskBy,
  comparator: Exclude<Comparator, SharedComparator>,
  seed: number,
): PlannedCell {
  const variant = { task: by.task.name, strategy: by.strategy };
  const { shape, chance } = taskOf(by.task, by.strategy);
  const network: NetworkSpec = {
    encoder: encoderOf(model.encoder),
    head: headOf(shape, model),
    ...(shape.intensities ? { output: shape.intensities } : {}),
  };
  const pretrained = startsFromPretraining(comparator);
  const trains: Trains =
    comparator === "from-scratch" || (comparator === "fine-tuned" && model.finetune === "full")
      ? "everything"
      : comparator === "fine-tuned" && model.finetune === "partial"
        ? "partial"
        : comparator === "fine-tuned" || study.untrainedHead === "trained"
          ? "head"
          : "nothing";
  const training = trainingOf(study, by, model, network);
  // Noise and augmentation are drawn anew in every epoch: no draw can be left out, so none is kept.
  const anew = chance === "noise" || training.augmentation !== null;
  const learnt: Learnt = {
    trains,
    trainedBlocks: trains === "partial" ? model.partialBlocks : 0,
    keptDraws: trains !== "head" || anew ? null : chance === "none" ? 1 : model.frozenDraws,
    startsFrom: pretrained ? "pretrained" : "random",
  };
  return {
    ...onFewer(`${model.name}--${variantName(variant, "--")}--${comparator}--seed${seed}`, by.patients),
    kind: "cell",
    ...variant,
    model: model.name,
    comparator,
    seed,
    dependsOn:
      pretrained && model.pretrain
        ? [pretrainingId(model.name, varies(study, "pretraining") ? seed : null)]
        : [],
    ...learnt,
    layerDecay: comparator === "fine-tuned" ? model.layerDecay : 1,
    network,
    ...effort(study, by, training, network, learnt),
  };
}

/** How many batches give the batch norms of an encoder that stays as drawn their statistics: the training set once, at most 66. */
export const batchesOfStatistics = (cases: number, batchSize: number): number =>
  Math.min(66, Math.ceil(cases / batchSize));

/** Whether a cell's encoder stays as it was drawn: its batch norms, where it has any, then know no case yet. */
export const isDrawnAndKept = ({ startsFrom, trains }: Pick<PlannedCell, "startsFrom" | "trains">): boolean =>
  startsFrom === "random" && (trains === "head" || trains === "nothing");

/** The specialised model learns a task by the task's own strategy, and is the reference of the other one too. */
function planSpecialised(study: Study, task: TaskConfig, seed: number): PlannedCell {
  const by = { task, strategy: ownStrategy(task.name) };
  const model = specialisedOf(study.specialised[task.kind], taskOf(task, by.strategy).shape);
  const network: NetworkSpec = { model };
  return {
    id: `${model.family}--${task.name}--specialised--seed${seed}`,
    kind: "cell",
    task: task.name,
    strategy: by.strategy,
    model: model.family,
    comparator: "specialised",
    seed,
    dependsOn: [],
    ...fromNothing,
    network,
    ...effort(study, by, trainingBy(by), network, fromNothing),
  };
}

/**
 * What takes no network is the reference of every foundation model, strategy and seed of a task. Nothing of it is random:
 * it stands under the first seed, unless each seed divides the patients anew.
 */
function planTrivial(study: Study, task: TaskConfig, seed: number | null): PlannedCell {
  const { name } = trivialOf(task);
  return {
    id: `${name}--${task.name}--trivial${seed === null ? "" : `--seed${seed}`}`,
    kind: "cell",
    task: task.name,
    strategy: ownStrategy(task.name),
    model: name,
    comparator: "trivial",
    seed: seed ?? (seedsOf(study)[0] as number),
    dependsOn: [],
    ...fromNothing,
    trains: "nothing",
    startsFrom: "nothing",
    network: null,
    training: null,
    epochs: 0,
    // Seconds, against the hours of networks: it comes last, and counts for nothing in estimates.
    cost: 0,
    memoryBytes: baseBytes + trivialVolumes * 4 * voxelsOf(study),
  };
}

/** Volumes of float32 that a trivial answer and its metric hold at once, roughly. */
const trivialVolumes = 16;

/** A task and how it is learnt. */
interface TaskBy {
  task: TaskConfig;
  strategy: Strategy;
  /** How many patients it is trained on, or which share of them; absent: all. */
  patients?: number;
}

/** A task's training with what a model changes of it; batch norm may need batches of two. */
function trainingOf(
  { cohort: { voxels } }: Study,
  by: TaskBy,
  model: ModelConfig,
  network: NetworkSpec,
): TrainingSettings {
  const changes = Object.entries(model.training).filter(([, value]) => value !== undefined);
  const training: TrainingSettings = { ...trainingBy(by), ...Object.fromEntries(changes) };
  const smallest = smallestBatchOf(network, taskOf(by.task, by.strategy).shape, voxels);
  return { ...training, batchSize: Math.max(smallest, training.batchSize) };
}

function effort(
  study: Study,
  by: TaskBy,
  training: TrainingSettings,
  network: NetworkSpec,
  learnt: Learnt,
): Pick<PlannedCell, "epochs" | "cost" | "memoryBytes" | "volumeBytes"> & { training: TrainingSettings } {
  const { trains, trainedBlocks, keptDraws } = learnt;
  const task = taskOf(by.task, by.strategy);
  const [height, width, depth] = study.cohort.voxels;
  const forward = forwardCost(network, [height, width, depth / task.shape.depthScale]);
  const { train: all, validation, test } = cases(by.task.cohort?.split ?? study.split);
  const { patients = 1 } = by;
  const train = by.patients === undefined ? all : patients < 1 ? patients * all : Math.min(patients, all);
  const epochs = trains === "nothing" ? 0 : training.epochs;
  // Backward costs about twice the forward; a frozen encoder saves most of it, and its kept features nearly all.
  const step = { everything: 3, partial: 2, head: 1.5, nothing: 0 }[trains];
  const trainings = keptDraws === null ? epochs * step * train : (keptDraws + 0.5 * epochs) * train;
  const questions = task.questions ?? 1;
  const validations = (questions * validation) / training.validateEvery;
  const encoder = trains === "everything" ? 1 : Math.min(1, trainedBlocks / blocksOf(network));
  // Batches that only pass forward, for the statistics of batch norms; the first of them twice.
  const settling =
    isDrawnAndKept(learnt) && hasBatchNorm(network)
      ? (batchesOfStatistics(train, training.batchSize) + 1) * training.batchSize
      : 0;
  return {
    training,
    epochs,
    cost: forward * (settling + trainings + epochs * validations + (questions + 1) * test),
    ...keptOnGpu(study, train + validation + test, new Set(task.needs.flatMap(({ oneOf }) => oneOf)).size),
    memoryBytes: memoryOf(study, { trains, network }, training, (cases) =>
      peakBytes(
        network,
        [height, width, depth / task.shape.depthScale],
        cases,
        // Norms of all blocks are trained with the last blocks.
        { encoder, head: trains !== "nothing", ...(trains === "partial" ? { kept: 1 } : {}) },
        study.execution,
      ),
    ),
  };
}

const hasBatchNorm = (network: NetworkSpec): boolean =>
  "encoder" in network && batchNormStrideOf(network.encoder) !== null;

/** Of a case of pretraining, at the most: T2W, ADC, high-b and a mask. */
const pretrainingVolumes = 4;

/** What stays on a GPU of so many cases, with so many float32 volumes each; nothing on a CPU, where files are mapped. */
const keptOnGpu = (study: Study, count: number, volumes: number): Pick<PlannedCell, "volumeBytes"> =>
  study.execution.device === "cpu" ? {} : { volumeBytes: 4 * count * volumes * voxelsOf(study) };

/** Blocks of the encoder; 1 for a specialised model, which is trained as a whole. */
function blocksOf(network: NetworkSpec): number {
  if (!("encoder" in network)) return 1;
  const { encoder } = network;
  return architectureOf(encoder).blocks(encoder);
}

const voxelsOf = ({ cohort: { voxels } }: Study): number => voxels[0] * voxels[1] * voxels[2];

/** Cases of each set; of fractions, out of a hundred. */
function cases(split: Study["split"]): { train: number; validation: number; test: number } {
  const counts = Object.values(split).every((share) => Number.isInteger(share));
  const scale = counts ? 1 : 100;
  return { train: split.train * scale, validation: split.validation * scale, test: split.test * scale };
}
