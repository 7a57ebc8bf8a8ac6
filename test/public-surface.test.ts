import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as api from "../dist/index.js";
import { Network, Tensor, Trainer, TransferLimitsError } from "../dist/index.js";
import { writeRamp } from "./embed-fixture.js";
import { hostileValues, otherTensors } from "./hostile-values.js";

const { diffusion, metrics, statistics } = api;

/** A public function with arguments that it takes; each is then replaced, and each property of those that are options. */
interface Call {
  work: (...given: never[]) => unknown;
  given: unknown[];
}

let folder = "";
let weights = "";
const kept: Disposable[] = [];
const keep = <T extends Disposable>(value: T): T => {
  kept.push(value);
  return value;
};
const floats = (...shape: number[]): Tensor => {
  const count = shape.reduce((product, size) => product * size, 1);
  return keep(
    Tensor.from(
      Float32Array.from({ length: count }, (_, i) => Math.sin(i)),
      shape,
    ),
  );
};

const convNeXt = {
  family: "convnext-v2-3d",
  channels: 1,
  depths: [1, 1, 1, 1],
  dims: [4, 8, 8, 16],
} as const;
const transformer = {
  family: "dino-vit",
  channels: 1,
  patch: 4,
  embedDim: 8,
  depth: 1,
  heads: 2,
  registers: 0,
  axisTokens: 2,
} as const;

