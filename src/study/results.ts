/**
 * What a study leaves on disk, as types: `cells/<id>/cell.json`, `results.json`. Times and memory stand only under keys
 * named `cost`, so that two runs of one study can be compared byte for byte without them.
 */
import type { FeatureComparison } from "../alignment/compare-features.js";
import type { DistanceFlag, KernelMeans } from "../alignment/flags.js";
import type { MaskCount } from "../cohort/mask-counts.js";
import type { Comparator, Strategy, TaskKind } from "../common/vocabulary.js";
import type { Precision } from "../native/network.js";
import type { Claim } from "../statistics/claims.js";
import type { Finding } from "../statistics/findings.js";
import type { Augmentation } from "../tasks/augmentation.js";
import type { Basis } from "./basis.js";

export type { Comparator, Strategy, TaskKind } from "../common/vocabulary.js";

/** What a test case scored. */
export interface CaseScore {
  /** Its id in the manifest. */
  case: string;
  /** Whose it is, as the manifest says: cases of one patient are not independent of each other. */
  patient?: string;
  /**
   * The case's own metric, null where it is undefined for the case, as Dice is without a lesion; where the metric is one
   * of the whole set, the score that it is computed from.
   */
  value: number | null;
  /** Of a case without a lesion: whether one was found all the same. */
  falseAlarm?: boolean;
  /** Where classes are told apart: the case's class and the answered one. */
  truth?: number;
  /** The class that was answered. */
  predicted?: number;
  /** Whether the case's class counts as positive, as the study says from which one on. */
  positive?: boolean;
}

/** A row of a training curve. */
export interface EpochRecord {
  /** Counted from 1. */
  epoch: number;
  /** Of its first step. */
  learningRate: number;
  /** Mean over the epoch's steps. */
  trainingLoss: number;
  /** The task's metric over the validation set; null where the epoch was not validated, or the set leaves it undefined. */
  validationMetric: number | null;
}

/** That a cell's memory was exhausted, so that it was tried once more with parts of its batches. */
export interface Retry {
  /** Of the error that the first try ended with. */
  code: "OUT_OF_MEMORY";
  /** What that said. */
  reason: string;
  /** Cases that went through the network at once from then on; the gradients of a batch's parts add up to its own. */
  microBatch: number;
}

/** What a cell took, over all its sessions. */
export interface Cost {
  /** From its start to its end, all that was not training included. */
  wallSeconds: number;
  /** Wall seconds during which native work was under way for this cell: on a GPU, until what was asked of it was done. */
  deviceSeconds: number;
  /** Of its process on a CPU; what LibTorch held on a GPU. */
  peakMemoryBytes: number;
  /** Wall seconds of each epoch, its validation included. */
  epochSeconds: number[];
  /** How many volumes the encoder was run on in each epoch, to train and to validate: none where its features are kept. */
  epochEmbedded: number[];
  /** `cpu` or `cuda:N`. */
  device: string;
  /** Of an operation on the CPU. */
  threads: number;
  /** Absent where it was done at the first try. */
  retry?: Retry;
}

/** A metric over the test set. */
export interface TestMetric {
  /** `Dice`, `SSIM` or `Specificity at sensitivity 0.9`. */
  name: string;
  /** The mean over the cases that have it; for a metric that only a set has, such as specificity, its value. Null: undefined. */
  mean: number | null;
  /** Why it is undefined, said of the test set, such as "it has no negative case"; only there. */
  reason?: string;
  /** Sample standard deviation over cases (0 for one case); null for a metric that only a set has, or that no case has. */
  standardDeviation: number | null;
  /** In the order of the test set. */
  cases: CaseScore[];
  /** Secondary metrics by name, such as AUC or the Dice of one PI-RADS; null where undefined. */
  secondary: Record<string, number | null>;
  /** `confusion[true class][answered class]`: how many cases. */
  confusion?: number[][];
}

/** Which answer without a network stands as the comparator `trivial`. */
export interface TrivialChoice {
  /** Its name, such as `cubic interpolation`. */
  answer: string;
  /** What was fitted to the training cases, in words; absent where nothing was. */
  detail?: string;
  /** The set that decided between the answers; null where there is one alone. */
  chosenOn: "validation" | "training" | null;
  /** The task's metric of each answer over that set; null where the set leaves it undefined. Empty where there is one alone. */
  tried: { answer: string; value: number | null }[];
}

