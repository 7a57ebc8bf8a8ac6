/**
 * Takes steps of training as one process or as one of several. As a program, a rank: it is told by whom it trains with and
 * what, and answers what came out.
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { randomStream } from "../../dist/common/random.js";
import { headParameters, lastBlocksAndNorms } from "../../dist/models/parameters.js";
import { PlacedNetwork } from "../../dist/native/placed-network.js";
import { Ranks } from "../../dist/native/ranks.js";
import { setDeterministic, setThreads } from "../../dist/native/runtime.js";
import { Tensor } from "../../dist/native/tensor.js";
import { Trainer } from "../../dist/native/trainer.js";

/** Values as a network of that type takes them. */
const real = (dtype, values, shape) =>
  Tensor.from(dtype === "float64" ? Float64Array.from(values) : values, shape);

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
function stacked(shape, samples, of) {
  const values = new Float32Array(samples.length * count(shape));
  for (const [row, one] of samples.entries()) values.set(of(shape, one), row * count(shape));
  return values;
}

/**
 * Images differ in brightness and contrast: a batch norm behind pooling divides by how much a batch's features scatter, which of
 * mere noise is next to nothing, and enlarges rounding as much as them.
 */
const image = (shape, one) =>
  fill(shape, "input", one).map((value) => (0.5 + one / 7) * value + (one - 3) / 4);

/** Weights of which every path matters: fresh networks have layers that start as 0. */
async function livenUp(network, dtype) {
  for (const { name, shape, buffer } of network.parameters) {
    if (buffer) continue;
    const scale = shape.length > 1 && !name.includes("grn") ? Math.sqrt(3 / count(shape.slice(1))) : 0.3;
    const offset = /(weight|gamma)$/.test(name) && shape.length === 1 ? 1 : 0;
    const drawn = fill(shape, name).map((value) => offset + scale * value);
    const values = real(dtype, drawn, shape);
    await network.assign({ [name]: values });
    values.dispose();
  }
}

/** A square of a slice's quarter, where a sample has a lesion. */
const lesion = ([depth, height, width], one) =>
  Float32Array.from({ length: depth * height * width }, (_, voxel) => {
    const [row, column] = [Math.floor(voxel / width) % height, voxel % width];
    return Number(row < height / 2 && column < width / 2 === (one % 2 === 0));
  });

function targetOf({ kind, shape, classes }, samples, dtype) {
  const all = [samples.length, ...shape];
  if (kind === "classes")
    return Tensor.from(
      BigInt64Array.from(samples, (one) => BigInt(one % classes)),
      all,
    );
  if (kind === "lesion")
    return real(
      dtype,
      stacked(shape, samples, (shape, one) => lesion(shape.slice(1), one)),
      all,
    );
  const values = stacked(shape, samples, (shape, one) => fill(shape, "target", one));
  if (kind === "hidden")
    return Tensor.from(
      Uint8Array.from(values, (value) => Number(value > -0.2)),
      all,
    );
  return real(dtype, kind === "mask" ? values.map((value) => Number(value > 0.4)) : values, all);
}

/** Two global and three local views of a slice of each sample, ordered view by view. */
function viewsOf(channels, samples, dtype) {
  const of = (views, size, make) => {
    const all = Array.from({ length: views }, (_, view) => samples.map((one) => one + view / 8)).flat();
    return real(dtype, stacked(size, all, make), [all.length, ...size]);
  };
  const position = ([coordinates], one) => fill([coordinates], "position", one).map((value) => 3 + value);
  const views = {
    global: of(2, [channels, 16, 16], image),
    lesion: of(2, [1, 16, 16], (shape, one) => lesion(shape, Math.floor(one))),
    local: of(3, [channels, 8, 8], image),
    globalPosition: of(2, [2], position),
    localPosition: of(3, [2], position),
  };
  const dispose = () => {
    for (const tensor of Object.values(views)) tensor.dispose();
  };
  return { slices: samples.length, ...views, [Symbol.dispose]: dispose };
}

