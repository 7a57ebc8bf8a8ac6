import { resolve } from "node:path";
import { ManifestFiles } from "../../cohort/manifest-files.js";
import { columnsOf, normalisationOf } from "../../cohort/own-columns.js";
import { prostateColumns } from "../../cohort/presets/prostate.js";
import { completeCohort } from "../../cohort/schema.js";
import { describe, messageOf } from "../../common/errors.js";
import { type Fault, faultsOf, suggestion } from "../../common/validation.js";
import { isPaperTask, type PretrainMethod, type Strategy, type TaskName } from "../../common/vocabulary.js";
import { architectureOf, batchNormStrideOf, comesFromFile } from "../../models/architectures/index.js";
import { keyMaps } from "../../models/checkpoints/key-maps/index.js";
import { encoderOf, publishedDecoder, specialisedOf } from "../../models/specification.js";
import type { EncoderSpec } from "../../native/network-spec.js";
import type { PreparedAs } from "../../tasks/faults.js";
import {
  completedTask,
  isKind,
  nameOf,
  ownStrategy,
  strategiesOf,
  taskFaults,
  taskOf,
  variantName,
} from "../../tasks/index.js";
import { smallestBatch } from "../../tasks/task.js";
import { expandPreset } from "./presets.js";
import {
  type ModelConfig,
  type Study,
  type StudyConfig,
  studySchema,
  type TaskConfig,
  type TrainingSettings,
  taskSchema,
  trainingBy,
} from "./schema.js";
import { smallestBatchOf } from "./smallest-batch.js";

/**
 * Checks what a study says by itself, fills in every default and makes every path absolute, relative to `base`. What it
 * returns resolves to itself.
 */
export function resolveStudy(input: unknown, base: string): { study: Study } | { faults: Fault[] } {
  const found = resolveSaid(input, base, new ManifestFiles());
  return "faults" in found ? found : { study: found.study };
}

/** The same with what was said: the study before its defaults, with what a preset says, which may look into manifests. */
export function resolveSaid(
  input: unknown,
  base: string,
  files: ManifestFiles,
): { study: Study; said: StudyConfig } | { faults: Fault[] } {
  const expanded = expandPreset(input, base, files);
  if ("faults" in expanded) return expanded;
  const parsed = studySchema.safeParse(expanded.input);
  if (!parsed.success) return { faults: faultsOf(parsed.error, expanded.input) };
  const config = parsed.data;
  const faults = contradictionsOf(config);
  if (faults.length > 0) return { faults };
  return { study: complete(config, base), said: config };
}

function complete(config: StudyConfig, base: string): Study {
  const { images } = config.cohort;
  const output = resolve(base, config.execution.output ?? `${config.name}-results`);
  return {
    ...config,
    cohort: {
      ...completeCohort(config.cohort),
      manifest: resolve(base, config.cohort.manifest),
      images: { ...images, root: images.root === null ? null : resolve(base, images.root) },
    },
    // The first question to any network is whether it is better than none: it costs seconds, and cannot be left out.
    comparators: [...new Set([...config.comparators, "trivial" as const])],
    models: config.models.map((model) => completeModel(model, base)),
    tasks: config.tasks.map((task) => placeCohort(completeTask(task, config), base)),
    execution: {
      ...config.execution,
      output,
      cache:
        config.execution.cache === undefined
          ? resolve(output, "cache")
          : resolve(base, config.execution.cache),
    },
  };
}

/** What follows from an encoder and a method where it isn't said. */
function pretrainDefaults(
  { method, warmupEpochs, epochs }: NonNullable<StudyConfig["models"][number]["pretrain"]>,
  encoder: EncoderSpec,
): { method: PretrainMethod; warmupEpochs: number } {
  const chosen = method ?? architectureOf(encoder).pretraining[0];
  return {
    method: chosen,
    warmupEpochs: warmupEpochs ?? (chosen === "self-distillation" ? Math.floor(epochs / 10) : 0),
  };
}

