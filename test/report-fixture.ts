/**
 * Study folders to write reports from: complete and consistent files with numbers from seeded streams, as a study
 * leaves them on disk. Everything is plain data; nothing of a study is run.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomStream } from "../dist/common/random.js";
import type { Comparator, Strategy, TaskName } from "../dist/common/vocabulary.js";
import { isShared } from "../dist/common/vocabulary.js";
import type { CellResult, Cost } from "../dist/results/cell.js";
import type { Gain } from "../dist/results/claims.js";
import type { Distance, KernelDistance } from "../dist/results/distances.js";
import type { CellStatus } from "../dist/results/fields.js";
import type { CellSummary, Exclusion, StudyResults } from "../dist/results/study.js";
import { ownStrategy, variantName } from "../dist/tasks/index.js";

export interface FixtureOptions {
  name?: string;
  tasks?: TaskName[];
  /** Of a task; the default is its own alone. */
  strategies?: (task: TaskName) => Strategy[];
  models?: string[];
  seeds?: number[];
  testCases?: number;
  caseIds?: string[];
  /** Of how many cases slices are stored; the default is all. */
  storedCases?: number;
  epochs?: number;
  /** Height and width of the stored slices, in pixels. */
  size?: [number, number];
  /** Millimetres a pixel, height and width. */
  spacing?: [number, number];
  /** The same, case by case, in turn. */
  spacings?: [number, number][];
  /** Mean test metric of a comparator; the default has the fine-tuned model ahead of training from scratch. */
  mean?: (task: TaskName, comparator: Comparator, model: string) => number;
  /** Adds what takes no network, with this mean on each task; absent: the study is older than that comparator. */
  trivial?: (task: TaskName) => number;
  /** What became of a cell; the default is that all are done. */
  status?: (cell: {
    task: TaskName;
    strategy: Strategy;
    model: string;
    comparator: Comparator;
    seed: number;
  }) => CellStatus;
  failure?: string;
  excluded?: Exclusion[];
  saturated?: boolean;
}

const comparators = ["fine-tuned", "pretrained", "random-weights", "from-scratch", "specialised"] as const;
const trains = (comparator: Comparator) => !["pretrained", "random-weights", "trivial"].includes(comparator);

const means: Record<string, Record<Exclude<Comparator, "trivial">, number>> = {
  "lesion-segmentation": {
    "fine-tuned": 0.62,
    pretrained: 0.11,
    "random-weights": 0.06,
    "from-scratch": 0.53,
    specialised: 0.58,
  },
  "super-resolution": {
    "fine-tuned": 0.887,
    pretrained: 0.41,
    "random-weights": 0.32,
    "from-scratch": 0.861,
    specialised: 0.893,
  },
};

