/**
 * What a cell leaves in its folder: `cells/<id>/cell.json` or `pretraining.json`, and `cells/<id>.failed.json`. Times and
 * memory stand only under keys named `cost`, so that two runs of one study can be compared byte for byte without them.
 */
import { z } from "zod";
import { comparators } from "../common/vocabulary.js";
import { type Augmentation, patientAxes } from "../tasks/augmentation.js";
import { number, numberOrNull, text, variant, whole } from "./fields.js";

const caseScoreSchema = z.object({
  /** Its id in the manifest. */
  case: text,
  /** Whose it is, as the manifest says: cases of one patient are not independent of each other. */
  patient: text.exactOptional(),
  /**
   * The case's own metric, null where it is undefined for the case, as Dice is without a lesion; where the metric is one
   * of the whole set, the score that it is computed from.
   */
  value: numberOrNull,
  /** Of a case without a lesion: whether one was found all the same. */
  falseAlarm: z.boolean().exactOptional(),
  /** Where classes are told apart: the case's class and the answered one. */
  truth: whole.exactOptional(),
  /** The class that was answered. */
  predicted: whole.exactOptional(),
  /** Whether the case's class counts as positive, as the study says from which one on. */
  positive: z.boolean().exactOptional(),
  /**
   * Where lesions are detected: how many the case has, those that were missed among them, and the candidates that count, each
   * with its confidence and whether it hits one. `value` is then the highest confidence.
   */
  found: z
    .object({ candidates: z.array(z.object({ confidence: number, hit: z.boolean() })), lesions: whole })
    .exactOptional(),
  /** Where the answer is a number: the case's own and the answered one, in the label's unit. */
  number: z.object({ truth: number, answered: number }).exactOptional(),
  /** Further measures of the case by name, such as the Dice of one class; null where one is undefined for it. */
  parts: z.record(text, numberOrNull).exactOptional(),
});

/** What a test case scored. */
export interface CaseScore extends z.infer<typeof caseScoreSchema> {}
const caseScore: z.ZodType<CaseScore> = caseScoreSchema;

const epochSchema = z.object({
  /** Counted from 1. */
  epoch: whole,
  /** Of its first step. */
  learningRate: number,
  /** Mean over the epoch's steps. */
  trainingLoss: number,
  /** The task's metric over the validation set; null where the epoch was not validated, or the set leaves it undefined. */
  validationMetric: numberOrNull,
});

/** A row of a training curve. */
export interface EpochRecord extends z.infer<typeof epochSchema> {}
const epochRecord: z.ZodType<EpochRecord> = epochSchema;

const retrySchema = z.object({
  /** Of the error that the first try ended with. */
  code: z.literal("OUT_OF_MEMORY"),
  /** What that said. */
  reason: text,
  /** Cases that went through the network at once from then on; the gradients of a batch's parts add up to its own. */
  microBatch: whole,
});

/** That a cell's memory was exhausted, so that it was tried once more with parts of its batches. */
export interface Retry extends z.infer<typeof retrySchema> {}
const retry: z.ZodType<Retry> = retrySchema;

const costSchema = z.object({
  /** From its start to its end, all that was not training included. */
  wallSeconds: number,
  /**
   * On a GPU: what its own clock measured for this cell, by events around each piece of work; what it waited for between
   * pieces is not in it. On a CPU: wall seconds during which native work was under way.
   */
  deviceSeconds: number,
  /** Of its process on a CPU; what LibTorch held on a GPU. */
  /**
   * Seconds of processor time, of all threads: what the machine did for the cell, whatever else it did. Absent where the
   * cell was worked on by several processes, one after the other or together.
   */
  processorSeconds: number.exactOptional(),
  peakMemoryBytes: number,
  /** Wall seconds of each epoch, its validation included. */
  epochSeconds: z.array(number),
  /** How many volumes the encoder was run on in each epoch, to train and to validate: none where its features are kept. */
  epochEmbedded: z.array(number),
  /** `cpu` or `cuda:N`. */
  device: text,
  /** Of an operation on the CPU. */
  threads: number,
  /** Processes that trained it together; the device's seconds of training are those of all. Absent where it was one. */
  ranks: whole.exactOptional(),
  /** Absent where it was done at the first try. */
  retry: retry.exactOptional(),
});

