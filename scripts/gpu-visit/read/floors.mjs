// The least that work can take on a device: its operations, or the bytes that must be moved, at the device's measured rates.
import { encoders } from "../../../dist/models/catalogue.js";
import { forwardCost } from "../../../dist/study/plan/estimate.js";

const product = (sizes) => sizes.reduce((all, size) => all * size, 1);

/** Milliseconds of what is the longest of both. */
function milliseconds({ operations = 0, rate = "float32", bytes = 0 }, rates) {
  return 1000 * Math.max(operations / rates[rate], bytes / rates.bytes);
}

/** As native/checks/kernel_bench.cc has them, on a GPU and on a CPU. */
const depthwiseSizes = { gpu: [4, 96, 24, 50, 50], cpu: [1, 96, 16, 56, 56] };

/** What is known of the works that kernel_bench and peers.py name: how much each is at the least. */
const works = [
  {
    name: /^depthwise 7x7x7, (\w+), /,
    /** Taps on padding are no work. Tensor cores do not help: float32's rate, whatever the type. */
    work: ([, type], _, unit) => {
      const [samples, channels, ...extent] = depthwiseSizes[unit];
      const taps = product(extent.map((size) => 7 * size - 12));
      const values = samples * channels * product(extent);
      return { operations: 2 * samples * channels * taps, bytes: 2 * values * (type === "BFloat16" ? 2 : 4) };
    },
  },
  {
    name: /^MMD, (\d+) and (\d+) rows of (\d+)$/,
    /** Each pair within a set once, each pair between them. */
    work: ([, a, b, features], by) => {
      const pairs = Number(a) ** 2 / 2 + Number(b) ** 2 / 2 + Number(a) * Number(b);
      const terms = by.includes("three-term") ? 3 : 1;
      return {
        operations: 2 * Number(features) * pairs * terms,
        rate: by.includes("bfloat16") ? "bfloat16" : "float32",
      };
    },
  },
  {
    name: /^SSIM of (\d+)x(\d+)x(\d+), value and gradient$/,
    /** Two volumes are read, a gradient is written. */
    work: ([, ...extent]) => ({ bytes: 3 * 4 * product(extent.map(Number)) }),
  },
  {
    name: /^ConvNeXt V2 Tiny, training step, \[([\d, ]+)\]$/,
    work: ([, size], by) => {
      const [samples, , depth, height, width] = size.split(",").map(Number);
      const multiplications = forwardCost({ encoder: encoders["profound-tiny"] }, [height, width, depth]);
      return {
        operations: 2 * 3 * samples * multiplications,
        rate: by.includes("bfloat16") ? "bfloat16" : "float32",
      };
    },
  },
];

/** The floor of a row of kernel_bench, in ms; null where rates or the work are not known. */
export function floorOfWork(work, by, rates, unit) {
  if (rates === null) return null;
  for (const { name, work: amount } of works) {
    const match = name.exec(work);
    if (match) return milliseconds(amount(match, by, unit), rates);
  }
  return null;
}

/** The floor of so many operations of a network in bfloat16, in ms. */
export const floorOfOperations = (operations, rates) =>
  rates === null ? null : milliseconds({ operations, rate: "bfloat16" }, rates);
