// The table of docs/methods.md of what the fidelity gate flags: plants faults of each kind into encoders that were pretrained on
// phantoms and into what they are shown, and counts how many are flagged, and how many sound set-ups are. After a build:
// `node scripts/fidelity-table.mjs FOLDER [--times 100] [--family NAME] [--python PATH]`. Phantoms and encoders are kept in the
// folder. With a Python that has torch, TorchScript encoders are trained too. Takes an hour on two cores.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openCase } from "../dist/cohort/case-volumes.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { prepareCohort } from "../dist/cohort/preprocess.js";
import { randomStream } from "../dist/common/random.js";
import { loadEncoder } from "../dist/models/checkpoints/load-weights.js";
import { measureFidelity } from "../dist/models/fidelity/gate.js";
import { turns } from "../dist/models/fidelity/images.js";
import { Network } from "../dist/models/network.js";
import { readSafetensors, writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { runStudy } from "../dist/study/run/run.js";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { times: { type: "string" }, family: { type: "string" }, python: { type: "string" } },
});
const folder = positionals[0] ?? "fidelity-table";
const times = Number(options.times ?? 100);
const images = ["t2w", "adc", "hbv"];
const voxels = [32, 32, 16];
const seeds = [1, 2];

const masked = { epochs: 6, batchSize: 2, learningRate: 1e-3, decoderDim: 16 };
const families = {
  "convnext-v2-3d": { encoder: "profound-demo", pretrain: masked },
  "dino-vit": {
    encoder: "provicnet-demo",
    pretrain: { epochs: 6, batchSize: 2, learningRate: 1e-3, projection: { hidden: 64, bottleneck: 32 } },
  },
  "resnet-3d": {
    encoder: { family: "resnet-3d", channels: 3, features: 8, blocks: [1, 1, 1, 1] },
    pretrain: masked,
  },
  "residual-encoder-3d": {
    encoder: {
      family: "residual-encoder-3d",
      channels: 3,
      features: [8, 16, 16, 32, 32],
      blocks: [1, 1, 1, 1, 1],
      strides: [1, 2, 2, 2, 2],
    },
    pretrain: masked,
  },
  "swin-unetr-3d": {
    encoder: {
      family: "swin-unetr-3d",
      channels: 3,
      features: 12,
      depths: [1, 1, 1, 1],
      heads: [1, 2, 2, 4],
      window: 4,
    },
    pretrain: masked,
  },
};

/** Cases of phantoms, opened; each grid is prepared once. */
const opened = new Map();
async function casesOf(seed, count, grid = voxels) {
  const key = JSON.stringify([seed, count, grid]);
  if (opened.has(key)) return opened.get(key);
  const cohort = join(folder, `phantoms-${seed}`);
  if (!existsSync(join(cohort, "manifest.csv")))
    await writePhantomCohort(cohort, { cases: count, seed, voxels: [48, 48, 24] });
  const manifest = await readManifest(join(cohort, "manifest.csv"));
  const { cases } = await prepareCohort(
    manifest,
    { voxels: grid, crop: { around: "gland", fieldOfView: "whole" } },
    { cache: join(folder, "cache") },
  );
  opened.set(key, await Promise.all(cases.map((one) => openCase(one, "cpu"))));
  return opened.get(key);
}

/** A case whose volumes come from another column, turned and with other intensities. */
const changed = (one, { column = (name) => name, turn = turns[0], intensities = (value) => value } = {}) => ({
  ...one,
  async load(name) {
    const volume = await one.load(column(name));
    const before = await volume.toArray();
    const { shape } = volume;
    volume.dispose();
    const size = turn.order.map((axis) => shape[axis]);
    const steps = [shape[1] * shape[2], shape[2], 1];
    const after = new Float32Array(before.length);
    const of = intensities.of ? intensities.of(before) : intensities;
    let at = 0;
    for (let d = 0; d < size[0]; d++)
      for (let h = 0; h < size[1]; h++)
        for (let w = 0; w < size[2]; w++) {
          const from = [d, h, w].reduce(
            (sum, index, axis) =>
              sum + (turn.flipped[axis] ? size[axis] - 1 - index : index) * steps[turn.order[axis]],
            0,
          );
          after[at++] = of(before[from]);
        }
    return Tensor.from(after, size);
  },
});

