import { z } from "zod";
import { cohortSchema, splitSchema } from "../../cohort/schema.js";
import { section } from "../../common/validation.js";
import {
  comparators,
  type PretrainMethod,
  paperTasks,
  pretrainMethods,
  type Strategy,
  type TaskName,
} from "../../common/vocabulary.js";
import { keyMapNames } from "../../models/checkpoints/key-maps/index.js";
import { expectationSchema } from "../../models/fidelity/expectation.js";
import {
  classifierSchema,
  type DecoderSpec,
  decoderSchema,
  denoiserSchema,
  encoderSchema,
  specialisedSchema,
  subpixelSchema,
} from "../../models/specification.js";
import { augmentationSchema } from "../../tasks/augmentation.js";
import { diffusionOptions } from "../../tasks/by-diffusion.js";
import type { TaskDefinition } from "../../tasks/definition.js";
import { type DefinitionOf, definitionOf, ownStrategy, type TaskKind, taskKinds } from "../../tasks/index.js";
import { slurmSchema } from "./slurm-settings.js";

const fileName = z
  .string()
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._]|-(?!-))*$/,
    "expected letters, digits, '.', '_' and single '-', as it becomes part of file names",
  )
  .max(60);
const positive = z.number().positive();
const count = z.int().min(1).max(1_000_000);
const seed = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const path = z.string().min(1);

/** How a network is trained, without defaults: the paper's are filled in below. */
const trainingFields = {
  /** Passes over the training set. */
  epochs: count,
  batchSize: count,
  /** Of AdamW, at the top of the schedule. */
  learningRate: positive,
  /** Decoupled, on matrices and kernels only. */
  weightDecay: z.number().min(0),
  /** `cosine` falls to 0 over all steps after the warm-up. */
  schedule: z.enum(["cosine", "constant"]),
  /** Epochs over which the learning rate rises from 0. */
  warmupEpochs: z.int().min(0),
  /** Largest global norm of the gradient; null: no clipping. */
  gradientClip: positive.nullable(),
  /** Validate every so many epochs, and after the last. */
  validateEvery: count,
  /**
   * Batches go through the network in parts of at most so many cases, whose gradients add up to the batch's: less
   * memory. Null: as a whole.
   */
  microBatch: count.nullable(),
  /** How training cases are changed anew in every epoch; null: not at all. */
  augmentation: augmentationSchema.nullable(),
};

const trainingSchema = section({
  epochs: trainingFields.epochs.default(100),
  batchSize: trainingFields.batchSize.default(1),
  learningRate: trainingFields.learningRate.default(1e-4),
  weightDecay: trainingFields.weightDecay.default(0.01),
  schedule: trainingFields.schedule.default("cosine"),
  warmupEpochs: trainingFields.warmupEpochs.default(0),
  gradientClip: trainingFields.gradientClip.default(null),
  validateEvery: trainingFields.validateEvery.default(1),
  microBatch: trainingFields.microBatch.default(null),
  augmentation: trainingFields.augmentation.default(null),
});

/** What a task changes of the study's `training`. */
const trainingChanges = section({
  epochs: trainingFields.epochs.optional(),
  batchSize: trainingFields.batchSize.optional(),
  learningRate: trainingFields.learningRate.optional(),
  weightDecay: trainingFields.weightDecay.optional(),
  schedule: trainingFields.schedule.optional(),
  warmupEpochs: trainingFields.warmupEpochs.optional(),
  gradientClip: trainingFields.gradientClip.optional(),
  validateEvery: trainingFields.validateEvery.optional(),
  microBatch: trainingFields.microBatch.optional(),
  augmentation: trainingFields.augmentation.optional(),
});

/** A share of a slice's area, from and to. */
const areaScale = z
  .tuple([z.number().gt(0).max(1), z.number().gt(0).max(1)])
  .refine(([low, high]) => low <= high, "expected a range from low to high");

