import { z } from "zod";
import { distanceFlags } from "../alignment/flags.js";
import { maskRoles } from "../cohort/columns.js";
import { comparators, strategies, taskKinds } from "../common/vocabulary.js";
import type { StudyResults } from "../study/results.js";
import { patientAxes } from "../tasks/augmentation.js";

/** JSON has no NaN: a loss that was not finite stands as null in the file, and as NaN here. */
const number = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
const whole = z.number().int();
const text = z.string().max(100_000);
const task = z.enum(taskKinds);
const strategy = z.enum(strategies);
const status = z.enum(["done", "failed", "pending"]);

const cost = z.object({
  wallSeconds: number,
  deviceSeconds: number,
  peakMemoryBytes: number,
  epochSeconds: z.array(number),
  epochEmbedded: z.array(number),
  device: text,
  threads: number,
  retry: z.object({ code: z.literal("OUT_OF_MEMORY"), reason: text, microBatch: whole }).optional(),
});

const epoch = z.object({
  epoch: whole,
  learningRate: number,
  trainingLoss: number,
  validationMetric: z.number().nullable(),
});

const augmentation = z.object({
  flip: z.array(z.enum(patientAxes)),
  flipProbability: z.number(),
  shift: z.union([z.number(), z.record(z.enum(patientAxes), z.number())]),
  intensity: z.object({ scale: z.number(), offset: z.number() }),
});

const cell = z.object({
  id: text,
  task,
  strategy,
  model: text,
  comparator: z.enum(comparators),
  seed: whole,
  network: z.object({ architecture: text, parameters: number, trainable: number }),
  trivial: z
    .object({
      answer: text,
      detail: text.optional(),
      chosenOn: z.enum(["validation", "training"]).nullable(),
      tried: z.array(z.object({ answer: text, value: z.number().nullable() })),
    })
    .optional(),
  augmentation: augmentation.optional(),
  metric: z.object({
    name: text,
    mean: z.number().nullable(),
    reason: text.optional(),
    standardDeviation: z.number().nullable(),
    cases: z.array(
      z.object({
        case: text,
        patient: text.optional(),
        value: z.number().nullable(),
        falseAlarm: z.boolean().optional(),
        truth: whole.optional(),
        predicted: whole.optional(),
        positive: z.boolean().optional(),
      }),
    ),
    secondary: z.record(text, z.number().nullable()).default({}),
    confusion: z.array(z.array(whole)).optional(),
  }),
  curve: z.array(epoch),
  bestEpoch: whole.nullable(),
  cost,
});

const flags = z.array(z.enum(distanceFlags)).default([]);

const kernel = z.union([
  z.object({
    sigma: z.null(),
    biased: z.null(),
    unbiased: z.null(),
    offDiagonalMean: z.null(),
    kernelMeans: z.null().default(null),
    flags: z.array(z.never()).default([]),
    saturated: z.literal(false),
  }),
  z.object({
    sigma: number,
    biased: number,
    unbiased: z.number().nullable(),
    offDiagonalMean: number,
    kernelMeans: z.object({
      withinA: z.number().nullable(),
      withinB: z.number().nullable(),
      between: number,
    }),
    flags,
    saturated: z.boolean(),
  }),
]);

const session = z.object({
  started: text,
  ended: text,
  seconds: number,
  devices: z.array(text),
  threads: number,
  jobs: number,
  machine: z.object({ cpu: text, cores: number, memoryBytes: number, system: text }),
  setAside: z.array(z.object({ file: text, reason: text, keptAs: text })).optional(),
  build: z.object({
    package: text,
    addon: text,
    libtorch: text,
    compiler: text,
    cpuCapability: text,
    cuda: text.nullable(),
    node: text,
  }),
});

const split = z.object({ train: whole, validation: whole, test: whole });

