/**
 * Takes steps of training as one process or as one of several. As a program, a rank: it is told by whom it trains with and
 * what, and answers what came out.
 */
import { createHash } from "node:crypto";
import { randomStream } from "../dist/common/random.js";
import { headParameters, lastBlocksAndNorms } from "../dist/models/weights.js";
import { Network } from "../dist/native/network.js";
import { Ranks } from "../dist/native/ranks.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";

const count = (shape) => shape.reduce((product, size) => product * size, 1);

const drawn = new Map();

/** Numbers from -1 to 1 by name: drawn once, and sorts of networks share the images of a shape. */
function fill(shape, ...name) {
  const key = JSON.stringify([shape, name]);
  let values = drawn.get(key);
  if (values === undefined) {
    const stream = randomStream(5, ...name);
    values = Float32Array.from({ length: count(shape) }, () => 2 * stream.uniform() - 1);
    drawn.set(key, values);
  }
  return values;
}

/** Of several samples, one behind the other. */
function stacked(shape, samples, name) {
  const values = new Float32Array(samples.length * count(shape));
  for (const [row, one] of samples.entries()) values.set(fill(shape, name, one), row * count(shape));
  return values;
}

/** Weights of which every path matters: fresh networks have layers that start as 0. */
async function livenUp(network) {
  for (const { name, shape, buffer } of network.parameters) {
    if (buffer) continue;
    const scale = shape.length > 1 && !name.includes("grn") ? Math.sqrt(3 / count(shape.slice(1))) : 0.3;
    const offset = /(weight|gamma)$/.test(name) && shape.length === 1 ? 1 : 0;
    const values = Tensor.from(
      fill(shape, name).map((value) => offset + scale * value),
      shape,
    );
    await network.assign({ [name]: values });
    values.dispose();
  }
}

function targetOf({ kind, shape, classes }, samples) {
  const all = [samples.length, ...shape];
  if (kind === "classes")
    return Tensor.from(
      BigInt64Array.from(samples, (one) => BigInt(one % classes)),
      all,
    );
  const values = stacked(shape, samples, "target");
  if (kind === "hidden")
    return Tensor.from(
      Uint8Array.from(values, (value) => Number(value > 0.2)),
      all,
    );
  return Tensor.from(kind === "mask" ? values.map((value) => Number(value > 0.4)) : values, all);
}

/** The steps of a setting: loss and norm of the gradient of each, and the network's state and answer after the last. */
export async function trainedOn(setting, ranks = null, device = "cpu") {
  const { spec, trained, input, target, batches, options, kept, learningRate = 1e-3 } = setting;
  const network = await Network.build(spec, { device, seed: 3 });
  const steps = [];
  const made = [network];
  const held = (one) => {
    made.push(one);
    return one;
  };
  try {
    await livenUp(network);
    const head = headParameters(network);
    const trainable = {
      full: undefined,
      partial: () => [...head, ...lastBlocksAndNorms(network, 1)],
      frozen: () => head,
    }[trained]?.();
    const all = { ...options, ...(trainable ? { trainable } : {}) };
    const trainer = held(await Trainer.createOfRanks(network, all, undefined, ranks));
    let next = 0;
    for (const [index, size] of batches.entries()) {
      const samples = Array.from({ length: size }, () => next++ % 7);
      const { cases, part } = ranks ? ranks.share(samples) : { cases: samples, part: undefined };
      const x = Tensor.from(stacked(input, cases, "input"), [cases.length, ...input]);
      const y = targetOf(target, cases);
      const features = kept ? await network.embed(x) : undefined;
      const how = { learningRate, seed: 100 + index, ...(part ? { part } : {}) };
      steps.push(await trainer.step(x, y, { ...how, ...(features ? { features } : {}) }));
      features?.[Symbol.dispose]();
      x.dispose();
      y.dispose();
    }
    const state = await network.state();
    const values = {};
    for (const [name, tensor] of Object.entries(state)) {
      values[name] = Float64Array.from(await tensor.toArray(), Number);
      tensor.dispose();
    }
    const probe = held(Tensor.from(fill([2, ...input], "probe"), [2, ...input]));
    let answer;
    if (spec.head?.kind === "masked-autoencoder") answer = held(await network.embed(probe)).pooled;
    else answer = held(await network.forward(probe));
    return { steps, values, answer: Float64Array.from(await answer.toArray(), Number) };
  } finally {
    for (const one of made.reverse()) one[Symbol.dispose]();
  }
}

/** Tells whether two ranks hold the same to the bit. */
export function checksumOf({ values }) {
  const hash = createHash("sha256");
  for (const name of Object.keys(values).sort())
    hash.update(name).update(new Uint8Array(values[name].buffer));
  return hash.digest("hex");
}

if (process.argv[2] === "rank") {
  setThreads(1);
  process.once("message", async ({ join, settings, device }) => {
    try {
      const ranks = await Ranks.join(join);
      for (const setting of settings) {
        const result = await trainedOn(setting, ranks, device);
        const checksum = checksumOf(result);
        await new Promise((sent) =>
          process.send(join.rank === 0 ? { result, checksum } : { checksum }, sent),
        );
      }
      await ranks.meet("cpu");
    } catch (error) {
      process.send({ error: `${error.code}: ${error.message}` });
    }
    process.disconnect();
  });
}
