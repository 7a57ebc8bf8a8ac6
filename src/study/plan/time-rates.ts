import type { Operation, Work } from "../../models/architectures/work.js";
import type { Precision } from "../../native/placed-network.js";

/** How fast something goes forward, and backward: what computes the gradients of input and weights. */
export interface Speed {
  forward: number;
  backward: number;
}

/** Speeds by how large something is, smallest first: between two of them on a straight line in logarithms. */
export type Curve = readonly { at: number; speed: Speed }[];

/** What a device does in a second. */
export interface Rates {
  /** In words: of what device, with how many threads. */
  device: string;
  /** Measured here by a calibration; what is published of the device, with an assumed utilisation; or assumed altogether. */
  source: "measured" | "published" | "assumed";
  /** Multiply-adds, by features. */
  convolution: Curve;
  product: Curve;
  /** Multiply-adds. */
  depthwise: Speed;
  /** Bytes, by how many a call goes through: what caches hold is faster. */
  pass: Curve;
  /** Seconds that a call takes whatever it does; backward in a step, with what the step itself takes. */
  call: Speed;
  /** Seconds that a cell's process takes to start, and to load LibTorch. */
  start: number;
}

/** Seconds, by what they are spent on: `fixed` is what takes as long for the smallest volume. */
export interface Spent {
  arithmetic: number;
  memory: number;
  fixed: number;
}

export const nothingSpent: Spent = { arithmetic: 0, memory: 0, fixed: 0 };

export const add = (...parts: readonly Spent[]): Spent =>
  parts.reduce(
    (sum, one) => ({
      arithmetic: sum.arithmetic + one.arithmetic,
      memory: sum.memory + one.memory,
      fixed: sum.fixed + one.fixed,
    }),
    nothingSpent,
  );

export const scaled = (count: number, { arithmetic, memory, fixed }: Spent): Spent => ({
  arithmetic: count * arithmetic,
  memory: count * memory,
  fixed: count * fixed,
});

export const totalOf = ({ arithmetic, memory, fixed }: Spent): number => arithmetic + memory + fixed;

/** What a step computes of a part of a network: forward, and which gradients of all that it has. */
export interface Passing {
  /** Cases that go through at once. */
  cases: number;
  /** Shares of the gradients that are computed: those of layers' inputs, and of weights. */
  inputs: number;
  weights: number;
}

export const forwardOnly = (cases = 1): Passing => ({ cases, inputs: 0, weights: 0 });

const bytesPerValue = 4;
const reorderings = 3;

/** What a work takes at these rates. */
export function secondsOf(work: Work, passing: Passing, rates: Rates): Spent {
  return add(...work.map((operation) => ofOperation(operation, passing, rates)));
}

function ofOperation(one: Operation, { cases, inputs, weights }: Passing, rates: Rates): Spent {
  // A convolution brings its weights into the order that it works in, each time anew: they are read, written and read.
  const reordered = one.kind === "convolution" ? reorderings * bytesPerValue * one.weights : 0;
  const bytes = bytesPerValue * (cases * one.values + (reordered > 0 ? 0 : one.weights));
  const memory = at(rates.pass, (bytes + reordered) / one.calls);
  const products = one.kind === "pass" ? null : of(one, rates);
  const arithmetic = cases * one.multiplyAdds;
  const fixed = one.calls * (rates.call.forward + rates.call.backward * Math.max(inputs, weights));
  const parts = [
    { share: 1, computed: arithmetic / (products?.forward ?? 1), moved: bytes / memory.forward },
    // Both gradients together are twice the products, and go through twice the values.
    {
      share: products === null ? inputs : (inputs + weights) / 2,
      computed: (2 * arithmetic) / (products?.backward ?? 1),
      moved: (2 * bytes) / memory.backward,
    },
  ];
  return add(
    { ...nothingSpent, fixed },
    {
      ...nothingSpent,
      memory: reordered / memory.forward + ((inputs + weights) * reordered) / memory.backward,
    },
    ...parts.map(({ share, computed, moved }) =>
      computed > moved
        ? { ...nothingSpent, arithmetic: share * computed }
        : { ...nothingSpent, memory: share * moved },
    ),
  );
}

function of({ kind, width }: Operation, rates: Rates): Speed {
  if (kind === "depthwise") return rates.depthwise;
  return at(kind === "convolution" ? rates.convolution : rates.product, width);
}

