/**
 * Runs a whole study from Node: a cohort of phantoms, a small encoder that is pretrained on it, and super-resolution
 * with every comparator. About a minute on two cores.
 *
 *   node examples/run-study.mjs [folder]
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { runStudy, writePhantomCohort } from "transfer-limits";

const folder = process.argv[2] ?? "example-study";
const manifest = join(folder, "cohort", "manifest.csv");
if (!existsSync(manifest))
  await writePhantomCohort(join(folder, "cohort"), { cases: 10, seed: 1, voxels: [32, 32, 16] });

// The same keys as in a study file; what is left out has the paper's value.
const study = {
  name: "example",
  cohort: { manifest, voxels: [32, 32, 16] },
  split: { train: 6, validation: 1, test: 3 },
  models: [
    {
      name: "profound",
      encoder: "profound-demo",
      pretrain: { epochs: 10, batchSize: 2, learningRate: 1e-3, decoderDim: 64 },
      subpixel: { featureSize: 8 },
    },
  ],
  tasks: ["super-resolution"],
  specialised: { "super-resolution": "unet-3d-demo" },
  training: { epochs: 10, batchSize: 2, learningRate: 1e-3 },
  execution: { jobs: 2, output: join(folder, "results") },
};

// Ctrl-C stops the study; running the script again goes on where it stood.
const controller = new AbortController();
process.once("SIGINT", () => controller.abort());

const { cells, gains, distances } = await runStudy(study, {
  signal: controller.signal,
  onProgress: (event) => {
    if (event.kind === "epoch")
      console.error(`${event.cell.id}: epoch ${event.epoch}, loss ${event.loss.toFixed(4)}`);
    if (event.kind === "cell-failed") console.error(`${event.cell.id} failed: ${event.reason}`);
  },
});

for (const { comparator, result } of cells) {
  if (result) console.log(`${comparator}: ${result.metric.name} ${result.metric.mean.toFixed(3)}`);
}
for (const { reference, percent } of gains) {
  if (percent !== null) console.log(`gain over ${reference}: ${percent.toFixed(1)} %`);
}
for (const { name, paper, medianHeuristic } of distances) {
  console.log(
    `${name}: ${paper.biased.toFixed(4)}, at the median distance ${medianHeuristic.biased.toFixed(4)}`,
  );
}
