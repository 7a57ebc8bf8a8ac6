// One network of the paper's study: `time-network.mjs INDEX DEVICE whole|small`. Prints a JSON document for a forward pass,
// and for a training step, plain and by a CUDA graph: milliseconds of the first one, of one among many (`steady`), of
// the device's own clock for one of these (`device`), and until the host has given a whole one to an idle device (`host`);
// the most memory in bytes.

import { patchGrid } from "../../dist/models/pretraining/masked-autoencoder.js";
import { deviceSeconds, peakMemory, setDeterministic, setThreads } from "../../dist/native/runtime.js";
import { forwardCost } from "../../dist/study/plan/estimate.js";
import { paperNetworks } from "./networks.mjs";
import { Network, Tensor, Trainer } from "./surface.mjs";

const [index, device, size] = process.argv.slice(2);
const small = size === "small";
const { network: spec, size: extent, memoryBytes } = paperNetworks(small)[Number(index)];
// Batch norm wants two samples where so few voxels are left.
const batch = small && "model" in spec ? 2 : 1;
/** Enough to fill the device's queue, and to be played from a recorded graph. */
const [least, most, enoughSeconds] = small ? [2, 2, 1] : [6, 60, 1.5];
if (device === "cpu") setThreads(1);
// As a study does.
if (device !== "cpu") setDeterministic(true);

const network = await Network.build(spec, { device, seed: 1 });
network.precision = "bfloat16";
const channels = "model" in spec ? spec.model.channels : spec.encoder.channels;
const input = await Tensor.normal([batch, channels, ...extent], 1, device);
const head = "encoder" in spec ? spec.head?.kind : null;
/** What pretraining learns by has nothing to say but in training. */
const pretraining = head === "contrastive" || head === "masked-autoencoder";

// First what takes the least memory: the most so far is what is told.
report({ pass: "forward pass", graphs: false }, await timed(forward, 2), 1);

const { target, loss } = await task();
let seed = 0;
for (const cudaGraphs of device === "cpu" ? [false] : [false, true]) {
  try {
    const trainer = await Trainer.create(network, {
      loss,
      gradientClip: 1,
      precision: "bfloat16",
      cudaGraphs,
    });
    const step = () => trainer.enqueue(input, target, { learningRate: 1e-5, seed: seed++ });
    report({ pass: "training step", graphs: cudaGraphs }, await timed(step, cudaGraphs ? 5 : 2), 3);
    trainer.dispose();
  } catch (error) {
    say({ pass: "training step", graphs: cudaGraphs, failed: String(error.message) });
  }
}

/** One pass without gradients; under a head of pretraining, the encoder's. */
async function forward() {
  if (!pretraining) return network.forward(input);
  const features = await network.embed(input);
  for (const stage of features.stages) stage.dispose();
  return features.pooled;
}

/** What the network learns here: what its head answers decides. */
async function task() {
  const voxels = extent.reduce((product, side) => product * side, 1);
  if (head === "contrastive") {
    const mask = new Uint8Array(batch * voxels);
    mask.fill(1, 0, voxels / 3);
    const patches = { lesionShare: 0.1, patches: 1024 };
    return {
      loss: { kind: "patch-contrast", ...patches },
      target: Tensor.from(mask, [batch, 1, ...extent], device),
    };
  }
  if (head === "masked-autoencoder") {
    const patches = patchGrid(extent, spec.head.patch ?? 16).reduce((product, count) => product * count, 1);
    const mask = Uint8Array.from({ length: batch * patches }, (_, patch) => (patch % 5 < 3 ? 1 : 0));
    return {
      loss: { kind: "masked-autoencoder" },
      target: Tensor.from(mask, [batch, patches], device),
    };
  }
  const answer = await network.forward(input);
  answer.dispose();
  if (answer.shape.length === 2)
    return {
      loss: { kind: "cross-entropy" },
      target: Tensor.from(new BigInt64Array(batch), [batch], device),
    };
  return {
    loss: { kind: "l1" },
    target: await Tensor.normal([...answer.shape], 2, device),
  };
}

/** Times `work`, whose answer lies on the device: reading it waits for the device. The first few are not counted. */
async function timed(work, notCounted) {
  const since = (start) => performance.now() - start;
  let start = performance.now();
  await read(await work());
  const first = since(start);
  for (let again = 1; again < notCounted; again++) await read(await work());
  const hosts = [];
  for (let again = 0; again < 3; again++) {
    start = performance.now();
    const answer = await work();
    hosts.push(since(start));
    await read(answer);
  }
  const before = await deviceSeconds(device);
  start = performance.now();
  let count = 0;
  let last = null;
  while (count < least || (count < most && since(start) < 1000 * enoughSeconds)) {
    last?.dispose();
    last = await work();
    count++;
  }
  await read(last);
  const steady = since(start) / count;
  const onDevice = (1000 * ((await deviceSeconds(device)) - before)) / count;
  return { first, steady, device: onDevice, host: hosts.sort((a, b) => a - b)[1] };
}

async function read(answer) {
  await answer.toArray();
  answer.dispose();
}

function report(pass, times, passes) {
  const [depth, height, width] = extent;
  const multiplications = passes * batch * forwardCost(spec, [height, width, depth]);
  const memory = { peakBytes: peakMemory(device), estimatedBytes: memoryBytes };
  say({ ...pass, ...times, operations: 2 * multiplications, ...memory });
}

function say(document) {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}