const zScore = {
  of(values) {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    return (value) => (value - mean) / deviation;
  },
};
const wrongScales = [
  (value) => 255 * value,
  (value) => 1000 * value,
  (value) => value / 255,
  (value) => 2 * value - 1,
  (value) => 2000 * value - 1000,
  zScore,
];
const inverted = (value) => 1 - value;
const isMirror = ({ order, flipped }) => order.join() === "0,1,2" && flipped.join() === "false,false,true";
const otherTurns = turns.slice(1).filter((turn) => !isMirror(turn));
const otherOrders = [
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
];
const otherGrids = [
  [48, 48, 16],
  [64, 64, 16],
  [24, 24, 16],
  [48, 32, 16],
];
const otherAxes = ["SAL", "IPL", "SPR", "SLP", "PSL", "LPS", "RAS", "ARS", "IAR", "LAS"];

/** So many cases of cohorts that no encoder saw. */
async function drawCases(draw, grid) {
  const pool = await casesOf(11 + draw.integer(0, 3), 8, grid);
  return draw.shuffle([...pool]).slice(0, draw.integer(4, 8));
}

/** Networks of the present set-up. */
const made = [];
const keep = (network) => {
  made.push(network);
  return network;
};

/** Changes tensors of a network in place. */
async function alter(network, chosen, change) {
  const state = await network.state();
  for (const [name, tensor] of Object.entries(state)) {
    if (chosen(name, tensor.shape)) {
      const made = Tensor.from(change(Float32Array.from(await tensor.toArray())), tensor.shape);
      await network.assign({ [name]: made });
      made.dispose();
    }
    tensor.dispose();
  }
}

/** Features that collapse, as the first kernel is 0; or explode, as every kernel and gain is too large, or overflow. */
async function spoil(network, draw) {
  const kernels = network.parameters.filter(
    ({ buffer, name, shape }) => !buffer && shape.length >= 4 && !/pos_embed/.test(name),
  );
  if (draw.integer(0, 1) === 0) {
    await alter(
      network,
      (name) => name === kernels[0].name,
      (values) => values.fill(0),
    );
    return;
  }
  // What a layer norm without a gain ends in grows to no more than that, and breaks when what it norms overflows.
  const { family } = network.spec.encoder;
  const factor = family === "swin-unetr-3d" ? 1e20 : [1e4, 1e8, 1e20][draw.integer(0, 2)];
  await alter(
    network,
    (name, shape) => shape.length >= 2 || /norms?(?:\.?\d+)*\.weight$|bn.*weight$|gamma$/.test(name),
    (values) => values.map((value) => value * factor),
  );
}

/** Where a pretraining lies: of all families, or of the one that is asked for. */
const pretrainingOf = (seed) =>
  ["pretraining", seed, ...(options.family === undefined ? [] : [options.family.split(",")[0]])].join("-");

async function pretrained() {
  for (const seed of seeds) {
    const cohort = join(folder, pretrainingOf(seed));
    if (existsSync(join(cohort, "results", "results.json"))) continue;
    await writePhantomCohort(cohort, { cases: 12, seed: 100 + seed, voxels: [48, 48, 24] });
    await runStudy({
      ...{ name: "pretraining", seed, tasks: [] },
      cohort: { manifest: join(cohort, "manifest.csv"), voxels },
      split: { train: 10, validation: 1, test: 1 },
      models: Object.entries(families)
        .filter(([name]) => options.family === undefined || options.family.startsWith(name))
        .map(([name, model]) => ({ name, ...model })),
      execution: { jobs: 2, threads: 1, output: join(cohort, "results"), cache: join(cohort, "cache") },
    });
  }
}