/** Self-distillation (Caron et al. 2021; Oquab et al. 2024); defaults are DINO's where it has them. */
const distillationSchema = section({
  /** Of the cross-entropy between teacher and student. */
  weight: positive.default(1),
  /** Of the patch contrast beside it; 0: none. */
  contrastWeight: z.number().min(0).default(1),
  /** Slices of each case in a step. */
  slices: z.int().min(1).max(1024).default(4),
  /** Views of each slice for the student alone, beside two that the teacher sees too. */
  localViews: z.int().min(0).max(64).default(8),
  globalScale: areaScale.default([0.4, 1]),
  localScale: areaScale.default([0.05, 0.4]),
  /** Gain and offset of a view's intensities move by up to this much. */
  intensityJitter: z.number().min(0).lt(1).default(0.2),
  /** How much of itself the teacher keeps in a step, at first; it rises to 1 as a half cosine. */
  momentum: z.number().min(0).lt(1).default(0.996),
  /** The same for the mean that is taken away from the teacher's outputs. */
  centreMomentum: z.number().min(0).lt(1).default(0.9),
  studentTemperature: positive.default(0.1),
  /** After the first `teacherTemperatureEpochs`, over which it rises from `teacherTemperatureStart`. */
  teacherTemperature: positive.default(0.07),
  teacherTemperatureStart: positive.default(0.04),
  teacherTemperatureEpochs: z.int().min(0).max(1_000_000).default(30),
  /** Epochs at first in which the prototypes stay as they are drawn. */
  frozenPrototypeEpochs: z.int().min(0).max(1_000_000).default(1),
  /** Outputs of the head: DINO's 65,536 are for a million images. */
  prototypes: z
    .int()
    .min(2)
    .max(1 << 20)
    .default(4096),
});

/**
 * Pretraining of an encoder: as a masked autoencoder (He et al. 2022; Woo et al. 2023), by patch-level contrast guided by
 * lesion masks (Lee et al. 2025), or by self-distillation with it (Caron et al. 2021).
 */
export const pretrainSchema = section({
  /** `masked-autoencoder` for a ConvNeXt or ResNet; `patch-contrast` (default) or `self-distillation` for a vision transformer. */
  method: z.enum(pretrainMethods).optional(),
  epochs: trainingFields.epochs.default(100),
  batchSize: trainingFields.batchSize.default(1),
  learningRate: trainingFields.learningRate.default(1.5e-4),
  weightDecay: trainingFields.weightDecay.default(0.05),
  schedule: trainingFields.schedule.default("cosine"),
  /** Default: 0; a tenth of the epochs for self-distillation, which otherwise ends with a teacher that says nothing. */
  warmupEpochs: trainingFields.warmupEpochs.optional(),
  gradientClip: trainingFields.gradientClip.default(null),
  /** As in `training`; of a masked autoencoder alone, as the other methods compare the cases of a batch. */
  microBatch: trainingFields.microBatch.default(null),
  /** Share of the patches that the encoder does not see. */
  maskRatio: z.number().gt(0).lt(1).default(0.6),
  /** Edge of a patch in voxels: the stride of the encoder's third stage. */
  patch: z.literal(16).default(16),
  decoderDim: z.int().min(1).max(65_536).default(512),
  decoderDepth: z.int().min(1).max(1000).default(1),
  /** Each patch's voxels are predicted with zero mean and unit variance. */
  normaliseTargets: z.boolean().default(true),
  /** The mask whose foreground is told from other tissue; default: `lesion`, or the first of the cohort's own masks. */
  mask: z.string().min(1).optional(),
  /** Of the contrast between patches. */
  temperature: positive.default(0.1),
  /** Share of lesion above which a patch counts as one of a lesion: patches are as large as lesions. */
  lesionShare: z.number().min(0).lt(1).default(0.1),
  /** At most so many patches of a batch are contrasted, half of them of lesions and half of background. */
  patches: z.int().min(4).max(65_536).default(1024),
  /** Widths of the contrastive head: its hidden layers, and the features that are contrasted. */
  projection: section({ hidden: z.int().min(1).max(65_536), bottleneck: z.int().min(1).max(65_536) }).default(
    {
      hidden: 2048,
      bottleneck: 256,
    },
  ),
  distillation: distillationSchema.prefault({}),
  /** Another cohort, disjoint from the study's; null: the study's training split. */
  manifest: path.nullable().default(null),
  /**
   * Patients to leave out beside those that the study validates and tests on: a file with one a line, or the
   * `splits.json` of another study, whose validation and test patients are meant.
   */
  exclude: path.nullable().default(null),
});

