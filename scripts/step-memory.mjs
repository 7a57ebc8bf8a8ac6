// What memory a training step takes, and how long: a head on an encoder, on random volumes. One setting a process, as
// the kernel tells a process's largest size only.
//
//   node scripts/step-memory.mjs [--encoder profound-tiny] [--head upernet|conv1] [--batch 2] [--size 64,96,96]
//                                [--precision bfloat16] [--checkpointing] [--micro-batch 1] [--threads 2]
//                                [--device cpu] [--steps 4]
import { parseArgs } from "node:util";
import { Network, Tensor } from "../dist/index.js";
import { peakMemory, setThreads } from "../dist/native/runtime.js";
import { Trainer } from "../dist/native/trainer.js";

const { values } = parseArgs({
  options: {
    encoder: { type: "string", default: "profound-tiny" },
    head: { type: "string", default: "upernet" },
    batch: { type: "string", default: "2" },
    size: { type: "string", default: "64,96,96" },
    precision: { type: "string", default: "float32" },
    checkpointing: { type: "boolean", default: false },
    "micro-batch": { type: "string" },
    threads: { type: "string", default: "2" },
    device: { type: "string", default: "cpu" },
    steps: { type: "string", default: "4" },
  },
});
const { device, encoder, precision, checkpointing } = values;
setThreads(Number(values.threads));
const size = values.size.split(",").map(Number);
const batch = Number(values.batch);
const heads = { upernet: { kind: "upernet", outputs: 1, hidden: 128 }, conv1: { kind: "conv1", outputs: 1 } };
const head = heads[values.head];
if (!head)
  throw new Error(`Expected one of ${Object.keys(heads).join(", ")} for --head but received ${values.head}`);
const network = await Network.create({ encoder, device, head });
const draw = (channels) => Tensor.normal([batch, channels, ...size], channels, device);
const [input, target] = [await draw(network.spec.encoder.channels), await draw(1)];
const trainer = await Trainer.create(network, {
  loss: { kind: "l1" },
  precision,
  checkpointing,
  ...(values["micro-batch"] === undefined ? {} : { microBatch: Number(values["micro-batch"]) }),
});
const before = peakMemory(device);
const seconds = [];
for (let seed = 0; seed < Number(values.steps); seed++) {
  const started = performance.now();
  await trainer.step(input, target, { learningRate: 1e-4, seed });
  seconds.push((performance.now() - started) / 1000);
}
const gigabytes = (bytes) => (bytes / 1e9).toFixed(2);
console.log(
  `${precision}${checkpointing ? ", checkpointing" : ""}, ${values["micro-batch"] ?? batch} of ${batch} at once: ` +
    `${gigabytes(peakMemory(device) - before)} GB beyond ${gigabytes(before)} GB, ` +
    `${Math.min(...seconds.slice(1)).toFixed(2)} s a step`,
);