const spec = <T>(value: T) => structuredClone(value) as never;
let calls: Record<string, Call> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-"));
  process.chdir(folder); // some words are paths that may be written to
  const network = keep(
    await Network.create({
      encoder: spec(convNeXt),
      head: { kind: "upernet", hidden: 4, auxiliary: 4, outputs: 1 },
    }),
  );
  const vit = keep(
    await Network.create({
      encoder: spec(transformer),
      head: { kind: "contrastive", outputs: 1, hidden: 8, bottleneck: 4, prototypes: 4 } as never,
    }),
  );
  const teacher = keep(
    await Network.create({
      encoder: spec(transformer),
      head: { kind: "contrastive", outputs: 1, hidden: 8, bottleneck: 4, prototypes: 4 } as never,
    }),
  );
  weights = join(folder, "weights.safetensors");
  await network.save(weights);
  const volume = floats(1, 1, 32, 32, 32);
  const slices = floats(2, 1, 8, 8);
  const position = floats(2, 2);
  const features = keep(await network.embed(volume));
  const trainer = keep(await Trainer.create(network, { loss: { kind: "tversky", alpha: 0.5, beta: 0.5 } }));
  const distiller = keep(await Trainer.create(vit, { loss: { kind: "self-distillation" } }, teacher));
  const state = join(folder, "trainer.safetensors");
  await trainer.save(state);
  const file = await api.openCheckpoint(weights);
  const schedule = diffusion.noiseSchedule("cosine", 8);
  const [a, b] = [floats(4, 3), floats(5, 3)];
  const volumeA = floats(12, 12, 12);
  const numbers = [1, 2, 3, 5];
  const labels = [true, false, true, false];
  const patients = ["a", "b", "c", "d"];
  const step = { learningRate: 1e-4, seed: 1 };
  const target = floats(1, 1, 32, 32, 32);
  const views = {
    slices: 2,
    global: floats(4, 1, 8, 8),
    lesion: floats(4, 1, 8, 8),
    local: null,
    globalPosition: floats(4, 2),
    localPosition: null,
    [Symbol.dispose]() {},
  };
  const distillation = { ...step, momentum: 0.9, teacherTemperature: 0.05 };
  const study = {
    name: "surface",
    cohort: { manifest: join(folder, "absent.csv"), voxels: [32, 32, 16] },
    split: { train: 3, validation: 1, test: 2 },
    models: [{ name: "one", encoder: "profound-tiny" }],
    tasks: ["super-resolution"],
    comparators: ["from-scratch"],
  };
  const rows = [
    [0, 1],
    [2, 1],
    [3, 5],
  ];
  const cell = {
    id: "one",
    task: "super-resolution",
    strategy: "regression",
    model: "one",
    comparator: "fine-tuned",
    seed: 1,
    metric: { name: "ssim", mean: 0.5 },
  };
  const level = (patients: number) => ({ patients, fineTuned: rows, fromScratch: rows });
  const learnt = (count: number) => ({
    ...{ ...cell, trainedOn: { patients: count, cases: count, asked: count }, cost: { deviceSeconds: 1 } },
    metric: { name: "ssim", mean: 0.5, standardDeviation: 0.1, cases: [{ case: "a", value: 0.5 }] },
  });
  const out = (name: string) => join(folder, "written", name);
  const image = join(folder, "ramp.nrrd");
  await writeRamp(image);

  calls = {
    "Tensor.from": { work: Tensor.from, given: [new Float32Array(6), [2, 3], "cpu"] },
    "Tensor.sharing": { work: Tensor.sharing, given: [new Float32Array(6), [2, 3], "cpu"] },
    "Tensor.gather": {
      work: Tensor.gather,
      given: [
        [a, a],
        [0, 1],
      ],
    },
    "Tensor.gather, a tensor": { work: (one: Tensor) => Tensor.gather([a, one], [0, 1]), given: [a] },
    "Tensor.normal": { work: Tensor.normal, given: [[2, 3], 1, "cpu"] },
    "Tensor.combine": { work: Tensor.combine, given: [[[0.5, a]]] },
    "Tensor.combine, a part": {
      work: (w: number, t: Tensor) =>
        Tensor.combine([
          [1, a],
          [w, t],
        ]),
      given: [0.5, a],
    },
    "new Tensor": { work: (handle: never) => new Tensor(handle).shape, given: [a.handle] },
    ...Object.fromEntries(
      Object.entries({
        float: a,
        whole: keep(Tensor.from(new BigInt64Array(8), [2, 2, 2])),
        bytes: keep(Tensor.from(new Uint8Array(8), [2, 2, 2])),
        gone: disposed(),
      }).flatMap(([name, tensor]) => [
        [`clamp of ${name}`, { work: tensor.clamp.bind(tensor), given: [0, 1] }],
        [`poolDepth of ${name}`, { work: tensor.poolDepth.bind(tensor), given: [1, "mean"] }],
        [`threshold of ${name}`, { work: tensor.threshold.bind(tensor), given: [0] }],
        [`select of ${name}`, { work: tensor.select.bind(tensor), given: [0, 0] }],
        [`sliceSums of ${name}`, { work: () => tensor.sliceSums(), given: [1] }],
        [`countNotFinite of ${name}`, { work: () => tensor.countNotFinite(), given: [1] }],
        [`toArray of ${name}`, { work: () => tensor.toArray(), given: [1] }],
        [`share of ${name}`, { work: () => tensor.share(), given: [1] }],
        [`properties of ${name}`, { work: () => [tensor.shape, tensor.dtype, tensor.device], given: [1] }],
      ]),
    ),
    "Network.create": {
      work: Network.create.bind(Network),
      given: [
        {
          encoder: spec(convNeXt),
          head: { kind: "upernet", hidden: 4, auxiliary: 4, outputs: 1 },
          output: { bins: 4, low: 0, high: 1 },
          device: "cpu",
          seed: 1,
        },
      ],
    },
    "Network.create, the encoder": {
      work: (encoder: never) => Network.create({ encoder }),
      given: [spec(convNeXt)],
    },
    "Network.create, the head": {
      work: (head: never) => Network.create({ encoder: spec(convNeXt), head }),
      given: [{ kind: "upernet", hidden: 4, auxiliary: 4, outputs: 1 }],
    },
    "Network.build": {
      work: Network.build.bind(Network),
      given: [{ encoder: spec(convNeXt) }, { device: "cpu", seed: 1 }],
    },
    "Network.build, the encoder": {
      work: (encoder: never) => Network.build({ encoder }),
      given: [spec(convNeXt)],
    },
    "network.embed of volumes": { work: (input: Tensor) => network.embed(input), given: [volume] },
    "network.embed of slices": { work: vit.embed.bind(vit), given: [slices, { position }] },
    "network.forward": {
      work: (input: Tensor, options: object) => network.forward(input, options),
      given: [volume, {}],
    },
    "network.forward of slices": {
      work: (input: Tensor, options: object) => vit.forward(input, options),
      given: [slices, { position }],
    },
    "network.decode": { work: network.decode.bind(network), given: [features, volume] },
    "network.project": { work: vit.project.bind(vit), given: [floats(3, 8)] },
    "network.assign": { work: network.assign.bind(network), given: [{}] },
    "network.assign, a tensor": {
      work: (tensor: Tensor) => network.assign({ [network.parameters[0]?.name as string]: tensor }),
      given: [floats(...(network.parameters[0]?.shape ?? []))],
    },
    "network.state": { work: network.state.bind(network), given: [["no such name"]] },
    "network.save": { work: network.save.bind(network), given: [out("n.safetensors"), { note: "x" }] },
    "network.restore": { work: network.restore.bind(network), given: [weights, ["no such name"]] },
    "network.loadCheckpoint": {
      work: network.loadCheckpoint.bind(network),
      given: [
        weights,
        { keyMap: "profound-masked-autoencoder", scope: "encoder", leastCoverage: 0.9, fresh: true },
      ],
    },
    "network.precision": {
      work: (precision: never) => {
        network.precision = precision;
        return network.embed(volume).finally(() => {
          network.precision = "float32";
        });
      },
      given: ["float32"],
    },
    openCheckpoint: { work: api.openCheckpoint, given: [weights] },
    "file.info": { work: file.info, given: [file.names[0]] },
    "file.stored": { work: file.stored, given: [file.names[0]] },
    "file.tensor": { work: file.tensor, given: [file.names[0], "cpu"] },
    "Trainer.create": {
      work: Trainer.create,
      given: [
        network,
        {
          loss: { kind: "l1" },
          weightDecay: 0.1,
          betas: [0.9, 0.99],
          gradientClip: 1,
          trainable: [""],
          rates: {},
          auxiliaryWeight: 0.4,
          precision: "float32",
          checkpointing: false,
          cudaGraphs: false,
          microBatch: 1,
        },
      ],
    },
    "Trainer.create, the loss": {
      work: (loss: never) => Trainer.create(network, { loss }),
      given: [{ kind: "tversky", alpha: 0.5, beta: 0.5, smooth: 1 }],
    },
    "trainer.step": { work: trainer.step.bind(trainer), given: [volume, target, { ...step, features }] },
    "trainer.step of classes": {
      work: async (wanted: Tensor) => {
        using crossed = await Trainer.create(network, { loss: { kind: "cross-entropy" } });
        return await crossed.step(volume, wanted, step);
      },
      given: [target],
    },
    "trainer.enqueue": { work: trainer.enqueue.bind(trainer), given: [volume, target, step] },
    "trainer.distil": { work: distiller.distil.bind(distiller), given: [views, distillation] },
    "trainer.save": { work: trainer.save.bind(trainer), given: [out("t.safetensors"), { note: "x" }] },
    "trainer.load": { work: trainer.load.bind(trainer), given: [state] },
    "diffusion.noiseSchedule": { work: diffusion.noiseSchedule, given: ["linear", 4] },
    "diffusion.noised": { work: diffusion.noised, given: [schedule, a, a, 3] },
    "diffusion.sample": {
      work: diffusion.sample,
      given: [
        {
          schedule,
          sampler: "ddim",
          steps: 2,
          eta: 0.5,
          shape: [1, 2],
          seed: 1,
          device: "cpu",
          prediction: "noise",
          predict: async (noisy: Tensor) => noisy.share(),
          clip: [0, 1],
        },
      ],
    },
    "diffusion.sample, what predict answers": {
      work: (answer: never) =>
        diffusion.sample({
          schedule,
          sampler: "ancestral",
          steps: 2,
          shape: [4, 3],
          seed: 1,
          predict: async () => answer,
        }),
      given: [1],
    },
    compareFeatures: { work: api.compareFeatures, given: [a, a] },
    "compareFeatures of arrays": {
      work: api.compareFeatures,
      given: [
        { data: new Float32Array(6), shape: [2, 3] },
        { data: new Float32Array(6), shape: [2, 3] },
      ],
    },
    mmd2: { work: api.mmd2, given: [a, b, { sigma: 1, products: "float32", paired: false }] },
    "mmd2 of arrays": { work: api.mmd2, given: [{ data: new Float32Array(6), shape: [2, 3] }, b] },
    mmdPermutationTest: {
      work: api.mmdPermutationTest,
      given: [
        ...[a, a],
        { sigma: 1, permutations: 9, seed: 1, paired: false, patients: { a: ["p", "q"], b: ["p", "r"] } },
      ],
    },
    "metrics.ssim3d": { work: metrics.ssim3d, given: [volumeA, volumeA, { dataRange: 1 }] },
    "metrics.dice": { work: metrics.dice, given: [[0.9, 0.2], [1, 0], { threshold: 0.5, empty: 1 }] },
    "metrics.diceOf": { work: metrics.diceOf, given: [volume, volume, { threshold: 0.5, empty: 1 }] },
    "metrics.diceFrom": { work: metrics.diceFrom, given: [{ intersection: 1, prediction: 2, target: 3 }, 1] },
    "metrics.specificityAtSensitivity": {
      work: metrics.specificityAtSensitivity,
      given: [[0, 1], [0.1, 0.9], 0.9],
    },
    "metrics.auc": {
      work: metrics.auc,
      given: [
        [0, 1],
        [0.1, 0.9],
      ],
    },
    "metrics.confusionMatrix": { work: metrics.confusionMatrix, given: [[0, 1], [1, 1], 2] },
    "metrics.quadraticWeightedKappa": { work: metrics.quadraticWeightedKappa, given: [[0, 1], [1, 1], 2] },
    "statistics.mean": { work: statistics.mean, given: [numbers] },
    "statistics.standardDeviation": { work: statistics.standardDeviation, given: [numbers] },
    "statistics.quantile": { work: statistics.quantile, given: [numbers, 0.5] },
    "statistics.bootstrapInterval": {
      work: statistics.bootstrapInterval,
      given: [numbers, { seed: 1, level: 0.9, resamples: 20, statistic: statistics.mean }],
    },
    "statistics.pearson": { work: statistics.pearson, given: [numbers, [4, 1, 2, 9]] },
    "statistics.spearman": { work: statistics.spearman, given: [numbers, [4, 1, 2, 9]] },
    "statistics.averageRanks": { work: statistics.averageRanks, given: [numbers] },
    "statistics.specificityInterval": {
      work: statistics.specificityInterval,
      given: [{ labels, scores: numbers, patients }],
    },
    "statistics.specificityDifference": {
      work: statistics.specificityDifference,
      given: [{ labels, first: [numbers], second: [numbers], patients }],
    },
    "statistics.aucInterval": {
      work: statistics.aucInterval,
      given: [{ labels, scores: numbers, patients }],
    },
    "statistics.aucDifference": {
      work: statistics.aucDifference,
      given: [{ labels, first: numbers, second: [4, 1, 2, 9], patients }],
    },
    "statistics.kappaInterval": {
      work: statistics.kappaInterval,
      given: [{ truth: [0, 1, 2, 1], predicted: [0, 1, 1, 1], patients }, 3],
    },
    "statistics.detectableCorrelation": { work: statistics.detectableCorrelation, given: [10, 0.8, 0.05] },
    "statistics.jointCorrelation": {
      work: statistics.jointCorrelation,
      given: [[{ x: numbers, y: [4, 1, 2, 9] }]],
    },
    "statistics.specificationCurve": {
      work: statistics.specificationCurve,
      given: [[{ choices: { layer: "last" }, x: numbers, y: [4, 1, 2, 9] }], { seed: 1, resamples: 20 }],
    },
    "statistics.smallestSignificant": { work: statistics.smallestSignificant, given: [10, 0.05] },
    "statistics.relativePerformanceGain": { work: statistics.relativePerformanceGain, given: [0.5, 0.4] },
    "statistics.computeGains": { work: statistics.computeGains, given: [[cell]] },
    "statistics.computeClaims": {
      work: statistics.computeClaims,
      given: [[cell], { margins: {} }, { exposure: [], pretraining: [] }],
    },
    "statistics.worthInPatients": {
      work: statistics.worthInPatients,
      given: [[level(4), level(8)], () => ({ estimate: 0.1, p: 0.5 })],
    },
    "statistics.worthInPatients, a level": {
      work: (one: never) => statistics.worthInPatients([one, level(8)]),
      given: [level(4)],
    },
    "statistics.worthInPatients, what a test answers": {
      work: (answer: never) => statistics.worthInPatients([level(4), level(8)], () => answer),
      given: [{ estimate: 0.1, p: 0.5 }],
    },
    "statistics.computeLearningCurves": {
      work: statistics.computeLearningCurves,
      given: [[learnt(6)], [learnt(3)], new Map([["one", 60]])],
    },
    "statistics.computeLearningCurves, a cell": {
      work: (one: never) => statistics.computeLearningCurves([learnt(6) as never], [one]),
      given: [learnt(3)],
    },
    "statistics.logMe": { work: statistics.logMe, given: [rows, [0, 1, 1]] },
    "statistics.logMeOfRegression": { work: statistics.logMeOfRegression, given: [rows, [0.5, 1, 2]] },
    "statistics.hScore": { work: statistics.hScore, given: [rows, [0, 1, 1], { shrinkage: "none" }] },
    "statistics.sfda": { work: statistics.sfda, given: [rows, [0, 1, 1], { strength: 5 }] },
    "statistics.nearestNeighbours": {
      work: statistics.nearestNeighbours,
      given: [rows, [0, 1, 1], { groups: ["a", "b", "c"], neighbours: 1 }],
    },
    "statistics.nearestNeighboursOfRegression": {
      work: statistics.nearestNeighboursOfRegression,
      given: [rows, [0.5, 1, 2], { groups: ["a", "b", "c"], neighbours: 1 }],
    },
    "statistics.linearProbe": {
      work: statistics.linearProbe,
      given: [rows, [0, 1, 1], { groups: ["a", "b", "c"] }],
    },
    "statistics.linearProbeOfRegression": {
      work: statistics.linearProbeOfRegression,
      given: [rows, [0.5, 1, 2], { groups: ["a", "b", "c"] }],
    },
    "statistics.computeIntervals": { work: statistics.computeIntervals, given: [[cell], { resamples: 10 }] },
    "statistics.computeRelations": {
      work: statistics.computeRelations,
      given: [{ cells: [], claims: [], distances: [] }, { resamples: 10 }],
    },
    "statistics.expectedHalfWidth": {
      work: statistics.expectedHalfWidth,
      given: [{ seeds: 0.1, patients: 0.1, rest: 0.1 }, 3, 10, 0.05, 2],
    },
    "statistics.detectableDifference": {
      work: statistics.detectableDifference,
      given: [{ seeds: 0.1, patients: 0.1, rest: 0.1 }, 3, 10, 2],
    },
    "statistics.simulateStudy": {
      work: statistics.simulateStudy,
      given: [{ seeds: 2, patients: 3, runSpread: 0, patientSpread: 0.1, restSpread: 0.1 }, 1, 0],
    },
    "statistics.simulateClaims": {
      work: statistics.simulateClaims,
      given: [{ seeds: 2, patients: 3, runSpread: 0, patientSpread: 0.1, restSpread: 0.1 }, 1, 0],
    },
    "statistics.computeGains, a cell": {
      work: (one: never) => statistics.computeGains([one, cell as never]),
      given: [cell],
    },
    writePhantomCohort: {
      work: api.writePhantomCohort,
      given: [out("phantoms"), { cases: 1, seed: 1, voxels: [8, 8, 8], prefix: "p" }],
    },
    loadStudy: { work: api.loadStudy, given: [join(folder, "absent.yaml")] },
    planStudy: { work: api.planStudy, given: [study] },
    runStudy: { work: api.runStudy, given: [study, { jobs: 1, devices: ["cpu"], only: "pretraining" }] },
    forecastStudy: { work: api.forecastStudy, given: [study, { devices: ["cpu"] }] },
    "forecastStudy, its signal and listeners": {
      work: (signal: never, onProgress: never, onModel: never) =>
        api.forecastStudy(study as never, { signal, onProgress, onModel }),
      given: [new AbortController().signal, () => undefined, () => undefined],
    },
    "runStudy, its signal and listener": {
      work: (signal: never, onProgress: never) => api.runStudy(study as never, { signal, onProgress }),
      given: [new AbortController().signal, () => undefined],
    },
    "mmd2, its signal": {
      work: (signal: never) => api.mmd2(a, b, { signal }),
      given: [new AbortController().signal],
    },
    prepareVolume: {
      work: api.prepareVolume,
      given: [
        { t2w: image, gland: image },
        {
          voxels: [8, 8, 8],
          crop: { around: "centre", fieldOfView: "whole" },
          normalise: { t2w: { kind: "range", low: 0, high: 1 } },
          masks: "nearest",
          images: { root: folder, voxels: 1000, expansion: 10 },
        },
      ],
    },
    "prepareVolume, its signal": {
      work: (signal: never) => api.prepareVolume(image, { signal, voxels: [8, 8, 8] }),
      given: [new AbortController().signal],
    },
    embedImages: {
      work: api.embedImages,
      given: [
        image,
        {
          encoder: spec(convNeXt),
          weights,
          keyMap: "convnext-v2-3d",
          weightsState: "",
          device: "cpu",
          seed: 1,
          voxels: [32, 32, 32],
          channels: ["t2w"],
          channelFill: "zeros",
          output: out("e.safetensors"),
          cache: out("cache"),
          onProgress: () => undefined,
        },
      ],
    },
    "embedImages, a case": {
      work: (one: never) => api.embedImages([one], { encoder: network, voxels: [32, 32, 32] }),
      given: [{ id: "one", t2w: image, adc: image }],
    },
    readImage: { work: api.readImage, given: [join(folder, "absent.nii"), { volume: 0 }] },
    writeReport: { work: api.writeReport, given: [join(folder, "absent")] },
  } as unknown as Record<string, Call>;
});