/** A curve's speed at a size; beyond its ends that of the end, but below the first no faster than the first two go on. */
export function at(curve: Curve, size: number): Speed {
  const [first] = curve;
  if (first === undefined) throw new RangeError("a curve without a point");
  const above = curve.findIndex((point) => point.at >= size);
  if (above === -1) return (curve.at(-1) as Curve[number]).speed;
  const [low, high] = [curve[Math.max(0, above - 1)], curve[Math.max(1, above)]] as const;
  if (low === undefined || high === undefined) return first.speed;
  // Of nothing at all, as where nothing is trained, the speed of next to nothing: no time, and not 0 by 0.
  const share = Math.log(Math.max(size, 1) / low.at) / Math.log(high.at / low.at);
  const between = (a: number, b: number) =>
    share < 0 ? Math.min(a, a * (b / a) ** share) : a * (b / a) ** share;
  return {
    forward: between(low.speed.forward, high.speed.forward),
    backward: between(low.speed.backward, high.speed.backward),
  };
}

/** What stands for a CPU that nothing could be measured of: a core of a server with AVX2, so many times over. */
export function assumedRates(device: string, threads: number, start: number): Rates {
  const both = (speed: number): Speed => ({ forward: threads * speed, backward: threads * speed });
  return {
    device,
    source: "assumed",
    convolution: [
      { at: 8, speed: both(1.2e10) },
      { at: 32, speed: both(1.8e10) },
    ],
    product: [
      { at: 48, speed: both(1e10) },
      { at: 384, speed: both(2e10) },
    ],
    depthwise: both(2e10),
    pass: [{ at: 1, speed: both(6e9) }],
    call: { forward: 2e-5, backward: 6e-5 },
    start,
  };
}

/** A card's published peaks, in multiply-adds (half of the operations) and bytes a second. */
interface Card {
  name: string;
  bfloat16: number;
  tf32: number;
  float32: number;
  memory: number;
}

/** Dense rates by their makers' data sheets: 10¹² operations of bfloat16, tf32 and float32 a second, and 10⁹ bytes. */
const sheets: readonly [name: string, bfloat16: number, tf32: number, float32: number, memory: number][] = [
  ["B200", 2250, 1125, 75, 8000],
  ["H200", 989, 494, 67, 4800],
  ["H100 PCIe", 756, 378, 51, 2000],
  ["H100", 989, 494, 67, 3350],
  ["A100", 312, 156, 19.5, 1935],
  ["L40S", 362, 183, 91.6, 864],
  ["L4", 121, 60, 30.3, 300],
  ["A40", 150, 74.8, 37.4, 696],
  ["A10", 125, 62.5, 31.2, 600],
  ["RTX A6000", 155, 77.4, 38.7, 768],
  ["RTX 4090", 165, 82.6, 82.6, 1008],
  ["RTX 3090", 71, 35.6, 35.6, 936],
];

/** What stands for a card that is not known: of the middle. */
const usualCard = "A100";

/** What networks on volumes get out of a peak. Assumed, with room: not measured. */
const utilisation = {
  convolution: 0.25,
  product: 0.45,
  depthwise: 0.12,
  memory: 0.55,
  call: 8e-6,
  start: 10,
};

/** From so many features on, products fill a GPU's units; narrower ones get less of them in proportion. */
const fullWidth = 64;

/**
 * Rates of a GPU by what is published of it.
 *
 * @param name as its driver calls it; null where it is not here
 */
export function publishedRates(name: string | null, precision: Precision): Rates {
  const cards = sheets.map(([card, bfloat16, tf32, float32, memory]): Card => {
    const products = (teraflops: number) => (teraflops * 1e12) / 2;
    const fast = { bfloat16: products(bfloat16), tf32: products(tf32), float32: products(float32) };
    return { name: card, ...fast, memory: memory * 1e9 };
  });
  const squeezed = (text: string) => text.replace(/[\s_-]/g, "").toLowerCase();
  const known =
    name === null ? undefined : cards.find((card) => squeezed(name).includes(squeezed(card.name)));
  const card = known ?? (cards.find((one) => one.name === usualCard) as Card);
  const peak = card[precision];
  const both = (speed: number): Speed => ({ forward: speed, backward: speed });
  const byWidth = (speed: number): Curve => [
    { at: 1, speed: both(speed / fullWidth) },
    { at: fullWidth, speed: both(speed) },
  ];
  return {
    device: known ? card.name : `${name ?? "a GPU that is not here"}, taken for one like ${card.name}`,
    source: "published",
    convolution: byWidth(utilisation.convolution * peak),
    product: byWidth(utilisation.product * peak),
    depthwise: both(utilisation.depthwise * card.float32),
    pass: [{ at: 1, speed: both(utilisation.memory * card.memory) }],
    call: { forward: utilisation.call, backward: 2 * utilisation.call },
    start: utilisation.start,
  };
}