/** The results of a study with these options. */
export function studyResults(options: FixtureOptions = {}): StudyResults {
  const tasks = options.tasks ?? (["lesion-segmentation", "super-resolution"] as TaskName[]);
  const models = options.models ?? ["profound-tiny"];
  const seeds = options.seeds ?? [7];
  const cases = caseIds(options);
  const { trivial, mean: meanOf = (task, comparator) => means[task][comparator as "fine-tuned"] } = options;
  const mean = (task: TaskName, comparator: Comparator, model: string) =>
    comparator === "trivial" ? (trivial?.(task) ?? 0) : meanOf(task, comparator, model);
  const cells: CellSummary[] = [];
  const strategies = options.strategies ?? ((task: TaskName) => [ownStrategy(task)]);
  for (const [task, strategy] of tasks.flatMap((kind) => strategies(kind).map((by) => [kind, by] as const))) {
    for (const seed of seeds) {
      for (const [index, model] of models.entries()) {
        for (const comparator of trivial ? ([...comparators, "trivial"] as const) : comparators) {
          // One for all foundation models and strategies.
          if (isShared(comparator) && (index > 0 || strategy !== ownStrategy(task))) continue;
          if (comparator === "trivial" && seed !== seeds[0]) continue;
          const owner = { specialised: "unet-3d", trivial: "nothing-learnt" }[comparator as string] ?? model;
          const cell = { task, strategy, model: owner, comparator, seed };
          const id = `${variantName(cell, "--")}-${owner.replace(/[^a-z0-9-]/gi, "")}-${comparator}-${seed}`;
          const status = options.status?.(cell) ?? "done";
          cells.push({
            id,
            ...cell,
            status,
            ...(status === "failed" ? { reason: options.failure ?? "The worker was killed by SIGKILL" } : {}),
            ...(status === "done"
              ? {
                  result: cellResult(
                    { id, ...cell },
                    mean(task, comparator, model),
                    cases,
                    options.epochs ?? 12,
                  ),
                }
              : {}),
          });
        }
      }
    }
  }
  const { gains, distances } = compare(
    cells,
    { tasks, strategies, models, seeds },
    options.saturated ?? false,
  );
  return {
    format: "transfer-limits/results@1",
    name: options.name ?? "Phantom demo",
    complete: cells.every((cell) => cell.status !== "pending"),
    cohort: {
      manifest: "cohort/manifest.csv",
      cases: 24 + cases.length,
      patients: 22 + cases.length,
      split: { train: 18, validation: 6, test: cases.length },
      excluded: options.excluded ?? [
        {
          case: "p-019",
          file: "p-019/adc.nii.gz",
          reason: "The file ends after 1,204 of 98,304 bytes of voxels",
        },
      ],
    },
    cells,
    gains,
    distances,
    pretraining: models.map((model) => ({
      model,
      seed: seeds[0],
      status: "done" as const,
      curve: Array.from({ length: 20 }, (_, index) => ({
        epoch: index + 1,
        learningRate: 1.5e-4,
        trainingLoss: 0.28 + 0.7 * Math.exp(-index / 5),
        validationMetric: null,
      })),
      cost: cost(20, 1.4),
    })),
    software: {
      package: "0.1.0",
      libtorch: "2.14.1",
      node: "20.20.2",
      device: "cpu",
      threads: 2,
      precision: "float32",
    },
  };
}

function compare(
  cells: CellSummary[],
  {
    tasks,
    strategies,
    models,
    seeds,
  }: {
    tasks: TaskName[];
    strategies: (task: TaskName) => Strategy[];
    models: string[];
    seeds: number[];
  },
  saturated: boolean,
): { gains: Gain[]; distances: Distance[] } {
  const gains: Gain[] = [];
  const distances: Distance[] = [];
  for (const [task, strategy] of tasks.flatMap((kind) => strategies(kind).map((by) => [kind, by] as const))) {
    for (const model of models) {
      for (const seed of seeds) {
        const result = (comparator: Comparator) =>
          cells.find(
            (cell) =>
              cell.task === task &&
              cell.comparator === comparator &&
              (comparator === "trivial" || cell.seed === seed) &&
              (isShared(comparator) || (cell.model === model && cell.strategy === strategy)),
          )?.result;
        const fineTuned = result("fine-tuned");
        if (!fineTuned) continue;
        for (const reference of [
          ...(["random-weights", "pretrained", "from-scratch", "specialised", "trivial"] as const),
        ]) {
          const other = result(reference);
          if (!other) continue;
          const [a, b] = [fineTuned.metric.mean as number, other.metric.mean as number];
          const percent = b === 0 ? null : ((a - b) / b) * 100;
          gains.push({ task, strategy, model, seed, reference, fineTuned: a, referenceValue: b, percent });
        }
        for (const [name, other] of [
          ["D2R", "random-weights"],
          ["D2P", "pretrained"],
          ["D2S", "from-scratch"],
        ] as const) {
          if (result(other)) {
            const key = { task, strategy, model, seed, name };
            distances.push(distance(key, fineTuned.metric.cases.length, saturated));
          }
        }
      }
    }
  }
  return { gains, distances };
}

function caseIds({ caseIds: given, testCases = 12 }: FixtureOptions): string[] {
  return given ?? Array.from({ length: testCases }, (_, index) => `p-${String(101 + index)}`);
}

function cost(epochs: number, seconds: number): Cost {
  return {
    wallSeconds: epochs * seconds + 3.2,
    deviceSeconds: epochs * seconds,
    peakMemoryBytes: 612 * 2 ** 20,
    epochSeconds: Array.from({ length: epochs }, () => seconds),
    epochEmbedded: Array.from({ length: epochs }, () => 30),
    device: "cpu",
    threads: 2,
  };
}

const metricNames: Partial<Record<TaskName, string>> = {
  "lesion-segmentation": "dice",
  "pirads-classification": "Specificity at sensitivity 0.9",
};

type CellKey = Pick<CellResult, "id" | "task" | "strategy" | "model" | "comparator" | "seed">;