function completeModel(model: StudyConfig["models"][number], base: string): ModelConfig {
  const { weights, pretrain, ...rest } = model;
  const named = encoderOf(model.encoder);
  const encoder = comesFromFile(named) ? { ...named, file: resolve(base, named.file) } : named;
  return {
    ...rest,
    encoder,
    finetune: model.finetune ?? architectureOf(encoder).finetune,
    decoder: model.decoder ?? publishedDecoder(encoder),
    ...(weights === undefined ? {} : { weights: resolve(base, weights) }),
    ...(pretrain === undefined
      ? {}
      : {
          pretrain: {
            ...pretrain,
            ...pretrainDefaults(pretrain, encoder),
            manifest: pretrain.manifest === null ? null : resolve(base, pretrain.manifest),
            exclude: pretrain.exclude === null ? null : resolve(base, pretrain.exclude),
          },
        }),
  };
}

function completeTask(
  task: StudyConfig["tasks"][number],
  { training, cohort }: Pick<StudyConfig, "training" | "cohort">,
): TaskConfig {
  const said = typeof task === "string" ? taskSchema.parse({ kind: task }) : task;
  const spec = { ...completedTask(said, columnsOf(cohort)), name: nameOf(said) };
  const complete = changed(training, spec.training);
  if ("diffusion" in spec) {
    const diffusion = { ...spec.diffusion, training: changed(complete, spec.diffusion.training) };
    return { ...spec, training: complete, diffusion } as TaskConfig;
  }
  // What the study says of all tasks bends to a classifier's batch norm; what the task itself says is checked.
  if (spec.training.batchSize === undefined)
    complete.batchSize = Math.max(smallestBatch(taskOf(spec).shape), complete.batchSize);
  return { ...spec, training: complete } as TaskConfig;
}

type TrainingChanges = { [Field in keyof TrainingSettings]?: TrainingSettings[Field] | undefined };

const changed = (training: TrainingSettings, changes: TrainingChanges): TrainingSettings => ({
  ...training,
  ...Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)),
});

const placeCohort = (task: TaskConfig, base: string): TaskConfig =>
  task.cohort === undefined
    ? task
    : { ...task, cohort: { ...task.cohort, manifest: resolve(base, task.cohort.manifest) } };

const taskNameOf = (task: StudyConfig["tasks"][number]): TaskName =>
  typeof task === "string" ? task : nameOf(task);

/** What no single field shows: fields that contradict each other. */
function contradictionsOf(config: StudyConfig): Fault[] {
  const faults: Fault[] = [];
  const fault = (path: PropertyKey[], message: string) => faults.push({ path, message, unknownKey: null });

  const unique = (path: PropertyKey[], values: readonly unknown[], inner: PropertyKey[] = []) =>
    values.reduce<Set<unknown>>((seen, value, index) => {
      if (seen.has(value)) fault([...path, index, ...inner], `${describe(value)} stands here twice`);
      return seen.add(value);
    }, new Set());
  unique(
    ["models"],
    config.models.map(({ name }) => name),
    ["name"],
  );
  unique(["tasks"], config.tasks.map(taskNameOf));
  config.tasks.forEach((task, index) => {
    if (typeof task !== "string" && "strategies" in task)
      unique(["tasks", index, "strategies"], task.strategies);
  });
  checkSeeds(config, fault, unique);
  checkLearningCurve(config, fault, unique);
  unique(["comparators"], config.comparators);

  checkSplit(["split"], config.split, fault, config.tasks.length > 0);
  if (config.tasks.length === 0 && !config.models.some(({ pretrain }) => pretrain))
    fault(
      ["tasks"],
      'expected a task, or a model with "pretrain", but received neither: there is nothing to do',
    );
  config.tasks.forEach((task, index) => {
    if (typeof task !== "string" && task.cohort)
      checkSplit(["tasks", index, "cohort", "split"], task.cohort.split, fault);
  });
  if (config.execution.cudaGraphs && config.execution.checkpointing) {
    fault(
      ["execution", "cudaGraphs"],
      'expected either "checkpointing" or "cudaGraphs" but received both: a block that is computed twice cannot be ' +
        "part of a recorded step",
    );
  }
  checkModels(config, fault);
  checkTasks(config, fault);
  return faults;
}