const modelSchema = section({
  name: fileName,
  encoder: encoderSchema,
  /** A file with the encoder's weights, of PyTorch or safetensors; or `pretrain`. */
  weights: path.optional(),
  /** The source of that file, where its names should not tell. */
  keyMap: z.enum(keyMapNames).optional(),
  /** Which of several sets of weights in that file is meant, such as `model_ema`, as `inspect` names it. */
  weightsState: z.string().min(1).max(1000).optional(),
  pretrain: pretrainSchema.optional(),
  /** What weights from elsewhere were trained on, as far as it is known: the study is compared with it before it is trained. */
  expects: expectationSchema.optional(),
  /** Goes on although `weights` saw patients that the study validates or tests on; the report then says so. */
  allowOverlap: z.boolean().default(false),
  /**
   * What of the pretrained model fine-tuning trains beside its head: all, the last blocks and every norm, or nothing.
   * Default: `full` for a ConvNeXt, of which the paper says frozen and reports what only `full` can give; `partial`
   * for a vision transformer.
   */
  finetune: z.enum(["full", "partial", "frozen"]).optional(),
  /**
   * How often a case is drawn anew for a frozen encoder, whose features of each draw are computed once and kept: the
   * diffusion modality of segmentation, the field of distortion correction. Each draw takes its room on disk.
   */
  frozenDraws: z.int().min(1).max(1000).default(2),
  /**
   * Layer-wise decay of the learning rate where the whole encoder is trained from pretrained weights: 1 is none, as in
   * the paper; 0.65 to 0.9 are usual.
   */
  layerDecay: z.number().gt(0).max(1).default(1),
  /** What training of this model changes of every task's training. The specialised models keep the tasks'. */
  training: trainingChanges.default({}),
  /** How many of the last blocks `partial` trains. */
  partialBlocks: z.int().min(0).max(1000).default(2),
  /** Default: the published one, UperNet on a ConvNeXt or ResNet, `conv1` on a vision transformer. */
  decoder: decoderSchema.optional(),
  /** In place of the decoder where a task is learnt by diffusion; default: UNETR, which sees the input at full size. */
  denoiser: denoiserSchema,
  classifier: classifierSchema.prefault({}),
  subpixel: subpixelSchema.prefault({}),
});

/** What every task may say beside its own options. */
const taskFields = {
  training: trainingChanges.default({}),
  /** Another cohort for this task alone, instead of the study's `cohort.manifest` and `split`. */
  cohort: section({ manifest: path, split: splitSchema.prefault({}) }).optional(),
};

/** Of the tasks that can be learnt by diffusion too, which wants another training than regression. */
const diffusionFields = {
  diffusion: section({ ...diffusionOptions, training: trainingChanges.default({}) }).prefault({}),
};

/** What a study calls a task, in results and reports; default: its kind. Two of a kind need two names. */
const taskName = fileName.optional();

/** Fields of a task of a kind, as a study file holds them. */
type TaskShape<Kind extends string, Options extends z.core.$ZodLooseShape> = {
  kind: z.ZodLiteral<Kind>;
  name: typeof taskName;
} & Options &
  typeof taskFields &
  (Options extends { diffusion: unknown } ? typeof diffusionFields : unknown);

function taskSection<Kind extends string, Options extends z.core.$ZodLooseShape>({
  kind,
  options,
}: TaskDefinition<Kind, Options>) {
  // Results tell by its name that a task's own way is diffusion.
  const name = ownStrategy(kind) === "direct" ? taskName : z.literal(kind).optional();
  const shape = { kind: z.literal(kind), name, ...options, ...taskFields };
  return section(
    ("diffusion" in options ? { ...shape, ...diffusionFields } : shape) as TaskShape<Kind, Options>,
  );
}

type TaskSections = {
  [Kind in TaskKind]: ReturnType<typeof taskSection<Kind, DefinitionOf<Kind>["options"]>>;
}[TaskKind];

export const taskSchema = z.discriminatedUnion(
  "kind",
  taskKinds.map((kind) => taskSection(definitionOf(kind))) as unknown as [TaskSections, ...TaskSections[]],
);

const atLeast0 = z.number().min(0);
const expectedSpread = section({ seed: atLeast0, patient: atLeast0, interaction: atLeast0 });