/** A family's encoders with the record of their pretraining, or without but with the study's own words. */
function ofFamily(name, { stated }) {
  const { encoder } = families[name];
  const shows = name === "dino-vit" ? ["t2w"] : images;
  const fileOf = (draw) =>
    join(
      folder,
      pretrainingOf(seeds[draw.integer(0, 1)]),
      "results",
      "cells",
      `${name}--pretraining`,
      "encoder.safetensors",
    );
  const look = async ({ draw, cases, grid = voxels, expects, fresh = 0, spoilt = false }) => {
    const network = keep(await Network.create({ encoder, seed: draw.integer(1, 1e6) }));
    const other = keep(await Network.create({ encoder, seed: draw.integer(1, 1e6) }));
    const path = join(folder, `planted-${name}-${process.pid}.safetensors`);
    const file = await readSafetensors(fileOf(draw));
    const tensors = {};
    const untrained = await other.state();
    const from = draw.integer(0, Math.floor(file.names.length * (1 - fresh)));
    for (const [index, key] of file.names.entries()) {
      const isFresh = index >= from && index < from + Math.ceil(fresh * file.names.length);
      const own = untrained[key] ?? untrained[key.replace(/^encoder\./, "")];
      tensors[key] = isFresh && own ? own.share() : await file.tensor(key);
    }
    await writeSafetensors(path, tensors, stated ? {} : file.metadata);
    for (const tensor of [...Object.values(tensors), ...Object.values(untrained)]) tensor.dispose();
    let report;
    try {
      report = await loadEncoder(network, path, { fresh: true });
    } catch (error) {
      if (error.code !== "BAD_CHECKPOINT") throw error;
      return [{ check: "weights", verdict: "flagged", words: error.message }];
    }
    if (spoilt) await spoil(network, draw);
    const said = stated
      ? { intensities: { kind: "range", low: 0, high: 1 }, channels: shows, axes: "SPL", voxels }
      : undefined;
    return measureFidelity({
      ...{ network, report, cases, images, voxels: grid },
      expects: stated ? { ...said, ...expects } : undefined,
    });
  };
  return { look, stated, shows, hasPositions: name === "dino-vit" };
}

/** TorchScript encoders of a family, with the study's words, or with nothing but their batch norm. */
function ofModules(name, { stated }) {
  const look = async ({ draw, cases, grid = voxels, expects, fresh = 0, spoilt = false }) => {
    const seed = seeds[draw.integer(0, 1)];
    const file = join(folder, `${name}-${seed}${fresh > 0 ? "-untrained" : ""}.pt`);
    const sha256 = createHash("sha256").update(readFileSync(file)).digest("hex");
    const encoder = {
      family: "torchscript",
      file,
      sha256,
      trust: true,
      channels: 3,
      input: "volume",
      features: 32,
      stages: [{ channels: 32, stride: 8 }],
    };
    const network = keep(await Network.create({ encoder }));
    if (spoilt) await spoil(network, draw);
    const said = { intensities: { kind: "range", low: 0, high: 1 }, channels: images, axes: "SPL", voxels };
    return measureFidelity({
      ...{ network, report: null, cases, images, voxels: grid },
      expects: stated ? { ...said, ...expects } : undefined,
    });
  };
  return { look, stated, shows: images, hasPositions: name === "patches", stem: !stated };
}

/** What is planted, by kind; null where there is nothing to plant. */
const kinds = {
  sound: () => async (subject, draw) => {
    const [gain, offset] = [0.85 + 0.3 * draw.uniform(), 0.1 * draw.uniform() - 0.05];
    const cases = (await drawCases(draw)).map((one) =>
      changed(one, { intensities: (value) => gain * value + offset }),
    );
    return subject.look({ draw, cases });
  },
  weights: () => async (subject, draw) =>
    subject.look({ draw, cases: await drawCases(draw), fresh: draw.integer(0, 1) === 0 ? 1 : 0.5 }),
  features: () => async (subject, draw) => subject.look({ draw, cases: await drawCases(draw), spoilt: true }),
  intensities: (subject) => async (_, draw) => {
    const scales = subject.stated || subject.stem ? wrongScales : [...wrongScales, inverted];
    const intensities = scales[draw.integer(0, scales.length - 1)];
    const cases = (await drawCases(draw)).map((one) => changed(one, { intensities }));
    return subject.look({ draw, cases });
  },
  channels: (subject) =>
    subject.stated && subject.shows.length < 2
      ? null
      : async (_, draw) => {
          const order = otherOrders[draw.integer(0, 4)];
          const cases = await drawCases(draw);
          if (subject.stated)
            return subject.look({ draw, cases, expects: { channels: order.map((c) => images[c]) } });
          const column = (name) => images[order[images.indexOf(name)]];
          return subject.look({ draw, cases: cases.map((one) => changed(one, { column })) });
        },
  axes: (subject) => async (_, draw) => {
    const cases = await drawCases(draw);
    if (subject.stated)
      return subject.look({
        draw,
        cases,
        expects: { axes: otherAxes[draw.integer(0, otherAxes.length - 1)] },
      });
    const orders = otherTurns.filter(({ order }) => order.join() !== "0,1,2");
    const some = subject.stem ? orders : otherTurns;
    const turn = some[draw.integer(0, some.length - 1)];
    return subject.look({ draw, cases: cases.map((one) => changed(one, { turn })) });
  },
  positions: (subject) =>
    !subject.hasPositions || subject.stem
      ? null
      : async (_, draw) => {
          const grid = otherGrids[draw.integer(0, otherGrids.length - 1)];
          return subject.look({ draw, cases: await drawCases(draw, grid), grid });
        },
};