/** One cell: a task, a model, a comparator and a seed, trained where the comparator trains, and tested. */
export interface CellResult {
  /** Also the name of its folder below `cells/`. */
  id: string;
  task: TaskKind;
  /** How the task is learnt; of `specialised` and `trivial`, always the task's own way. */
  strategy: Strategy;
  /** The foundation model that the cell belongs to; for `specialised` the specialised architecture, for `trivial` its name. */
  model: string;
  comparator: Comparator;
  /** Of `trivial`, which depends on none, the study's first. */
  seed: number;
  /** What was tested, in words (`none` for `trivial`); how many parameters it has, and how many of them were trained. */
  network: { architecture: string; parameters: number; trainable: number };
  /** Of the comparator `trivial` alone: which answer stands, and between which it was chosen. */
  trivial?: TrivialChoice;
  /** How its training cases were changed anew in every epoch; absent where they were not, and where nothing is trained. */
  augmentation?: Augmentation;
  /** Over the test set. */
  metric: TestMetric;
  /** Empty where nothing is trained. */
  curve: EpochRecord[];
  /** The one that was tested, counted from 1: the best on the validation set. Null where nothing is trained. */
  bestEpoch: number | null;
  cost: Cost;
  /** What its numbers rest on: in the cell's own file, not in `results.json`. */
  basis?: Basis;
}

/** `pending`: it has not been run yet, or not to its end. */
export type CellStatus = "done" | "failed" | "pending";

/** A row of the plan with what became of it. */
export interface CellSummary {
  id: string;
  task: TaskKind;
  strategy: Strategy;
  model: string;
  comparator: Comparator;
  seed: number;
  status: CellStatus;
  /** Why it failed, where it did. */
  reason?: string;
  /** What it came to, once it is done. */
  result?: CellResult;
}

/** What a gain is over. */
export type GainReference = "random-weights" | "pretrained" | "from-scratch" | "specialised" | "trivial";

/** Relative performance gain of the fine-tuned model over a reference, in percent (equation 2 of the paper). */
export interface Gain {
  task: TaskKind;
  /** Of the fine-tuned model, and of the reference unless that is shared by all strategies: `specialised`, `trivial`. */
  strategy: Strategy;
  model: string;
  seed: number;
  /** What the gain is over. */
  reference: GainReference;
  /** The fine-tuned model's metric. Null where the test set leaves the metric undefined. */
  fineTuned: number | null;
  /** The reference's metric; null as before. */
  referenceValue: number | null;
  /** Null where the gain is undefined: where a metric is, and where the reference is 0 or less. */
  percent: number | null;
  /** Why it is null; only there. */
  reason?: string;
}

/** To random weights, to the pretrained encoder, to the one trained from scratch. */
export type DistanceName = "D2R" | "D2P" | "D2S";

/** MMD² at one bandwidth. */
export interface KernelDistance {
  /** Of the kernel exp(-|u - v|² / sigma²). */
  sigma: number;
  /** The V-statistic. */
  biased: number;
  /** The U-statistic, in a study over pairs of different cases alone. Null for fewer than two rows. */
  unbiased: number | null;
  /** Mean kernel value over pairs of different rows, within and between the sets: near 0 or 1, MMD says nothing. */
  offDiagonalMean: number;
  /** The same within the first set (in a study that of the fine-tuned model), within the second, and between them. */
  kernelMeans: KernelMeans;
  /** Why MMD² is no distance here, or that both sets are the same; empty where nothing stands against it. */
  flags: DistanceFlag[];
  /** Where it is no distance: there are flags, and not `identical` alone. */
  saturated: boolean;
}

/** In the place of a distance that is undefined. */
export type UndefinedKernelDistance = {
  [Key in keyof KernelDistance]: Key extends "saturated"
    ? false
    : Key extends "flags"
      ? DistanceFlag[]
      : null;
};

/** How far a fine-tuned encoder moved, over the test set's embeddings. */
export interface Distance {
  task: TaskKind;
  strategy: Strategy;
  model: string;
  seed: number;
  name: DistanceName;
  /** Test cases, and the features of each. */
  rows: number;
  features: number;
  /** As in the paper: sigma from the study, biased. */
  paper: KernelDistance | UndefinedKernelDistance;
  /**
   * At the median distance between the features that one encoder has for different test cases: one bandwidth for every
   * distance of a task and model, so that they can be compared.
   */
  medianHeuristic: KernelDistance | UndefinedKernelDistance;
  /** Whose features gave that bandwidth: the pretrained encoder's where there is one. Absent where the study's sigma did. */
  bandwidthFrom?: Comparator;
  /** Sum over the bandwidths {1/4, 1/2, 1, 2, 4} x the median distance; `flags` are those of every bandwidth. */
  multiBandwidth: { biased: number | null; unbiased: number | null; flags: DistanceFlag[] };
  /** By what needs no bandwidth; absent where the distance is undefined. */
  withoutKernel?: FeatureComparison;
  /** A plain sentence where the number means nothing; null where it does. */
  warning: string | null;
  /** Why the distance is undefined, its numbers null; only there. */
  reason?: string;
}