/** `results.json`, as `src/study/results.ts` describes it. Keys that a later version adds are passed over. */
export const resultsSchema = z.object({
  format: z.literal("transfer-limits/results@1"),
  name: text,
  complete: z.boolean(),
  cohort: z.object({
    manifest: text,
    cases: whole,
    patients: whole,
    split,
    tasks: z.array(z.object({ task, manifest: text, cases: whole, patients: whole, split })).optional(),
    masks: z
      .array(z.object({ role: z.enum(maskRoles), cases: whole, empty: whole, graded: whole }))
      .optional(),
    excluded: z.array(z.object({ case: text, file: text.nullable(), reason: text })),
  }),
  cells: z.array(
    z.object({
      id: text,
      task,
      strategy,
      model: text,
      comparator: z.enum(comparators),
      seed: whole,
      status,
      reason: text.optional(),
      result: cell.optional(),
    }),
  ),
  gains: z.array(
    z.object({
      task,
      strategy,
      model: text,
      seed: whole,
      reference: z.enum(["random-weights", "pretrained", "from-scratch", "specialised", "trivial"]),
      fineTuned: z.number().nullable(),
      referenceValue: z.number().nullable(),
      percent: z.number().nullable(),
      reason: text.optional(),
    }),
  ),
  claims: z
    .array(
      z.object({
        task,
        strategy,
        model: text,
        reference: z.enum(["random-weights", "pretrained", "from-scratch", "specialised", "trivial"]),
        metric: text,
        verdict: z.enum(["supported", "practically-equal", "contradicted", "undetermined"]),
        reason: text,
        seeds: z.array(whole),
        patients: whole,
        cases: whole,
        fineTuned: number,
        referenceValue: number,
        difference: z.object({
          estimate: number,
          low: number.nullable(),
          high: number.nullable(),
          standardError: number.nullable(),
          deviations: z.object({ seeds: number, patients: number, rest: number }).nullable(),
        }),
        percent: z.object({ estimate: number, low: number.nullable(), high: number.nullable() }).nullable(),
        p: number.nullable(),
        adjustedP: number.nullable(),
        equivalence: z.object({ margin: number, low: number.nullable(), high: number.nullable() }),
        better: whole.nullable(),
        detectable: number.nullable(),
        wouldSettle: z.object({ seeds: whole.nullable(), patients: whole.nullable() }).nullable(),
        distrust: z.array(text),
        cost: z.object({ fineTunedSeconds: number, referenceSeconds: number }),
      }),
    )
    .optional(),
  findings: z
    .array(
      z.discriminatedUnion("kind", [
        z.object({
          kind: z.literal("nothing-learnt"),
          ...{ task, strategy, metric: text, best: number, comparator: z.enum(comparators), model: text },
          trivial: z.number().nullable(),
          answer: text.nullable(),
        }),
        z.object({
          kind: z.literal("collapsed-features"),
          ...{ task, strategy, model: text, comparator: z.enum(comparators) },
        }),
        z.object({
          kind: z.literal("distance-at-ceiling"),
          ...{ task, strategy, model: text, distance: z.enum(["D2R", "D2P", "D2S"]) },
        }),
        z.object({
          kind: z.literal("pretraining-not-fallen"),
          ...{ model: text, first: z.number().nullable(), last: z.number().nullable() },
        }),
      ]),
    )
    .optional(),
  distances: z.array(
    z.object({
      task,
      strategy,
      model: text,
      seed: whole,
      name: z.enum(["D2R", "D2P", "D2S"]),
      rows: whole,
      features: whole,
      paper: kernel,
      medianHeuristic: kernel,
      bandwidthFrom: z.enum(comparators).optional(),
      multiBandwidth: z.object({
        biased: z.number().nullable(),
        unbiased: z.number().nullable(),
        flags,
      }),
      withoutKernel: z
        .object({
          linearCka: z.number().nullable(),
          procrustes: z.number().nullable(),
          meanShift: z.number().nullable(),
        })
        .optional(),
      warning: text.nullable(),
      reason: text.optional(),
    }),
  ),
  pretraining: z.array(
    z.object({
      model: text,
      seed: whole,
      status,
      reason: text.optional(),
      curve: z.array(epoch),
      cost: cost.optional(),
      patients: whole.optional(),
      patientsLeftOut: whole.optional(),
    }),
  ),
  exposure: z
    .array(
      z.object({
        model: text,
        patients: whole.nullable(),
        overlap: z.object({ validation: z.array(text), test: z.array(text) }),
      }),
    )
    .optional(),
  software: z.object({
    package: text,
    libtorch: text,
    node: text,
    device: text,
    threads: number,
    precision: z.enum(["float32", "bfloat16"]).optional(),
  }),
  cost: z.object({ sessions: z.array(session) }).optional(),
});

/** Fails to compile where the schema and the types of `results.ts` part ways. */
export type SchemaAgrees = z.infer<typeof resultsSchema> extends DeepOptional<StudyResults> ? true : never;
export const schemaAgrees: SchemaAgrees = true;

type DeepOptional<T> = T extends readonly (infer Item)[]
  ? readonly DeepOptional<Item>[]
  : T extends object
    ? { [Key in keyof T]: undefined extends T[Key] ? DeepOptional<T[Key]> | undefined : DeepOptional<T[Key]> }
    : T;

const division = z.object({
  train: z.array(text),
  validation: z.array(text),
  test: z.array(text),
  unused: z.array(text).default([]),
  patients: z.object({ train: z.array(text), validation: z.array(text), test: z.array(text) }).optional(),
});

/** `splits.json`: which case went where, also in the cohorts of single tasks. */
export const splitsSchema = division.extend({
  others: z.array(division.extend({ manifest: text, tasks: z.array(task) })).default([]),
});

export type Splits = z.infer<typeof splitsSchema>;
