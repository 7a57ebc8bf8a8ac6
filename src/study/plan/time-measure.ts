import { setTimeout } from "node:timers/promises";
import { productOf } from "../../common/numbers.js";
import { specialisedArchitectureOf } from "../../models/architectures/index.js";
import type { Work } from "../../models/architectures/work.js";
import { arrange, depthwiseConv3d, groupNorm, linearLayer } from "../../native/kernels.js";
import type { ModelSpec } from "../../native/network-spec.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import { setThreads } from "../../native/runtime.js";
import { Tensor } from "../../native/tensor.js";
import { Trainer } from "../../native/trainer.js";
import { type Curve, forwardOnly, type Rates, type Speed, secondsOf, totalOf } from "./time-rates.js";

/** What is measured of a CPU. */
export type MeasuredRates = Pick<Rates, "convolution" | "product" | "depthwise" | "pass" | "call">;

/** Each work is timed so often, after once that does not count; the shortest time counts. */
const attempts = 2;

/** Those of next to nothing more often: what they take is easily disturbed. */
const shortAttempts = 12;

/**
 * Measures what this machine's CPU does with so many threads, in two seconds or so: small works through the same functions
 * that the networks go through.
 */
export async function measureRates(threads: number): Promise<MeasuredRates> {
  setThreads(threads);
  const pass: Curve = [await normSpeed([16, 16, 32, 32]), await normSpeed([16, 32, 64, 64])];
  const product: Curve = [await productSpeed(1024, 48), await productSpeed(1024, 384)];
  const known = { pass, product, depthwise: await depthwiseSpeed() };
  const call = await callSeconds();
  return {
    ...known,
    call,
    convolution: [
      await convolutionSpeed(8, { ...known, call }),
      await convolutionSpeed(32, { ...known, call }),
    ],
  };
}

/**
 * Seconds of a work that this process did: of processor time where that is less than what went by, as of one thread that had
 * to wait for another program.
 */
async function shortest(work: () => Promise<void>, tries = attempts): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt <= tries; attempt++) {
    const [started, before] = [performance.now(), process.cpuUsage()];
    await work();
    const passed = (performance.now() - started) / 1e3;
    // The thread that did the work is asleep by then: of one that still runs, Linux counts nothing since its last tick.
    await setTimeout(1);
    const { user, system } = process.cpuUsage(before);
    const used = (user + system) / 1e6;
    if (attempt > 0) best = Math.min(best, used > 0 ? Math.min(passed, used) : passed);
  }
  return best;
}

/** Values that differ from one to the next, between 0 and 1. */
const filled = (shape: readonly number[]): Tensor =>
  Tensor.from(
    Float32Array.from({ length: productOf(shape) }, (_, index) => (index % 97) / 97),
    [...shape],
  );

async function timed(work: () => Promise<Tensor[]>, tries = attempts): Promise<number> {
  return shortest(async () => {
    for (const tensor of await work()) tensor.dispose();
  }, tries);
}

/** How fast something is of which forward is timed alone, and both directions together. */
function speedOf(amount: number, forward: number, both: number): Speed {
  return { forward: amount / forward, backward: (2 * amount) / Math.max(both - forward, forward / 2) };
}

/** Bytes a second of an instance norm, whose input is read twice and which writes as much. */
async function normSpeed(shape: readonly [number, number, number, number]) {
  const [channels] = shape;
  using planes = filled([1, ...shape]);
  using input = await arrange(planes, "channels-last");
  using gradOutput = await arrange(planes, "channels-last");
  const of = (gradient: Tensor | null) => groupNorm(input, { groups: channels, gradOutput: gradient });
  const forward = await timed(() => of(null));
  const bytes = 3 * 4 * productOf(shape);
  return { at: bytes, speed: speedOf(bytes, forward, await timed(() => of(gradOutput))) };
}

/** Multiply-adds a second of a linear layer to four times its width. */
async function productSpeed(rows: number, width: number) {
  using input = filled([rows, width]);
  using weight = filled([4 * width, width]);
  using bias = filled([4 * width]);
  using gradOutput = filled([rows, 4 * width]);
  const forward = await timed(() => linearLayer(input, weight, bias));
  const both = await timed(() => linearLayer(input, weight, bias, { gradOutput }));
  return { at: width, speed: speedOf(rows * 4 * width ** 2, forward, both) };
}

async function depthwiseSpeed(): Promise<Speed> {
  const [channels, edge, kernel] = [32, 16, 7];
  using planes = filled([1, channels, edge, edge, edge]);
  using input = await arrange(planes, "channels-last");
  using weight = filled([channels, 1, kernel, kernel, kernel]);
  using bias = filled([channels]);
  const forward = await timed(() => depthwiseConv3d(input, weight, bias));
  const both = await timed(() => depthwiseConv3d(input, weight, bias, input));
  return speedOf(channels * edge ** 3 * kernel ** 3, forward, both);
}

const uNet = (features: number): ModelSpec => ({
  family: "unet-3d",
  channels: 1,
  outputs: 1,
  features,
  levels: 2,
});

/** How long a U-Net takes to answer a volume of [edge, edge, depth], and to learn from it; and what work that is. */
async function uNetSeconds(features: number, [edge, depth]: readonly [number, number], tries = attempts) {
  const model = uNet(features);
  const work = specialisedArchitectureOf(model).work(model, [edge, edge, depth]);
  using network = await PlacedNetwork.build({ model });
  using input = filled([1, 1, depth, edge, edge]);
  const forward = await timed(async () => [await network.forward(input)], tries);
  using trainer = await Trainer.create(network, { loss: { kind: "l1" }, weightDecay: 0 });
  const step = await shortest(async () => {
    await trainer.step(input, input, { learningRate: 1e-6, seed: 0 });
  }, tries);
  return { work, forward, step };
}

/** What a call takes that computes next to nothing: a network on the smallest volume, over its calls. */
async function callSeconds(): Promise<Speed> {
  const { work, forward, step } = await uNetSeconds(2, [4, 2], shortAttempts);
  const calls = work.reduce((sum, one) => sum + one.calls, 0);
  return { forward: forward / calls, backward: Math.max(step - forward, forward) / calls };
}

/**
 * Multiply-adds a second of convolutions 3x3x3 of so many features and twice as many: what is left of a U-Net's time once
 * its norms and calls are taken off.
 */
async function convolutionSpeed(features: number, known: Omit<MeasuredRates, "convolution">) {
  const { work, forward, step } = await uNetSeconds(features, features < 16 ? [48, 16] : [24, 12]);
  const rates: Rates = { ...known, convolution: known.product, device: "", source: "measured", start: 0 };
  const isDense = ({ kind }: Work[number]) => kind === "convolution";
  const beside = (passing: Parameters<typeof secondsOf>[1]) =>
    totalOf(
      secondsOf(
        work.filter((one) => !isDense(one)),
        passing,
        rates,
      ),
    ) + secondsOf(work.filter(isDense), passing, rates).fixed;
  const amount = work.filter(isDense).reduce((sum, { multiplyAdds }) => sum + multiplyAdds, 0);
  // Never less than half: a norm that was slower just then would make the convolution infinitely fast.
  const left = (seconds: number, taken: number) => Math.max(seconds - taken, seconds / 2);
  const ahead = left(forward, beside(forwardOnly()));
  const both = left(step, beside({ cases: 1, inputs: 1, weights: 1 }));
  return { at: features * Math.SQRT2, speed: speedOf(amount, ahead, both) };
}