/** A case that took no part, and why. */
export interface Exclusion {
  /** Its id in the manifest. */
  case: string;
  /** The file that was refused, relative to the manifest; null where the reason is not one file. */
  file: string | null;
  reason: string;
}

/** Which patients that a study judges a model on its weights have seen, where they come from elsewhere. */
export interface PatientExposure {
  model: string;
  /** How many patients the weights were pretrained on; null where the file doesn't say. */
  patients: number | null;
  /** Those of them that the study validates or tests on. */
  overlap: { validation: string[]; test: string[] };
}

/** One session of work on a study, on one machine with one build: what `run` did from its start to its end. */
export interface Session {
  /** ISO 8601, UTC. */
  started: string;
  /** Where the session was killed: when its last cell was settled. */
  ended: string;
  /** Wall seconds in between. */
  seconds: number;
  /** Those that cells were handed out to. */
  devices: readonly string[];
  /** Threads of a cell. */
  threads: number;
  /** Cells side by side. */
  jobs: number;
  /** What it was done on. */
  machine: { cpu: string; cores: number; memoryBytes: number; system: string };
  /** What was found damaged, and then computed again; paths from the study's folder. Absent: nothing. */
  setAside?: { file: string; reason: string; keptAs: string }[];
  /** What it was done by, with versions. */
  build: {
    package: string;
    /** SHA-256 of the compiled addon. */
    addon: string;
    libtorch: string;
    compiler: string;
    /** The vector instructions that LibTorch chose, such as AVX2. */
    cpuCapability: string;
    cuda: string | null;
    node: string;
  };
}

/** What `results.json` says: every cell of the plan, done or not, and what follows from them. */
export interface StudyResults {
  /** Of this file. */
  format: "transfer-limits/results@1";
  /** The study's. */
  name: string;
  /** Whether every cell is done. */
  complete: boolean;
  /** The study's own cohort: its manifest, how many cases and patients it lists, and how many cases each set has. */
  cohort: {
    manifest: string;
    cases: number;
    patients: number;
    split: { train: number; validation: number; test: number };
    /** Cohorts of single tasks that do not take the study's. */
    tasks?: {
      task: TaskKind;
      manifest: string;
      cases: number;
      patients: number;
      split: { train: number; validation: number; test: number };
    }[];
    /** Of each column of masks that any case has: how many there are, and how many show nothing or were graded. */
    masks?: MaskCount[];
    /** Of all its cohorts. */
    excluded: Exclusion[];
  };
  /** In the order of the plan. */
  cells: CellSummary[];
  /** Of every fine-tuned cell over each reference that is done. */
  gains: Gain[];
  /** How much better each fine-tuned model is than each reference, how sure that is, and what may be said of it. */
  claims?: Claim[];
  /** What makes some of these numbers say less than they seem to: tasks that nobody learnt, features that collapsed. */
  findings?: Finding[];
  /** Of every fine-tuned cell from each reference that is done. */
  distances: Distance[];
  /** One entry a foundation model that the study pretrained itself. */
  pretraining: {
    model: string;
    seed: number;
    status: CellStatus;
    reason?: string;
    curve: EpochRecord[];
    cost?: Cost;
    /** Patients that the encoder saw, once it is done. */
    patients?: number;
    /** Patients of its cohort that it must not see: those that the study judges on, and those that are listed. */
    patientsLeftOut?: number;
  }[];
  /** One entry a foundation model whose weights come from elsewhere. */
  exposure?: PatientExposure[];
  /** What made this file, and what the study is computed on and in. */
  software: {
    package: string;
    libtorch: string;
    node: string;
    device: string;
    threads: number;
    precision?: Precision;
  };
  /** When and where the study was worked on, as the sessions themselves recorded it. */
  cost?: { sessions: Session[] };
}

/**
 * `cells/<id>/examples.safetensors`: one axial slice of every test case, float32 [cases, H, W] each, for the report's
 * pictures. Metadata: `cases` (JSON array of ids), `slices` (JSON array of indices), `spacing` (JSON [height, width] in
 * mm a pixel), `kind` ("mask": target and prediction are masks or probabilities; "image": they are images in [0, 1]).
 */
export type ExampleTensors = "input" | "target" | "prediction";