afterAll(async () => {
  for (const value of kept) value[Symbol.dispose]();
  process.chdir(tmpdir());
  await rm(folder, { recursive: true, force: true });
});

function disposed(): Tensor {
  const tensor = Tensor.from(new Float32Array(8), [2, 2, 2]);
  tensor.dispose();
  return tensor;
}

/** Each argument, and each property of one that is a plain object, replaced by each hostile value. */
function* variants(given: unknown[]): Generator<[what: string, arguments_: unknown[]]> {
  for (const [index, valid] of given.entries()) {
    const others = { ...hostileValues(), ...(valid instanceof Tensor ? otherTensors(valid) : {}) };
    for (const [name, value] of Object.entries(others))
      yield [`argument ${index}: ${name}`, given.with(index, value)];
    if (typeof valid !== "object" || valid === null || Object.getPrototypeOf(valid) !== Object.prototype)
      continue;
    for (const [key, inner] of Object.entries(valid)) {
      const within = { ...hostileValues(), ...(inner instanceof Tensor ? otherTensors(inner) : {}) };
      for (const [name, value] of Object.entries(within))
        yield [`argument ${index}.${key}: ${name}`, given.with(index, { ...valid, [key]: value })];
    }
  }
}

/** What is wrong with how a call ended; null where it answered, or refused as it should. */
async function complaint({ work, given }: Call): Promise<string | null> {
  try {
    disposeAll(await work(...(given as never[])));
    return null;
  } catch (error) {
    // What a caller's own function throws reaches the caller as it is.
    if (error instanceof TypeError && error.message.includes("Class constructor")) return null;
    if (!(error instanceof TransferLimitsError)) return `threw ${String(error)}`;
    if (error.code === "INTERNAL") return `INTERNAL: ${error.message}`;
    if (error.code === "BAD_INPUT" && !/received|cannot be read/.test(error.message))
      return `does not say what came: ${error.message}`;
    return error.message.length > 5000 ? `a message of ${error.message.length} characters` : null;
  }
}

