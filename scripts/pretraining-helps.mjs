/**
 * Does pretraining help where cases are few? On phantoms: an encoder is pretrained as a masked autoencoder on one cohort
 * and fine-tuned on a few cases of another, on all five tasks over several seeds; beside it the same network from random
 * weights, trained in the same way on the same cases. Prints both with their spread over seeds, whichever way it goes,
 * and writes the same as JSON. About half an hour on two idle cores; started again, it goes on.
 *
 *   node scripts/pretraining-helps.mjs [--out folder] [--jobs 2] [--smoke]
 */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { runStudy, writePhantomCohort } from "../dist/index.js";

const { values: options } = parseArgs({
  options: {
    out: { type: "string", default: "pretraining-helps" },
    jobs: { type: "string", default: "2" },
    /** Much too small to say anything: whether the script runs. */
    smoke: { type: "boolean", default: false },
  },
});
const folder = resolve(options.out);

const size = options.smoke
  ? { pretraining: 4, cases: 12, split: { train: 3, validation: 3, test: 6 }, seeds: [1, 2], epochs: () => 1 }
  : {
      pretraining: 60,
      cases: 32,
      split: { train: 8, validation: 4, test: 20 },
      seeds: [1, 2, 3],
      epochs: (many) => many,
    };

const phantoms = async (name, cases, seed) => {
  const manifest = join(folder, name, "manifest.csv");
  if (!existsSync(manifest))
    await writePhantomCohort(join(folder, name), { cases, seed, prefix: name, voxels: [64, 64, 24] });
  return manifest;
};
const manifest = await phantoms("case", size.cases, 1);
const pretraining = await phantoms("pretraining", size.pretraining, 1_000_001);

const task = (kind, epochs, more = {}) => ({
  kind,
  ...more,
  training: { epochs: size.epochs(epochs), learningRate: 2e-3, batchSize: 2, validateEvery: 10 },
});
const study = {
  name: "pretraining-helps",
  seeds: size.seeds,
  cohort: { manifest, voxels: [48, 48, 16], crop: { around: "gland", fieldOfView: [64, 64, 60] } },
  split: size.split,
  models: [
    {
      name: "profound",
      encoder: "profound-demo",
      pretrain: {
        manifest: pretraining,
        epochs: size.epochs(100),
        warmupEpochs: options.smoke ? 0 : 5,
        batchSize: 4,
        learningRate: 2e-3,
        decoderDim: 64,
      },
      finetune: "full",
      // UperNet answers at a quarter of 48 x 48 x 16 voxels, on which a lesion is a voxel or two wide.
      decoder: { kind: "unetr", featureSize: 8 },
      subpixel: { featureSize: 8 },
      classifier: { bottleneck: 32 },
    },
  ],
  tasks: [
    task("pirads-classification", 60),
    task("lesion-segmentation", 60),
    task("super-resolution", 20),
    task("distortion-correction", 60, { maximumDisplacement: 4 }),
    // A few hundred steps are too few to tell noise: the image is predicted, mostly at late times, which decide it.
    task("modality-translation", 40, { prediction: "image", noiseSchedule: "linear", samplingSteps: 5 }),
  ],
  comparators: ["fine-tuned", "from-scratch"],
  execution: { jobs: Number(options.jobs), threads: 1, output: join(folder, "results") },
};

const results = await runStudy(study, {
  onProgress: (event) => {
    if (event.kind === "cell-done") console.error(`${event.cell.id}: ${event.seconds.toFixed(0)} s`);
    if (event.kind === "cell-failed") console.error(`${event.cell.id} failed: ${event.reason}`);
    if (event.kind === "study") console.error(`  ${event.done} of ${event.total} cells`);
  },
});

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const deviation = (values) =>
  values.length < 2
    ? null
    : Math.sqrt(values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1));

const curve = (results.pretraining[0]?.curve ?? []).map(({ trainingLoss }) => trainingLoss);
/** The mean loss of each run of ten epochs: single epochs mask anew and go up and down. */
const decades = [];
for (let start = 0; start + 10 <= curve.length; start += 10)
  decades.push(mean(curve.slice(start, start + 10)));
const loss = {
  first: curve[0] ?? null,
  last: curve.at(-1) ?? null,
  meanOfEachTenEpochs: decades,
  fallsSteadily: decades.length > 1 && decades.every((value, at) => at === 0 || value < decades[at - 1]),
};

const rows = study.tasks.map(({ kind }) => {
  const of = (comparator) =>
    size.seeds.map((seed) => {
      const cell = results.cells.find(
        (one) => one.task === kind && one.comparator === comparator && one.seed === seed,
      );
      return cell?.result?.metric ?? null;
    });
  const [pretrained, random] = [of("fine-tuned"), of("from-scratch")];
  const pairs = size.seeds.flatMap((seed, index) =>
    pretrained[index] && random[index]
      ? [{ seed, pretrained: pretrained[index].mean, random: random[index].mean }]
      : [],
  );
  const summary = (name) => {
    const values = pairs.map((pair) => pair[name]);
    return values.length === 0 ? null : { mean: mean(values), standardDeviation: deviation(values) };
  };
  const differences = pairs.map((pair) => pair.pretrained - pair.random);
  return {
    task: kind,
    metric: pretrained.find(Boolean)?.name ?? null,
    pairs,
    pretrained: summary("pretrained"),
    random: summary("random"),
    difference:
      differences.length === 0
        ? null
        : { mean: mean(differences), standardDeviation: deviation(differences) },
    betterSeeds: differences.filter((difference) => difference > 0).length,
    failed: size.seeds.length - pairs.length,
  };
});
const better = rows.filter(({ difference }) => difference !== null && difference.mean > 0).length;
const report = {
  complete: results.complete,
  smoke: options.smoke,
  split: size.split,
  seeds: size.seeds,
  pretrainingPatients: results.pretraining[0]?.patients ?? null,
  loss,
  tasks: rows,
  betterOn: better,
};
const path = join(folder, "pretraining-helps.json");
await writeFile(path, `${JSON.stringify(report, null, 2)}\n`);

const spread = (value) =>
  value === null
    ? "–"
    : `${value.mean.toFixed(4)} ± ${value.standardDeviation === null ? "–" : value.standardDeviation.toFixed(4)}`;
const lines = [
  ["task", "metric", "pretrained", "random weights", "difference", "better seeds"],
  ...rows.map((row) => [
    row.task,
    row.metric ?? "–",
    spread(row.pretrained),
    spread(row.random),
    spread(row.difference),
    `${row.betterSeeds} of ${row.pairs.length}${row.failed > 0 ? `, ${row.failed} failed` : ""}`,
  ]),
];
const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
for (const line of lines)
  console.log(
    line
      .map((cell, column) => cell.padEnd(widths[column]))
      .join("  ")
      .trimEnd(),
  );
console.log(`\nMean over ${size.seeds.length} seeds ± standard deviation over them.`);
console.log(
  `Loss of the pretraining: ${loss.first?.toFixed(3)} to ${loss.last?.toFixed(3)} over ${curve.length} epochs; mean of ` +
    `each ten epochs ${loss.fallsSteadily ? "falls every time" : "does not fall every time"}.`,
);
console.log(`Pretrained is better in the mean on ${better} of ${rows.length} tasks. ${path}`);
if (options.smoke) console.log("This was a smoke run: the numbers say nothing.");
if (!results.complete) process.exitCode = 1;