/** What a cell took, over all its sessions. */
export interface Cost extends z.infer<typeof costSchema> {}
const cellCost: z.ZodType<Cost> = costSchema;

const testMetricSchema = z.object({
  /** `Dice`, `SSIM`, `Specificity at sensitivity 0.9` or `PI-CAI score`. */
  name: text,
  /** Of a metric of which lower values are the better ones, such as an error; absent where higher ones are. */
  lowerIsBetter: z.literal(true).exactOptional(),
  /** A best result that does not reach it says that nobody has learnt the task; absent where no value says so. */
  floor: number.exactOptional(),
  /** The mean over the cases that have it; for a metric that only a set has, such as specificity, its value. Null: undefined. */
  mean: numberOrNull,
  /** Why it is undefined, said of the test set, such as "it has no negative case"; only there. */
  reason: text.exactOptional(),
  /** Sample standard deviation over cases (0 for one case); null for a metric that only a set has, or that no case has. */
  standardDeviation: numberOrNull,
  /** In the order of the test set. */
  cases: z.array(caseScore),
  /** Secondary metrics by name, such as AUC or the Dice of one PI-RADS; null where undefined. */
  secondary: z.record(text, numberOrNull).default({}),
  /** `confusion[true class][answered class]`: how many cases. */
  confusion: z.array(z.array(whole)).exactOptional(),
  /** The names of these classes. */
  classes: z.array(text).exactOptional(),
});

/** A metric over the test set. */
export interface TestMetric extends z.infer<typeof testMetricSchema> {}
const testMetric: z.ZodType<TestMetric> = testMetricSchema;

const trivialChoiceSchema = z.object({
  /** Its name, such as `cubic interpolation`. */
  answer: text,
  /** What was fitted to the training cases, in words; absent where nothing was. */
  detail: text.exactOptional(),
  /** The set that decided between the answers; null where there is one alone. */
  chosenOn: z.enum(["validation", "training"]).nullable(),
  /** The task's metric of each answer over that set; null where the set leaves it undefined. Empty where there is one alone. */
  tried: z.array(z.object({ answer: text, value: numberOrNull })),
  /** The task's metric of the answer that stands over the validation set; null where there is none, or it leaves it undefined. */
  validation: numberOrNull.exactOptional(),
});

/** Which answer without a network stands as the comparator `trivial`. */
export interface TrivialChoice extends z.infer<typeof trivialChoiceSchema> {}
const trivialChoice: z.ZodType<TrivialChoice> = trivialChoiceSchema;

const axisShifts = z.object({
  "inferior-superior": z.number(),
  "anterior-posterior": z.number(),
  "left-right": z.number(),
});

const augmentationSchema: z.ZodType<Augmentation> = z.object({
  flip: z.array(z.enum(patientAxes)),
  flipProbability: z.number(),
  shift: z.union([z.number(), axisShifts]),
  intensity: z.object({ scale: z.number(), offset: z.number() }),
});

const basisSchema = z.object({
  /** Raised with each version of this package that gives other numbers. */
  numbers: whole,
  /** Of the study, what changes the cell's numbers, by the names of fields. */
  study: z.record(z.string(), z.unknown()),
  /** By set, how many cases there are, and SHA-256 of what they are: voxels, patients and labels, in their order. */
  cases: z.record(z.string(), z.object({ count: whole, sha256: text })),
  /** SHA-256 of the file of weights that its model brings, or the `hash` of the pretraining that it starts from; null: neither. */
  startsFrom: text.nullable(),
  /** SHA-256 of all that stands above: of another one, the cell's numbers are others. */
  hash: text,
  /** SHA-256 of the file of weights that the encoder started from; null where it started from drawn ones. */
  weights: text.nullable(),
});

/**
 * What a cell's numbers rest on, and nothing else. Every result carries it, so that none is taken for part of another study,
 * whatever became of the files beside it, and each is kept where a study that has changed still asks for it.
 */
