import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { PlacedNetwork } from "../native/placed-network.js";
import { buildInfo } from "../native/runtime.js";
import { Tensor } from "../native/tensor.js";
import { filled } from "./hash-fill.js";

/** On what was measured. */
export interface Machine {
  processor: string;
  cores: number;
  memoryBytes: number;
  device: string;
  threads: number;
  /** Processes that wanted to run when the measurement began, and when it ended: more than `cores` disturb it. */
  loadBefore: number;
  loadAfter: number;
  /** Versions of this package, Node, LibTorch, the compiler, and the instruction set that LibTorch uses. */
  versions: Record<string, string>;
  rates: Rates;
}

/** What the unit is able to do, measured: the best of several runs. */
export interface Rates {
  /** Of float32 matrix products. */
  operationsPerSecond: number;
  /** Of reading a large array. */
  bytesPerSecond: number;
}

export async function describeMachine(
  threads: number,
  device: string,
  attempts: number,
): Promise<Omit<Machine, "loadAfter">> {
  const build = buildInfo();
  const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const loadBefore = load();
  return {
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    device: device === "cpu" ? "cpu" : (build.devices.find(({ id }) => id === device)?.name ?? device),
    threads,
    loadBefore,
    versions: {
      "transfer-limits": version,
      node: process.versions.node,
      LibTorch: build.libtorch,
      compiler: build.compiler,
      "instruction set": build.cpuCapability,
    },
    rates: await measureRates(device, attempts),
  };
}

export const load = (): number => Math.round((loadavg()[0] ?? 0) * 10) / 10;

/** The unit's rates, which the floors are taken from: the best of so many attempts, after one that does not count. */
async function measureRates(device: string, attempts: number): Promise<Rates> {
  return {
    operationsPerSecond: await productRate(device, attempts),
    bytesPerSecond: await readingRate(device, attempts),
  };
}

/**
 * Operations a second of float32 matrix products. The contrastive head is a chain of linear layers: four products of
 * 2048 x 2048 matrices (the first of 384 x 2048), all but nothing else.
 */
async function productRate(device: string, attempts: number): Promise<number> {
  const [rows, width, first] = [2048, 2048, 384];
  using network = await PlacedNetwork.build(
    {
      encoder: {
        family: "dino-vit",
        channels: 1,
        patch: 14,
        embedDim: first,
        depth: 1,
        heads: 6,
        registers: 0,
        axisTokens: 0,
      },
      head: { kind: "contrastive", outputs: 1, hidden: width, bottleneck: width, prototypes: width },
    },
    { device },
  );
  using features = Tensor.from(filled("bench.rates", [rows, first]), [rows, first], device);
  const operations = 2 * rows * width * (first + 3 * width);
  const best = await bestOf(attempts, async () => {
    using answer = await network.project(features);
    using row = await answer.select(0, 0);
    await row.toArray();
  });
  return operations / best;
}

/** Bytes a second that a sum over an array of 256 MB reads. In float64, which is summed as it lies. */
async function readingRate(device: string, attempts: number): Promise<number> {
  const values = new Float64Array(2 ** 25).fill(1);
  using volume = Tensor.from(values, [32, 1024, 1024], device);
  const best = await bestOf(attempts, async () => {
    await volume.sliceSums();
  });
  return values.byteLength / best;
}

async function bestOf(attempts: number, work: () => Promise<void>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt <= attempts; attempt++) {
    const started = performance.now();
    await work();
    if (attempt > 0) best = Math.min(best, (performance.now() - started) / 1000);
  }
  return best;
}
