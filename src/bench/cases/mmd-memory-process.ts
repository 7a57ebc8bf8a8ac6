/** Measures the memory of one MMD² beyond its inputs: `rows features threads device`. */
import { readFileSync, writeFileSync } from "node:fs";
import { mmd2 } from "../../alignment/mmd.js";
import { peakMemory, setThreads } from "../../native/runtime.js";
import { Tensor } from "../../native/tensor.js";

/** What the process says. */
export interface MemoryAnswer {
  seconds: number;
  /** The most memory beyond what was held when the inputs were there. */
  extraBytes: number;
}

const [rows = 0, features = 0, threads = 1] = process.argv.slice(2, 5).map(Number);
const device = process.argv[5] ?? "cpu";
// Rows of independent normal numbers lie this far apart: exp(-1) for a typical pair.
const sigma = Math.sqrt(2 * features);

async function once(count: number, onReady: () => void = () => {}): Promise<void> {
  using a = await Tensor.normal([count, features], 1, device);
  using b = await Tensor.normal([count, features], 2, device);
  onReady();
  await mmd2(a, b, { sigma });
}

/** A line of /proc/self/status, in bytes. */
function memory(key: "VmRSS" | "VmHWM"): number {
  const kilobytes = new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(
    readFileSync("/proc/self/status", "utf8"),
  )?.[1];
  if (kilobytes === undefined) throw new Error(`/proc/self/status has no ${key}`);
  return 1024 * Number(kilobytes);
}

setThreads(threads);
await once(Math.min(rows, 500)); // what LibTorch sets up once is there before
let before = 0;
let started = 0;
await once(rows, () => {
  if (device === "cpu") writeFileSync("/proc/self/clear_refs", "5"); // the peak starts again from what is held now
  before = device === "cpu" ? memory("VmRSS") : peakMemory(device);
  started = performance.now();
});
const answer: MemoryAnswer = {
  seconds: (performance.now() - started) / 1000,
  extraBytes: (device === "cpu" ? memory("VmHWM") : peakMemory(device)) - before,
};
process.stdout.write(JSON.stringify(answer));
