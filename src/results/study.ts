/** What a study leaves beside its cells: `results.json`, `splits.json` and `sessions.json`. */
import { z } from "zod";
import type { MaskCount } from "../cohort/mask-counts.js";
import type { Exclusion } from "../cohort/preprocess.js";
import { comparators } from "../common/vocabulary.js";
import type { Precision } from "../native/placed-network.js";
import { answer, counts } from "./answers.js";
import { cellResult, pretrainingFacts } from "./cell.js";
import { claim, gain } from "./claims.js";
import { distance, driftBetweenSeeds, meanDistance } from "./distances.js";
import { encoderFidelity } from "./fidelity.js";
import { cellStatus, number, numberOrNull, text, variant, whole } from "./fields.js";
import { finding } from "./findings.js";
import { metricInterval } from "./intervals.js";
import { learningCurve } from "./learning-curves.js";
import { relation } from "./relations.js";
import { score } from "./scores.js";
import { curveSummary } from "./specification-curve.js";

export type { Exclusion } from "../cohort/preprocess.js";

const exclusionSchema: z.ZodType<Exclusion> = z.object({
  case: text,
  file: text.nullable(),
  reason: text,
});

const maskCountSchema: z.ZodType<MaskCount> = z.object({
  role: text,
  cases: whole,
  empty: whole,
  graded: whole,
});

const cellSummarySchema = z.object({
  id: text,
  ...variant,
  comparator: z.enum(comparators),
  seed: whole,
  /** Of a learning curve: how many patients it is trained on, or which share of them. */
  patients: number.exactOptional(),
  status: cellStatus,
  /** Why it failed, where it did. */
  reason: text.exactOptional(),
  /** What it came to, once it is done. */
  result: cellResult.exactOptional(),
});

/** A row of the plan with what became of it. */
export interface CellSummary extends z.infer<typeof cellSummarySchema> {}
const cellSummary: z.ZodType<CellSummary> = cellSummarySchema;

const exposureSchema = z.object({
  model: text,
  /** How many patients the weights were pretrained on; null where the file doesn't say. */
  patients: whole.nullable(),
  /** Those of them that the study validates or tests on. */
  overlap: z.object({ validation: z.array(text), test: z.array(text) }),
});

/** Which patients that a study judges a model on its weights have seen, where they come from elsewhere. */
export interface PatientExposure extends z.infer<typeof exposureSchema> {}
const exposure: z.ZodType<PatientExposure> = exposureSchema;

const sessionSchema = z.object({
  /** ISO 8601, UTC. */
  started: text,
  /** Where the session was killed: when its last cell was settled. */
  ended: text,
  /** Wall seconds in between. */
  seconds: number,
  /** Those that cells were handed out to. */
  devices: z.array(text),
  /** Threads of a cell. */
  threads: number,
  /** Cells side by side. */
  jobs: number,
  /** What it was done on. */
  machine: z.object({ cpu: text, cores: number, memoryBytes: number, system: text }),
  /** What was found damaged, and then computed again; paths from the study's folder. Absent: nothing. */
  setAside: z.array(z.object({ file: text, reason: text, keptAs: text })).exactOptional(),
  /** What it was done by, with versions. */
  build: z.object({
    package: text,
    /** SHA-256 of the compiled addon. */
    addon: text,
    libtorch: text,
    compiler: text,
    /** The vector instructions that LibTorch chose, such as AVX2. */
    cpuCapability: text,
    cuda: text.nullable(),
    node: text,
  }),
});

/** One session of work on a study, on one machine with one build: what `run` did from its start to its end. */
export interface Session extends z.infer<typeof sessionSchema> {}
const session: z.ZodType<Session> = sessionSchema;

/** `sessions.json`. */
export const sessionsSchema = z.object({ sessions: z.array(session) });

const timeTakenSchema = z.object({
  /** All sessions. */
  sessionSeconds: number,
  /** Wall seconds of all cells and of pretraining: more than the sessions' where cells ran side by side. */
  cellSeconds: number,
  /** The most cells that ran side by side; null where no session was recorded. */
  jobs: whole.nullable(),
  /** Of pretraining, in the order of `pretraining`; null where it is not done. */
  pretrainingEpochsPerSecond: z.array(numberOrNull),
});

/** How long a study took. */
export interface TimeTaken extends z.infer<typeof timeTakenSchema> {}
const timeTaken: z.ZodType<TimeTaken> = timeTakenSchema;

const precision: z.ZodType<Precision> = z.enum(["float32", "tf32", "bfloat16"]);

const splitSizes = z.object({ train: whole, validation: whole, test: whole });