async function modules() {
  if (options.python === undefined) return;
  const made = join(folder, "patches-2.pt");
  if (existsSync(made)) return;
  const cases = (await Promise.all([101, 102].map((seed) => casesOf(seed, 12)))).flat();
  const volumes = [];
  for (const one of cases)
    for (const image of images) {
      const volume = await one.load(image);
      volumes.push(Buffer.from(Float32Array.from(await volume.toArray()).buffer));
      volume.dispose();
    }
  writeFileSync(join(folder, "volumes.bin"), Buffer.concat(volumes));
  const script = fileURLToPath(new URL("fidelity-modules.py", import.meta.url));
  const [height, width, depth] = voxels;
  execFileSync(options.python, [script, folder, cases.length, 3, depth, height, width].map(String), {
    stdio: "inherit",
  });
}

mkdirSync(folder, { recursive: true });
await pretrained();
await modules();
const subjects = {
  ...Object.fromEntries(Object.keys(families).map((name) => [name, ofFamily(name, { stated: false })])),
  ...Object.fromEntries(
    Object.keys(families).map((name) => [`${name}, stated`, ofFamily(name, { stated: true })]),
  ),
  ...(options.python === undefined
    ? {}
    : {
        "torchscript with batch norm, stated": ofModules("convolutions", { stated: true }),
        "torchscript with positions, stated": ofModules("patches", { stated: true }),
        "torchscript by its batch norm": ofModules("convolutions", { stated: false }),
      }),
};
for (const [name, subject] of Object.entries(subjects)) {
  if (options.family !== undefined && !name.startsWith(options.family)) continue;
  const row = [];
  for (const [kind, plant] of Object.entries(kinds)) {
    const planted = plant(subject);
    if (planted === null) {
      row.push(`${kind} –`);
      continue;
    }
    let [found, silent] = [0, 0];
    const others = {};
    for (let time = 0; time < times; time++) {
      const draw = randomStream(1, "fidelity table", name, kind, time);
      const checks = await planted(subject, draw);
      for (const network of made.splice(0)) network.dispose();
      const flags = checks.filter(({ verdict }) => verdict === "flagged").map(({ check }) => check);
      const hit = kind === "sound" ? flags.length > 0 : flags.includes(kind);
      const isSilent =
        kind !== "sound" && checks.some(({ check, verdict }) => check === kind && verdict === "sound");
      if (hit) found++;
      if (isSilent) silent++;
      if (hit !== (kind !== "sound") && Object.keys(others).length < 3)
        others[time] = checks
          .filter(({ check, verdict }) => check === kind || verdict === "flagged")
          .map(({ check, verdict, words }) => `${check} ${verdict}: ${words}`);
    }
    row.push(`${kind} ${found}/${times}${silent > 0 ? ` (${silent} called sound)` : ""}`);
    if (Object.keys(others).length > 0) console.error(name, kind, JSON.stringify(others, null, 1));
  }
  console.log(`${name}: ${row.join(", ")}`);
}