function cellResult(key: CellKey, mean: number, cases: string[], epochs: number): CellResult {
  const random = randomStream(1, "cell", key.id);
  const spread = key.task === "lesion-segmentation" ? 0.14 : 0.02;
  const values = cases.map((id) => {
    // A case is easy or hard for every comparator alike, which is what pairing takes out.
    const difficulty = randomStream(2, "case", key.task, id).normal(0, spread);
    const value = mean === 0 ? 0 : mean * (1 + difficulty) + random.normal(0, spread / 4);
    return { case: id, patient: id, value: Math.min(1, Math.max(0, value)) };
  });
  const average = values.reduce((sum, { value }) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, { value }) => sum + (value - average) ** 2, 0);
  const pace = key.comparator === "fine-tuned" ? 2 : 5;
  const curve = !trains(key.comparator)
    ? []
    : Array.from({ length: epochs }, (_, index) => ({
        epoch: index + 1,
        learningRate: 5e-5 * (1 + Math.cos((Math.PI * index) / epochs)),
        trainingLoss: 0.35 + 0.5 * Math.exp(-index / pace) + random.normal(0, 0.008),
        validationMetric: average * (1 - 0.6 * Math.exp(-(index + 1) / pace)) + random.normal(0, 0.006),
      }));
  return {
    ...key,
    network: {
      architecture: key.comparator === "specialised" ? "unet-3d" : "profound-tiny + upernet",
      parameters: 31_204_112,
      trainable: trains(key.comparator) ? 31_204_112 : 0,
    },
    metric: {
      name: metricNames[key.task] ?? "ssim",
      floor: key.task === "pirads-classification" ? 0.145 : 0.05,
      mean: average,
      standardDeviation: values.length < 2 ? 0 : Math.sqrt(squares / (values.length - 1)),
      cases: values,
      secondary: {},
    },
    ...(key.comparator === "trivial"
      ? { trivial: { answer: "nothing-learnt", chosenOn: null, tried: [], validation: average * 0.98 } }
      : {}),
    curve,
    bestEpoch: curve.length > 0 ? epochs : null,
    cost: cost(curve.length, key.comparator === "specialised" ? 1.1 : 2.3),
  };
}

function distance(
  key: Pick<Distance, "task" | "strategy" | "model" | "seed" | "name">,
  rows: number,
  saturated: boolean,
): Distance {
  const random = randomStream(3, "distance", variantName(key), key.model, key.seed, key.name);
  const biased = saturated ? 2 / rows : random.between(0.02, 0.8);
  const kernel = (sigma: number, wide: boolean): KernelDistance => ({
    sigma,
    biased: wide ? biased / 3 : biased,
    unbiased: (wide ? biased / 3 : biased) - 1 / rows,
    offDiagonalMean: saturated && !wide ? 1e-12 : 0.42,
    kernelMeans:
      saturated && !wide
        ? { withinA: 1e-12, withinB: 1e-12, between: 1e-12 }
        : { withinA: 0.45, withinB: 0.45, between: 0.38 },
    flags: saturated && !wide ? ["sigma-too-small"] : [],
    saturated: saturated && !wide,
  });
  return {
    ...key,
    rows,
    features: 768,
    paper: kernel(1, false),
    medianHeuristic: kernel(14.31, true),
    bandwidthFrom: "pretrained",
    multiBandwidth: { biased: biased * 1.4, unbiased: biased * 1.4 - 1 / rows, flags: [] },
    withoutKernel: { linearCka: 1 - biased / 2, procrustes: biased, meanShift: biased * 2 },
    warning: saturated
      ? "Every kernel value between different cases is 0 at sigma 1: the distance is 1/N + 1/M, whatever the features."
      : null,
  };
}

