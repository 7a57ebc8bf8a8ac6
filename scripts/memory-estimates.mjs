// Compares what cells are estimated to take with what they take on the CPU: a training step of every network of the paper's
// study, where something is trained, and then the answer to a test case with the features along the encoder (of sampling,
// one of its questions), on random volumes at half of its size, 100 x 100 x 48, or another. A process a network, one after
// the other, as the kernel tells a process's largest size only.
//
//   node scripts/memory-estimates.mjs [--scale 0.5] [--threads 1] [--only part-of-an-id] [--json]
//
// Ends with status 1 where a peak is more than 1.2 times its estimate, or less than half of it.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Network, Tensor } from "../dist/index.js";
import { headParameters, lastBlocksAndNorms } from "../dist/models/parameters.js";
import { peakMemory, setThreads } from "../dist/native/runtime.js";
import { Trainer } from "../dist/native/trainer.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { planStudy } from "../dist/study/plan/plan.js";
import { taskOf } from "../dist/tasks/index.js";

const { values } = parseArgs({
  options: {
    scale: { type: "string", default: "0.5" },
    threads: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    cell: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const { study } = resolveStudy(
  {
    preset: "paper",
    manifests: { promis: "promis.csv", fewShot: null },
    cohort: { voxels: [200, 200, 96].map((size) => Math.round(size * Number(values.scale))) },
  },
  "/nowhere",
);
const cells = planStudy(study).cells.filter(({ network }) => network !== null);

/** One step as the cell would take it, and a test case: the process's peak is what counts. */
async function work(cell) {
  const task =
    cell.task === null
      ? null
      : taskOf(
          study.tasks.find(({ kind }) => kind === cell.task),
          cell.strategy,
        );
  const [height, width, depth] = study.cohort.voxels;
  const size = [depth / (task?.shape.depthScale ?? 1), height, width];
  const { batchSize } = cell.training ?? study.models.find(({ name }) => name === cell.model).pretrain;
  const network = await Network.build(cell.network, {});
  const channels = "model" in cell.network ? cell.network.model.channels : cell.network.encoder.channels;
  const input = await Tensor.normal([batchSize, channels, ...size], 1);
  // The optimiser stays while cases are validated.
  const _trainer = cell.trains === "nothing" ? null : await takeStep(cell, task, network, input);
  if (task === null) return; // pretraining tests nothing
  const one = await Tensor.normal([1, channels, ...size], 3);
  // Sampling asks the network by itself, beside the features of what is shown.
  if ("model" in network.spec || task.answer) (await network.forward(one)).dispose();
  if ("model" in network.spec) return;
  const features = await network.embedAlong(one);
  if (!task.answer) await network.decode(features, one);
}

async function takeStep(cell, task, network, input) {
  const [batchSize, , ...size] = input.shape;
  const [, height, width] = size;
  const head = headParameters(network);
  const trainable = {
    everything: {},
    partial: { trainable: [...head, ...lastBlocksAndNorms(network, cell.trainedBlocks)] },
    head: { trainable: head },
  }[cell.trains];
  const classes = task?.shape.answers === "classes";
  const [loss, target] =
    task === null
      ? pretraining(cell, batchSize, size)
      : classes
        ? [{ kind: "cross-entropy" }, Tensor.from(new BigInt64Array(batchSize), [batchSize])]
        : [
            task.loss([]),
            await Tensor.normal([batchSize, 1, size[0] * task.shape.depthScale, height, width], 2),
          ];
  const trainer = await Trainer.create(network, { loss, ...trainable });
  await trainer.step(input, target, { learningRate: 1e-4, seed: 1 });
  return trainer;
}

function pretraining(cell, batch, [depth, height, width]) {
  if ("masked-autoencoder" === cell.network.head.kind) {
    const patches = Math.ceil(depth / 16) * Math.ceil(height / 16) * Math.ceil(width / 16);
    const mask = Uint8Array.from({ length: batch * patches }, (_, index) => Number(index % 5 < 3));
    return [{ kind: "masked-autoencoder" }, Tensor.from(mask, [batch, patches])];
  }
  const count = batch * depth * height * width;
  const lesion = Uint8Array.from({ length: count }, (_, index) => Number(index < count / 2));
  return [{ kind: "patch-contrast" }, Tensor.from(lesion, [batch, 1, depth, height, width])];
}

if (values.cell !== undefined) {
  setThreads(Number(values.threads));
  await work(cells.find(({ id }) => id === values.cell));
  console.log(peakMemory("cpu"));
  process.exit(0);
}

const seen = new Set();
const rows = [];
for (const cell of cells) {
  const key = JSON.stringify([cell.network, cell.trains, cell.task === null]);
  if (seen.has(key) || !cell.id.includes(values.only)) continue;
  seen.add(key);
  const given = ["--cell", cell.id, "--scale", values.scale, "--threads", values.threads];
  let peak = Number.NaN;
  let fault = "";
  try {
    const options = { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] };
    peak = Number(execFileSync(process.execPath, [fileURLToPath(import.meta.url), ...given], options).trim());
  } catch (error) {
    fault = String(error.stderr ?? error)
      .trim()
      .split("\n")
      .slice(-12)
      .join(" ");
  }
  const ratio = peak / cell.memoryBytes;
  rows.push({ cell: cell.id, trains: cell.trains, peak, estimate: cell.memoryBytes, ratio });
  if (values.json) continue;
  const gigabytes = (bytes) => (bytes / 1e9).toFixed(2);
  const verdict = ratio <= 1.2 && ratio >= 0.5 ? "" : fault || "  <-- not within -50 % and +20 %";
  console.log(
    `${cell.id} (${cell.trains}): ${gigabytes(peak)} GB of an estimated ${gigabytes(cell.memoryBytes)} GB, ${ratio.toFixed(2)}${verdict}`,
  );
}
if (values.json) console.log(JSON.stringify(rows, null, 2));
process.exitCode = rows.every(({ ratio }) => ratio <= 1.2 && ratio >= 0.5) ? 0 : 1;