type Report = (path: PropertyKey[], message: string) => void;

/** Fewer patients than the training set has, of both comparators that pretraining is measured by. */
function checkLearningCurve(
  { learningCurve, comparators, split, tasks }: StudyConfig,
  fault: Report,
  unique: (path: PropertyKey[], values: readonly unknown[]) => void,
): void {
  if (learningCurve === null) return;
  const path = ["learningCurve", "patients"];
  unique(path, learningCurve.patients);
  const own = tasks.map((task) => (typeof task === "string" ? undefined : task.cohort?.split));
  const sizes = own.map((one) => (one ?? split).train).filter((train) => Number.isInteger(train));
  const fewest = Math.min(...sizes);
  learningCurve.patients.forEach((patients, index) => {
    if (patients > 1 && !Number.isInteger(patients))
      fault([...path, index], `expected a whole number, or a share below 1, but received ${patients}`);
    else if (patients >= fewest && patients >= 1)
      fault(
        [...path, index],
        `expected fewer than the ${fewest} patients of the training set but received ${patients}`,
      );
  });
  const missing = (["fine-tuned", "from-scratch"] as const).filter((name) => !comparators.includes(name));
  if (missing.length > 0)
    fault(
      ["learningCurve"],
      `expected the comparators fine-tuned and from-scratch, which it compares, but ${missing.join(" and ")} is not among them`,
    );
}

function checkSeeds(
  { seeds, models }: StudyConfig,
  fault: Report,
  unique: (path: PropertyKey[], values: readonly unknown[]) => void,
): void {
  if (Array.isArray(seeds)) {
    unique(["seeds"], seeds);
    return;
  }
  unique(["seeds", "vary"], seeds.vary);
  const index = seeds.vary.indexOf("pretraining");
  if (index >= 0 && !models.some(({ pretrain }) => pretrain))
    fault(
      ["seeds", "vary", index],
      'expected a model with "pretrain", which each seed would pretrain anew, but received models with "weights" alone',
    );
}

function checkSplit(path: PropertyKey[], split: StudyConfig["split"], fault: Report, isTested = true): void {
  const shares = Object.entries(split);
  const sum = shares.reduce((total, [, share]) => total + share, 0);
  if (shares.every(([, share]) => Number.isInteger(share))) {
    if (split.train < 1) fault([...path, "train"], `expected at least 1 patient but received ${split.train}`);
    if (split.test < 1 && isTested)
      fault([...path, "test"], `expected at least 1 patient but received ${split.test}`);
    return;
  }
  const mixed = shares.find(([, share]) => share > 1);
  if (mixed) {
    fault(
      [...path, mixed[0]],
      `expected either whole numbers of patients for all of train, validation and test, or fractions below 1 for all, ` +
        `but received ${shares.map(([name, share]) => `${name} ${share}`).join(", ")}`,
    );
  } else if (sum > 1 + 1e-9) {
    fault(path, `expected fractions that add up to at most 1 but received ${Number(sum.toFixed(6))}`);
  } else {
    if (split.train === 0) fault([...path, "train"], "expected more than 0 but received 0");
    if (split.test === 0 && isTested) fault([...path, "test"], "expected more than 0 but received 0");
  }
}