function disposeAll(answer: unknown): void {
  if (typeof answer !== "object" || answer === null) return;
  if (Symbol.dispose in answer) (answer as Disposable)[Symbol.dispose]();
  else if (Object.getPrototypeOf(answer) === Object.prototype)
    for (const value of Object.values(answer)) if (value instanceof Tensor) value.dispose();
}

/** Public values that are no functions, or whose errors are those of another library. */
const notCalled = new Set([
  "TransferLimitsError",
  "studySchema",
  "Tensor",
  "Network",
  "Trainer",
  "diffusion",
  "metrics",
  "statistics",
]);

describe("every public function", () => {
  test("is tried", () => {
    const exported = [
      ...Object.keys(api).filter((name) => !notCalled.has(name)),
      ...Object.keys(diffusion)
        .filter((name) => name !== "predictions")
        .map((name) => `diffusion.${name}`),
      ...Object.keys(metrics).map((name) => `metrics.${name}`),
      ...Object.keys(statistics).map((name) => `statistics.${name}`),
    ];
    expect(exported.filter((name) => !(name in calls))).toEqual([]);
  });

  test("takes or refuses whatever it is given, and says what came", { timeout: 600_000 }, async () => {
    const complaints: string[] = [];
    let count = 0;
    for (const [name, call] of Object.entries(calls)) {
      for (const [what, given] of variants(call.given)) {
        count++;
        const wrong = await complaint({ ...call, given });
        if (wrong !== null) complaints.push(`${name}, ${what}: ${wrong}`);
      }
    }
    expect(complaints).toEqual([]);
    expect(count).toBeGreaterThan(3000);
  });
});