export interface Basis extends z.infer<typeof basisSchema> {}
export const cellBasis: z.ZodType<Basis> = basisSchema;

/** What a network is, and how large. */
export const networkSchema = z.object({
  architecture: text,
  parameters: number,
  trainable: number,
  /**
   * Of random weights of a TorchScript encoder, in parameters: how many were drawn by the rule of their kind of module, and
   * how many, of kinds that are not known, by shuffling the file's values.
   */
  drawn: z.object({ byRule: whole, shuffled: whole }).exactOptional(),
});

/** `cell.json`. */
const cellResultSchema = z.object({
  /** Also the name of its folder below `cells/`. */
  id: text,
  task: variant.task,
  /** How the task is learnt; of `specialised` and `trivial`, always the task's own way. */
  strategy: variant.strategy,
  /** The foundation model that the cell belongs to; for `specialised` the specialised architecture, for `trivial` its name. */
  model: variant.model,
  comparator: z.enum(comparators),
  /** Of `trivial`, which depends on none, the study's first. */
  seed: whole,
  /** What was tested, in words (`none` for `trivial`); how many parameters it has, and how many of them were trained. */
  network: networkSchema,
  /** Of the comparator `trivial` alone: which answer stands, and between which it was chosen. */
  trivial: trivialChoice.exactOptional(),
  /** How its training cases were changed anew in every epoch; absent where they were not, and where nothing is trained. */
  augmentation: augmentationSchema.exactOptional(),
  /**
   * The training set: its patients who take part in the task, and their cases. `asked`: how many patients of it the study's
   * `learningCurve` asked for, as a number or a share of all; null where all of them are trained on.
   */
  trainedOn: z.object({ patients: whole, cases: whole, asked: numberOrNull }).exactOptional(),
  /** Where each seed divides the patients anew: how many there are, and how many of them are tested. */
  division: z.object({ patients: whole, tested: whole }).exactOptional(),
  /** Over the test set. */
  metric: testMetric,
  /** Empty where nothing is trained. */
  curve: z.array(epochRecord),
  /** The one that was tested, counted from 1: the best on the validation set. Null where nothing is trained. */
  bestEpoch: whole.nullable(),
  cost: cellCost,
  /** What its numbers rest on: in the cell's own file, not in `results.json`. */
  basis: cellBasis.exactOptional(),
});

/** One cell: a task, a model, a comparator and a seed, trained where the comparator trains, and tested. */
export interface CellResult extends z.infer<typeof cellResultSchema> {}
export const cellResult: z.ZodType<CellResult> = cellResultSchema;

/** `pretraining.json`. */
const pretrainingSchema = z.object({
  id: text,
  model: text,
  seed: whole,
  network: networkSchema,
  /** How many patients' images the encoder saw; the weights name them. */
  patients: whole,
  curve: z.array(epochRecord),
  cost: cellCost,
  basis: cellBasis.exactOptional(),
});

/** What pretraining a model gave. */
export interface PretrainingResult extends z.infer<typeof pretrainingSchema> {}
export const pretrainingResult: z.ZodType<PretrainingResult> = pretrainingSchema;

/** `cells/<id>.failed.json`. */
export const cellFailureSchema = z.object({
  id: text,
  code: text,
  reason: text,
  /** Where it was the second try that failed: how that differed. */
  retry: retry.exactOptional(),
});

/** Why a cell has no result. The next run tries it again. */
export interface CellFailure extends z.infer<typeof cellFailureSchema> {}

/** What the pretraining of a model comes to in `results.json`, once it is done. */
export const pretrainingFacts = {
  curve: z.array(epochRecord),
  cost: cellCost.exactOptional(),
  /** Patients that the encoder saw, once it is done. */
  patients: whole.exactOptional(),
};

/**
 * `cells/<id>/examples.safetensors`: one axial slice of every test case, float32 [cases, H, W] each, for the report's
 * pictures. Metadata: `cases` (JSON array of ids), `slices` (JSON array of indices), `spacing` (JSON [height, width] in
 * mm a pixel), `kind` ("mask": target and prediction are masks or probabilities; "image": they are images in [0, 1]).
 */
export type ExampleTensors = "input" | "target" | "prediction";