function checkModels(config: StudyConfig, fault: Report): void {
  const variants: Variant[] = [];
  variantsOf(config, (variant) => variants.push(variant));
  const needsWeights = config.comparators.filter((name) => name === "fine-tuned" || name === "pretrained");
  config.models.forEach((model, index) => {
    if (model.weights !== undefined && model.pretrain !== undefined) {
      fault(["models", index, "weights"], 'expected either "weights" or "pretrain" but received both');
    }
    const encoder = encoderOf(model.encoder);
    const architecture = architectureOf(encoder);
    if (
      model.weights === undefined &&
      model.pretrain === undefined &&
      architecture.comesFromFile === undefined &&
      needsWeights.length > 0 &&
      config.tasks.length > 0
    ) {
      fault(
        ["models", index],
        `expected "weights" (a file of PyTorch or safetensors) or "pretrain", which ${needsWeights.join(" and ")} start from, ` +
          "but received neither",
      );
    }
    if (model.weightsState !== undefined && model.weights === undefined) {
      fault(
        ["models", index, "weightsState"],
        'expected "weights" beside it, in which it lies, but received none',
      );
    }
    if (model.keyMap !== undefined) {
      const fitting = keyMaps.filter(({ family }) => family === encoder.family).map(({ name }) => name);
      if (model.weights === undefined) {
        fault(
          ["models", index, "keyMap"],
          'expected "weights" beside it, whose names it tells, but received none',
        );
      } else if (!fitting.includes(model.keyMap)) {
        fault(
          ["models", index, "keyMap"],
          `expected one for an encoder of the family "${encoder.family}" (${fitting.join(", ")}) but received ` +
            describe(model.keyMap),
        );
      }
    }
    const { warmupEpochs = 0, epochs = 1 } = model.pretrain ?? {};
    if (warmupEpochs >= epochs) {
      fault(
        ["models", index, "pretrain", "warmupEpochs"],
        `expected fewer than the ${epochs} epochs but received ${warmupEpochs}`,
      );
    }
    const smallest = smallestBatchOf({ encoder }, null, config.cohort.voxels);
    const normed = batchNormStrideOf(encoder) ?? 0;
    if (model.pretrain && model.pretrain.batchSize < smallest) {
      fault(
        ["models", index, "pretrain", "batchSize"],
        `expected at least ${smallest}, as the batch norm of an encoder of the family "${encoder.family}" needs for ` +
          `${Number.isFinite(normed) ? `volumes of at most ${normed} voxels along each axis` : "volumes of any size"}, but received ${model.pretrain.batchSize}`,
      );
    }
    const masks = config.cohort.columns === "prostate" ? prostateColumns.masks : config.cohort.columns.masks;
    const { mask } = model.pretrain ?? {};
    if (mask !== undefined && !Object.hasOwn(masks, mask)) {
      fault(
        ["models", index, "pretrain", "mask"],
        `expected a mask of the cohort but received ${describe(mask)}${suggestion(mask, Object.keys(masks))}`,
      );
    }
    const lacking = architecture.refusesVoxels?.(encoder) ?? null;
    const dense = variants.find(({ task, strategy }) => taskOf(task, strategy).shape.answers === "voxels");
    if (lacking !== null && (dense !== undefined || model.pretrain !== undefined)) {
      const what = dense === undefined ? "pretraining" : `${dense.name}, which answers voxel by voxel`;
      fault(["models", index, "encoder", "stages"], `${lacking}. They are wanted for ${what}`);
    }
    const methods = architectureOf(encoder).pretraining;
    if (model.pretrain?.method !== undefined && !methods.includes(model.pretrain.method)) {
      fault(
        ["models", index, "pretrain", "method"],
        `expected ${methods.map((name) => `"${name}"`).join(" or ")}, which pretrains an encoder of the family ` +
          `"${encoder.family}", but received "${model.pretrain.method}"`,
      );
    }
    variants.forEach(({ training, name }) => {
      const epochs = model.training.epochs ?? training.epochs;
      const warmup = model.training.warmupEpochs ?? training.warmupEpochs;
      if ((model.training.epochs ?? model.training.warmupEpochs) !== undefined && warmup >= epochs) {
        fault(
          ["models", index, "training", model.training.epochs === undefined ? "warmupEpochs" : "epochs"],
          `expected more epochs than the ${warmup} of the warm-up for ${name} but received ${epochs}`,
        );
      }
    });
    const fitting = architectureOf(encoder).decoders;
    for (const field of ["decoder", "denoiser"] as const) {
      const kind = model[field]?.kind;
      if (kind === undefined || fitting.includes(kind)) continue;
      fault(
        ["models", index, field, "kind"],
        `expected ${fitting.map((name) => `"${name}"`).join(" or ")}, which stands on an encoder of the family ` +
          `"${encoder.family}", but received "${kind}"`,
      );
    }
    variants.forEach(({ task, strategy, name }) => {
      const { channels } = taskOf(task, strategy).shape;
      if (encoder.channels < channels) {
        fault(
          ["models", index, "encoder"],
          `expected an encoder of at least ${channels} channels for ${name} but received ${encoder.channels}`,
        );
      }
    });
  });
}