/** `results.json`. */
export const studyResultsSchema = z.object({
  /** Of this file. */
  format: z.literal("transfer-limits/results@1"),
  /** The study's. */
  name: text,
  /** Whether every cell is done. */
  complete: z.boolean(),
  /** The study's own cohort: its manifest, how many cases and patients it lists, and how many cases each set has. */
  cohort: z.object({
    manifest: text,
    cases: whole,
    patients: whole,
    split: splitSizes,
    /** Cohorts of single tasks that do not take the study's. */
    tasks: z
      .array(
        z.object({ task: variant.task, manifest: text, cases: whole, patients: whole, split: splitSizes }),
      )
      .exactOptional(),
    /** Of each column of masks that any case has: how many there are, and how many show nothing or were graded. */
    masks: z.array(maskCountSchema).exactOptional(),
    /** Of all its cohorts. */
    excluded: z.array(exclusionSchema),
  }),
  /** In the order of the plan. */
  cells: z.array(cellSummary),
  /** What each comparator came to on each task, over seeds and test cases. */
  scores: z.array(score).exactOptional(),
  /** By task, the difference of its metric that does not matter, as the study set it beforehand. */
  margins: z.record(text, number).exactOptional(),
  /** Of every fine-tuned cell over each reference that is done. */
  gains: z.array(gain),
  /**
   * How much better each fine-tuned model is than each reference, how sure that is, and what may be said of it. This, and what
   * else follows from all cells together, is absent while cells are to come.
   */
  claims: z.array(claim).exactOptional(),
  /** How often each verdict was given, a foundation model each. */
  answers: z.array(answer).exactOptional(),
  /** How much of what the study holds, and how much of it says less than it seems to. */
  counts: counts.exactOptional(),
  /** Cells that are trained on fewer patients, and what they and the others come to; only where the study asks for them. */
  learningCurves: z
    .object({ cells: z.array(cellSummary), curves: z.array(learningCurve).exactOptional() })
    .exactOptional(),
  /** What makes some of these numbers say less than they seem to: tasks that nobody learnt, features that collapsed. */
  findings: z.array(finding).exactOptional(),
  /** Of every fine-tuned cell from each reference that is done. */
  distances: z.array(distance),
  /** Those over seeds. */
  meanDistances: z.array(meanDistance).exactOptional(),
  /** How sure metrics of whole test sets are. Absent while cells are to come. */
  intervals: z.array(metricInterval).exactOptional(),
  /** How far trainings that differ in their seed alone drift apart: what a distance is judged against. */
  drift: z.array(driftBetweenSeeds).exactOptional(),
  /** From the least to the largest of those distances over all tasks of a foundation model, by the paper's kernel. */
  driftBands: z.array(z.object({ model: text, low: number, high: number })).exactOptional(),
  /** Whether gains go with distances: one a foundation model, reference and distance. */
  relations: z.array(relation).exactOptional(),
  /** The same over every way of asking; absent under three tasks, and while cells are pending. */
  specificationCurve: curveSummary.exactOptional(),
  /** One entry a foundation model that the study pretrained itself, or one a seed where each pretrains anew. */
  pretraining: z.array(
    z.object({
      /** Also the name of its folder below `cells/`. */
      id: text.exactOptional(),
      model: text,
      seed: whole,
      status: cellStatus,
      reason: text.exactOptional(),
      ...pretrainingFacts,
      /** Patients of its cohort that it must not see: those that the study judges on, and those that are listed. */
      patientsLeftOut: whole.exactOptional(),
    }),
  ),
  /** One entry a foundation model whose weights come from elsewhere. */
  exposure: z.array(exposure).exactOptional(),
  /** What each pretrained encoder, and what it is shown, was found to be before its first training. */
  fidelity: z.array(encoderFidelity).exactOptional(),
  /** What made this file, and what the study is computed on and in. */
  software: z.object({
    package: text,
    libtorch: text,
    node: text,
    device: text,
    threads: number,
    precision: precision.exactOptional(),
    /** Whether a GPU took deterministic algorithms alone; a CPU's numbers are the same each time in any case. */
    deterministic: z.boolean().exactOptional(),
  }),
  /** When and where the study was worked on, as the sessions themselves recorded it. */
  cost: z
    .object({
      sessions: z.array(session),
      /** What all of it adds up to. */
      totals: timeTaken.exactOptional(),
    })
    .exactOptional(),
});

/** What `results.json` says: every cell of the plan, done or not, and what follows from them. */
export interface StudyResults extends z.infer<typeof studyResultsSchema> {}

const division = z.object({
  train: z.array(text),
  validation: z.array(text),
  test: z.array(text),
  unused: z.array(text).default([]),
  patients: z
    .object({ train: z.array(text), validation: z.array(text), test: z.array(text) })
    .exactOptional(),
});

/** `splits.json`: which case went where, also in the cohorts of single tasks. */
export const splitsSchema = division.extend({
  others: z
    .array(
      division.extend({
        manifest: text,
        tasks: z.array(variant.task),
        /** Where each seed divides the patients anew: which of them. */
        ofSeed: whole.exactOptional(),
      }),
    )
    .default([]),
});

/** Which case went where. */
export interface Splits extends z.infer<typeof splitsSchema> {}