/** An empty folder with a way to remove it. */
export async function temporaryFolder(): Promise<{ folder: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "transfer-limits-report-"));
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Writes a study's folder as a study leaves it. */
export async function writeStudyFolder(folder: string, options: FixtureOptions = {}): Promise<StudyResults> {
  const results = studyResults(options);
  const ids = caseIds(options);
  const json = (name: string, value: unknown) =>
    writeFile(join(folder, name), JSON.stringify(value, null, 2));
  await json("results.json", results);
  await json("study.resolved.json", {
    name: results.name,
    cohort: { manifest: "cohort/manifest.csv", voxels: [64, 64, 24] },
    tasks: options.tasks ?? ["lesion-segmentation", "super-resolution"],
    seeds: options.seeds ?? [7],
    training: { epochs: options.epochs ?? 12, learningRate: 1e-4 },
    alignment: { sigma: 1 },
  });
  await json("splits.json", {
    train: Array.from({ length: 18 }, (_, index) => `p-${String(index).padStart(3, "0")}`),
    validation: Array.from({ length: 6 }, (_, index) => `p-0${50 + index}`),
    test: ids,
    unused: [],
  });
  for (const cell of results.cells) {
    if (!cell.result) continue;
    await mkdir(join(folder, "cells", cell.id), { recursive: true });
    await writeFile(
      join(folder, "cells", cell.id, "examples.safetensors"),
      exampleFile(
        cell.result,
        ids.slice(0, options.storedCases),
        options.size ?? [64, 64],
        options.spacing ?? [1, 1],
        options.spacings,
      ),
    );
  }
  return results;
}

/** One slice a case: a gland with a lesion on a textured ground, predicted the better the higher the case scored. */
function exampleFile(
  result: CellResult,
  ids: string[],
  [height, width]: [number, number],
  spacing: [number, number],
  spacings: [number, number][] | undefined,
) {
  const mask = result.task === "lesion-segmentation";
  const pixels = height * width;
  const input = new Float32Array(ids.length * pixels);
  const target = new Float32Array(ids.length * pixels);
  const prediction = new Float32Array(ids.length * pixels);
  ids.forEach((id, index) => {
    const random = randomStream(4, "image", id);
    const [lesionX, lesionY] = [random.between(-0.35, 0.35), random.between(-0.1, 0.4)];
    const noise = Float32Array.from({ length: pixels }, () => random.normal(0, 1));
    const own = randomStream(5, "prediction", result.id, id);
    const value = result.metric.cases[index]?.value ?? 0;
    for (let pixel = 0; pixel < pixels; pixel++) {
      const y = (2 * (Math.floor(pixel / width) + 0.5)) / height - 1;
      const x = (2 * ((pixel % width) + 0.5)) / width - 1;
      const at = index * pixels + pixel;
      const edge = (sharpness: number) => 1 / (1 + Math.exp((Math.hypot(x / 0.62, y / 0.5) - 1) * sharpness));
      const lesion = Math.hypot((x - lesionX) / 0.16, (y - lesionY) / 0.13);
      const texture = 0.06 * Math.sin(9 * x) * Math.cos(7 * y);
      const tissue = 0.22 + 0.42 * edge(14) - 0.3 / (1 + Math.exp((lesion - 1) * 8)) + texture;
      if (mask) {
        input[at] = (tissue + 0.035 * noise[pixel] - 0.35) * 4; // normalised, as a network gets it
        target[at] = lesion < 1 ? 1 : 0;
        const shrunk = 0.16 * (0.4 + 0.6 * value);
        const moved = Math.hypot((x - lesionX - 0.12 * (1 - value)) / shrunk, (y - lesionY) / 0.13);
        prediction[at] = 1 / (1 + Math.exp((moved - 1) * 10));
      } else {
        target[at] = Math.min(1, Math.max(0, tissue + 0.02 * noise[pixel]));
        input[at] = 0.22 + 0.42 * edge(5);
        prediction[at] = value * target[at] + (1 - value) * input[at] + own.normal(0, 0.04 * (1 - value));
      }
    }
  });
  const shape = [ids.length, height, width];
  return safetensors(
    {
      input: { shape, values: input },
      target: { shape, values: target },
      prediction: { shape, values: prediction },
    },
    {
      kind: mask ? "mask" : "image",
      cases: JSON.stringify(ids),
      slices: JSON.stringify(ids.map((_, index) => 8 + index)),
      spacing: JSON.stringify(spacing),
      ...(spacings
        ? { spacings: JSON.stringify(ids.map((_, index) => spacings[index % spacings.length])) }
        : {}),
    },
  );
}

/** The bytes of a safetensors file with float32 tensors. */
export function safetensors(
  tensors: Record<string, { shape: number[]; values: Float32Array }>,
  metadata: Record<string, string>,
): Buffer {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + values.byteLength] };
    offset += values.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([
    length,
    json,
    ...Object.values(tensors).map(({ values }) => Buffer.from(values.buffer)),
  ]);
}