/** What another seed may change, each by a stream of its own. */
export const variable = ["weights", "order", "pretraining", "split"] as const;
export type Varied = (typeof variable)[number];

const repetitionsSchema = section({
  /** So many seeds, from 1 on. */
  count: z.int().min(1).max(1000),
  /**
   * `weights`: those that are drawn. `order`: that of the cases, and what is drawn of them in training. `pretraining`: each
   * seed pretrains encoders of its own. `split`: each divides the patients anew.
   */
  vary: z.array(z.enum(variable)).min(1).default(["weights", "order"]),
});

const specialisedByTask = Object.fromEntries(
  taskKinds.map((kind) => [kind, specialisedSchema.default(definitionOf(kind).specialised)]),
) as Record<TaskKind, z.ZodDefault<typeof specialisedSchema>>;

/**
 * A study: which cohort, models, tasks and comparators, how they are trained, and where. The file `study.yaml` holds
 * one; defaults are those of the paper. Unknown keys are errors.
 */
export const studySchema = section({
  name: fileName,
  /** Everything random follows from it: splits, masks, weights, the order of cases. */
  seed: seed.default(1),
  /** Repetitions: each trains every cell again, from other weights and in another order; or as many of them, and what varies. */
  seeds: z.union([z.array(seed).min(1), repetitionsSchema]).default([1]),
  cohort: cohortSchema,
  /** Patients in each set, as counts or as fractions. The paper's: 555 / 37 / 148. */
  split: splitSchema.prefault({}),
  models: z.array(modelSchema).min(1),
  /** None: the study pretrains its models and ends. */
  tasks: z.array(z.union([z.enum(paperTasks), taskSchema])).default([...paperTasks]),
  /** Tasks that a preset would have if the cohort had their columns: `plan` tells of them. A preset fills it in. */
  leftOut: z.array(section({ task: fileName, reason: z.string().min(1).max(1000) })).optional(),
  comparators: z
    .array(z.enum(comparators))
    .min(1)
    .default([...comparators]),
  /** The specialised model of each task. */
  specialised: section(specialisedByTask).prefault({}),
  /**
   * The head of `pretrained` and `random-weights`: trained on the frozen encoder, or as drawn. The paper says "without
   * task-specific fine-tuning" and no more; but a gain over a head that was never trained says nothing of the encoder.
   */
  untrainedHead: z.enum(["random", "trained"]).default("trained"),
  training: trainingSchema.prefault({}),
  /**
   * Trains on fewer patients too: whole numbers of them, or shares of the training set below 1. Each smaller set is part of
   * every larger one; all of them are trained on in any case. Null: no learning curve.
   */
  learningCurve: section({ patients: z.array(z.number().positive()).min(1).max(50) })
    .nullable()
    .default(null),
  alignment: section({
    /** Of the kernel exp(-|u - v|² / sigma²). */
    sigma: positive.default(1),
  }).prefault({}),
  claims: section({
    /**
     * By task, the difference of its metric up to which two models count as practically equal: to be set before the study
     * is run.
     */
    margins: section(
      Object.fromEntries(
        taskKinds.map((task) => [task, positive.default(definitionOf(task).metric.margin)]),
      ) as Record<TaskKind, z.ZodDefault<typeof positive>>,
    ).prefault({}),
    /**
     * By task, how much the difference of two models is expected to scatter, as standard deviations in the metric's unit:
     * `plan` says by it what the study can find. It changes no number.
     */
    expected: section(
      Object.fromEntries(taskKinds.map((task) => [task, expectedSpread.optional()])) as Record<
        TaskKind,
        z.ZodOptional<typeof expectedSpread>
      >,
    ).prefault({}),
  }).prefault({}),
  execution: section({
    device: z
      .string()
      .regex(/^(cpu|cuda(:\d+)?)$/, 'expected "cpu", "cuda" or "cuda:N"')
      .default("cpu"),
    /** Cells are handed out to these instead, each to one of them; all of one kind. */
    devices: z
      .array(z.string().regex(/^(cpu|cuda(:\d+)?)$/, 'expected "cpu", "cuda" or "cuda:N"'))
      .min(1)
      .optional(),
    /** Who hands cells out with the command `run`: this machine, or Slurm. `runStudy` is always this machine. */
    engine: z.enum(["local", "slurm"]).default("local"),
    /** How Slurm is asked for jobs. */
    slurm: slurmSchema.prefault({}),
    /** Cells that run side by side. */
    jobs: z.int().min(1).max(256).default(1),
    /**
     * Cells that a process works on, one after the other. 1: each has its own, and whatever becomes of one is nothing to another.
     * More saves what a process takes to start, where cells are short; the same numbers. A process that dies fails the cell at
     * hand alone, and the others go to another process.
     */
    cellsPerProcess: z.int().min(1).max(10_000).default(1),
    /** Threads of each; null: the machine's cores divided among the jobs, kept when the study is continued. */
    threads: z.int().min(1).max(1024).nullable().default(null),
    /**
     * Processes that train a cell together, each on its part of every batch; on GPUs each has its own: the cell's, and those
     * that follow it. The same numbers up to rounding.
     */
    ranks: z.int().min(1).max(256).default(1),
    /**
     * What training and validation compute products and convolutions in; parameters, gradients, losses and metrics, and
     * all of testing, are float32. Other than the rest of this section it changes the numbers.
     */
    precision: z.enum(["float32", "tf32", "bfloat16"]).default("float32"),
    /** On a GPU, the same numbers to the bit each time, also after an interruption; without effect on a CPU. */
    deterministic: z.boolean().default(true),
    /** Blocks of ConvNeXts and transformers are computed once more on the way back: less memory, the same numbers. */
    checkpointing: z.boolean().default(false),
    /** Training steps are recorded as CUDA graphs and played; without effect on a CPU. Not beside `checkpointing`. */
    cudaGraphs: z.boolean().default(false),
    /** Keeps the encoder of every so many epochs of a pretraining beside the last one; null: the last one alone. */
    checkpointEvery: count.nullable().default(null),
    /**
     * Before its first training each pretrained encoder is looked at. `stop`: one whose weights did not load, or whose features
     * collapsed or exploded, ends the study, and all else that speaks against it is told. `warn`: it is told, too. `off`: it is not
     * looked at. No number of the study depends on it.
     */
    gate: z.enum(["stop", "warn", "off"]).default("stop"),
    /** Where the results go; default: `<name>-results` beside the study file. */
    output: path.optional(),
    /** Preprocessed volumes; default: `cache` in the output folder. */
    cache: path.optional(),
  }).prefault({}),
});