interface Variant {
  task: TaskConfig;
  strategy: Strategy;
  training: TrainingSettings;
  name: string;
  /** Place of the task in the study. */
  index: number;
}

/** Every task by every one of its strategies, and by the one that its specialised model follows. */
function variantsOf(config: StudyConfig, look: (variant: Variant) => void): void {
  config.tasks.forEach((entry, index) => {
    const task = completeTask(entry, config);
    for (const strategy of new Set([ownStrategy(task.name), ...strategiesOf(task)])) {
      const name = variantName({ task: task.name, strategy });
      look({ task, strategy, training: trainingBy({ task, strategy }), name, index });
    }
  });
}

function checkTasks(config: StudyConfig, fault: Report): void {
  variantsOf(config, ({ training, strategy, index, name }) => {
    if (training.warmupEpochs < training.epochs) return;
    fault(
      warmupPath(config.tasks[index], index, strategy),
      `expected fewer than the ${training.epochs} epochs of ${name} but received ${training.warmupEpochs}`,
    );
  });
  config.tasks.forEach((task, index) => {
    const complete = completeTask(task, config);
    const { kind, name, training } = complete;
    if (name !== kind && isKind(name)) {
      const whose = isPaperTask(name) ? "a task of the paper" : "a kind of tasks";
      fault(["tasks", index, "name"], `expected another name: "${name}" is that of ${whose}`);
    }
    const { shape } = taskOf(complete);
    const smallest = smallestBatch(shape);
    if (training.batchSize < smallest) {
      fault(
        ["tasks", index, "training", "batchSize"],
        `expected at least ${smallest}, as the classifier's batch norm needs, but received ${training.batchSize}`,
      );
    }
    if (config.comparators.includes("specialised")) {
      try {
        specialisedOf(config.specialised[kind], shape);
      } catch (error) {
        fault(["specialised", kind], messageOf(error));
      }
    }
    for (const { of, path, message } of taskFaults(complete, preparedAs(config.cohort)))
      fault(of === "cohort" ? ["cohort", ...path] : ["tasks", index, ...path], message);
  });
}

/** What tasks ask of the images. */
const preparedAs = (cohort: StudyConfig["cohort"]): PreparedAs => {
  const complete = completeCohort(cohort);
  return { voxels: cohort.voxels, columns: columnsOf(complete), normalise: normalisationOf(complete) };
};

/** The field that says how many epochs a task warms up, where its training says so. */
function warmupPath(
  task: StudyConfig["tasks"][number] | undefined,
  index: number,
  strategy: Strategy,
): PropertyKey[] {
  const field = ["training", "warmupEpochs"];
  if (task === undefined || typeof task === "string") return field;
  if (
    "diffusion" in task &&
    strategy === "diffusion" &&
    (task.diffusion.training.warmupEpochs ?? task.diffusion.training.epochs) !== undefined
  )
    return ["tasks", index, "diffusion", ...field];
  return task.training.warmupEpochs === undefined ? field : ["tasks", index, ...field];
}