/** A step on these samples. */
async function stepOn(trainer, network, { input, target, kept, dtype }, samples, how) {
  const made = [];
  const held = (one) => {
    made.push(one);
    return one;
  };
  try {
    if (target.kind === "views") {
      const views = held(viewsOf(input[0], samples, dtype));
      return await trainer.distil(views, { ...how, momentum: 0.9, teacherTemperature: 0.1 });
    }
    const x = held(real(dtype, stacked(input, samples, image), [samples.length, ...input]));
    const y = held(targetOf(target, samples, dtype));
    return await trainer.step(x, y, { ...how, ...(kept ? { features: held(await network.embed(x)) } : {}) });
  } finally {
    for (const one of made) one[Symbol.dispose]();
  }
}

/** Images of which the answers are compared: several, as the answer to one of them may be next to nothing. */
const probed = [0.5, 1.5, 2.5, 3.5, 4.5];

/** The samples of a step: seven in turn. */
const samplesFrom = (first, size) => Array.from({ length: size }, (_, index) => (first + index) % 7);

/** The steps of a setting: loss and norm of the gradient of each, and the network's state and answer after the last. */
export async function trainedOn(setting, ranks = null, device = "cpu") {
  const { spec, trained, input, target, batches, options, dtype, learningRate = 1e-3 } = setting;
  if (device !== "cpu") setDeterministic(true);
  const network = await PlacedNetwork.build(spec, { device, seed: 3, dtype });
  const steps = [];
  const made = [network];
  const held = (one) => {
    made.push(one);
    return one;
  };
  const teacher =
    target.kind === "views" ? held(await PlacedNetwork.build(spec, { device, seed: 3, dtype })) : undefined;
  try {
    await livenUp(network, dtype);
    const head = headParameters(network);
    const trainable = {
      full: () => network.parameters.filter(({ buffer }) => !buffer).map(({ name }) => name),
      partial: () => [...head, ...lastBlocksAndNorms(network, 1)],
      frozen: () => head,
    }[trained]();
    const trainer = held(await Trainer.createOfRanks(network, { ...options, trainable }, teacher, ranks));
    let next = 0;
    for (const [index, size] of batches.entries()) {
      const samples = samplesFrom(next, size);
      next += size;
      const { cases, part } = ranks ? ranks.share(samples) : { cases: samples, part: undefined };
      const how = { learningRate, seed: 100 + index, ...(part ? { part } : {}) };
      steps.push(await stepOn(trainer, network, setting, cases, how));
    }
    const values = {};
    const read = async (tensors) => {
      for (const [name, tensor] of Object.entries(tensors)) {
        values[name] = Float64Array.from(await tensor.toArray(), Number);
        tensor.dispose();
      }
    };
    await read(await network.state());
    if (teacher) {
      const { tensors } = await trainer.state();
      const ofTeacher = Object.entries(tensors).filter(([name]) => /^(teacher\.|centre$)/.test(name));
      for (const [name, tensor] of Object.entries(tensors))
        if (!ofTeacher.some(([own]) => own === name)) tensor.dispose();
      await read(Object.fromEntries(ofTeacher));
    }
    const probe = held(real(dtype, stacked(input, probed, image), [probed.length, ...input]));
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

/** |a - b| / |b|. */
function relativeDistance(a, b) {
  let [difference, norm] = [0, 0];
  for (let index = 0; index < b.length; index++) {
    difference += (a[index] - b[index]) ** 2;
    norm += b[index] ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

/** How far two trainings lie apart, by what can be seen of them. */
export function differences(a, b) {
  const of = (what, { steps }) => steps.map((step) => step[what]);
  const names = Object.keys(b.values).sort();
  const flat = ({ values }) => names.flatMap((name) => [...values[name]]);
  return {
    losses: relativeDistance(of("loss", a), of("loss", b)),
    gradientNorms: relativeDistance(of("gradientNorm", a), of("gradientNorm", b)),
    state: relativeDistance(flat(a), flat(b)),
    answer: relativeDistance(a.answer, b.answer),
  };
}

// Imported by another program, it is not one itself.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
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