/** A study as a person writes it, defaults left out. */
export type StudyInput = z.input<typeof studySchema>;
export type StudyConfig = z.output<typeof studySchema>;
/** `training` of a study, with its defaults. */
export type TrainingSettings = z.output<typeof trainingSchema>;
export type PretrainSettings = z.output<typeof pretrainSchema> & {
  method: PretrainMethod;
  warmupEpochs: number;
};
export type FineTuning = "full" | "partial" | "frozen";
export type ModelConfig = Omit<z.output<typeof modelSchema>, "pretrain"> & {
  finetune: FineTuning;
  decoder: DecoderSpec;
  pretrain?: PretrainSettings;
};
type ParsedTask = z.output<typeof taskSchema>;
/** A task with its trainings complete, that by diffusion too where it can be learnt so. */
export type TaskConfig = ParsedTask extends infer Task
  ? Task extends { diffusion: unknown }
    ? Task & { name: TaskName; training: TrainingSettings; diffusion: { training: TrainingSettings } }
    : Task & { name: TaskName; training: TrainingSettings }
  : never;

/** By what a study calls its tasks, the difference of each one's metric that does not matter. */
export const marginsOf = ({ tasks, claims }: Pick<Study, "tasks" | "claims">): Record<TaskName, number> =>
  Object.fromEntries(tasks.map(({ name, kind }) => [name, claims.margins[kind]]));

/** A task's training by a strategy. */
export const trainingBy = ({ task, strategy }: { task: TaskConfig; strategy: Strategy }): TrainingSettings =>
  "diffusion" in task && strategy === "diffusion" ? task.diffusion.training : task.training;

/** A study with every default filled in and every path absolute. It parses to itself. */
export interface Study extends Omit<StudyConfig, "models" | "tasks" | "execution"> {
  models: ModelConfig[];
  tasks: TaskConfig[];
  execution: Omit<StudyConfig["execution"], "output" | "cache"> & { output: string; cache: string };
}
