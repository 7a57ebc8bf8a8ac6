import type { CellLabel } from "../common/progress.js";
import { type Comparator, comparators } from "../common/vocabulary.js";
import { encoderOf, headOf, specialisedOf } from "../models/specification.js";
import type { NetworkSpec } from "../native/network.js";
import { taskOf } from "../tasks/index.js";
import { forwardCost } from "./estimate.js";
import type { ModelConfig, Study, TaskConfig } from "./schema.js";

/** What of a cell's network is trained. */
export type Trains = "everything" | "head" | "nothing";

/** One unit of work: what it is, what must be there before it, and roughly what it costs. */
export interface PlannedCell extends CellLabel {
  /** Ids of cells whose results this one starts from. */
  dependsOn: string[];
  trains: Trains;
  /** Where the encoder's weights come from. */
  startsFrom: "pretrained" | "random";
  network: NetworkSpec;
  /** 0 for a cell that trains nothing. */
  epochs: number;
  /** In no unit: only ratios mean something. */
  cost: number;
}

export interface StudyPlan {
  name: string;
  /** In a stable order: pretraining first, then by seed, task, model and comparator. */
  cells: PlannedCell[];
}

/** Lays out the cells of a study. It reads no file and computes nothing. */
export function planStudy(study: Study): StudyPlan {
  const chosen = comparators.filter((name) => study.comparators.includes(name));
  const needPretraining = chosen.some(startsFromPretraining);
  const cells: PlannedCell[] = [];
  if (needPretraining) {
    for (const model of study.models) if (model.pretrain) cells.push(planPretraining(study, model));
  }
  for (const seed of study.seeds) {
    for (const task of study.tasks) {
      for (const model of study.models) {
        for (const comparator of chosen) {
          if (comparator !== "specialised") cells.push(planComparator(study, model, task, comparator, seed));
        }
      }
      if (chosen.includes("specialised")) cells.push(planSpecialised(study, task, seed));
    }
  }
  return { name: study.name, cells };
}

/** The id of the cell that pretrains a model. */
export const pretrainingId = (model: string): string => `${model}--pretraining`;

const startsFromPretraining = (comparator: Comparator): boolean =>
  comparator === "fine-tuned" || comparator === "pretrained";

function planPretraining(study: Study, model: ModelConfig): PlannedCell {
  const settings = model.pretrain as NonNullable<ModelConfig["pretrain"]>;
  const network: NetworkSpec = {
    encoder: encoderOf(model.encoder),
    head: {
      kind: "masked-autoencoder",
      patch: settings.patch,
      decoderDim: settings.decoderDim,
      decoderDepth: settings.decoderDepth,
    },
  };
  return {
    id: pretrainingId(model.name),
    kind: "pretraining",
    task: null,
    model: model.name,
    comparator: null,
    seed: study.seed,
    dependsOn: [],
    trains: "everything",
    startsFrom: "random",
    network,
    epochs: settings.epochs,
    cost: 3 * settings.epochs * cases(study).train * forwardCost(network, voxelsOf(study)),
  };
}

function planComparator(
  study: Study,
  model: ModelConfig,
  task: TaskConfig,
  comparator: Exclude<Comparator, "specialised">,
  seed: number,
): PlannedCell {
  const network: NetworkSpec = {
    encoder: encoderOf(model.encoder),
    head: headOf(taskOf(task).shape, model.decoder, model.subpixel),
  };
  const pretrained = startsFromPretraining(comparator);
  const trains: Trains =
    comparator === "from-scratch" || (comparator === "fine-tuned" && model.finetune === "full")
      ? "everything"
      : comparator === "fine-tuned" || study.untrainedHead === "trained"
        ? "head"
        : "nothing";
  return {
    id: `${model.name}--${task.kind}--${comparator}--seed${seed}`,
    kind: "cell",
    task: task.kind,
    model: model.name,
    comparator,
    seed,
    dependsOn: pretrained && model.pretrain ? [pretrainingId(model.name)] : [],
    trains,
    startsFrom: pretrained ? "pretrained" : "random",
    network,
    ...effort(study, task, network, trains),
  };
}

function planSpecialised(study: Study, task: TaskConfig, seed: number): PlannedCell {
  const model = specialisedOf(study.specialised[task.kind], taskOf(task).shape);
  const network: NetworkSpec = { model };
  return {
    id: `${model.family}--${task.kind}--specialised--seed${seed}`,
    kind: "cell",
    task: task.kind,
    model: model.family,
    comparator: "specialised",
    seed,
    dependsOn: [],
    trains: "everything",
    startsFrom: "random",
    network,
    ...effort(study, task, network, "everything"),
  };
}

function effort(
  study: Study,
  task: TaskConfig,
  network: NetworkSpec,
  trains: Trains,
): { epochs: number; cost: number } {
  const forward = forwardCost(network, voxelsOf(study) / taskOf(task).shape.depthScale);
  const { train, validation, test } = cases(study);
  const epochs = trains === "nothing" ? 0 : task.training.epochs;
  // Backward costs about twice the forward; a frozen encoder saves most of it.
  const step = trains === "everything" ? 3 : 1.5;
  const validations = validation / task.training.validateEvery;
  return { epochs, cost: forward * (epochs * (step * train + validations) + 2 * test) };
}

const voxelsOf = ({ cohort: { voxels } }: Study): number => voxels[0] * voxels[1] * voxels[2];

/** Cases of each set; of fractions, out of a hundred. */
function cases({ split }: Study): { train: number; validation: number; test: number } {
  const counts = Object.values(split).every((share) => Number.isInteger(share));
  const scale = counts ? 1 : 100;
  return { train: split.train * scale, validation: split.validation * scale, test: split.test * scale };
}
