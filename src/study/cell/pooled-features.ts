import { join } from "node:path";
import { architectureOf } from "../../models/architectures/index.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import type { PooledDepth } from "../../native/placed-network.js";
import { readSafetensors, writeSafetensors } from "../../native/safetensors.js";
import { disposeNamed, Tensor } from "../../native/tensor.js";
import { cellFiles } from "../../results/paths.js";

/** How the features of all positions at a depth become those of a case. */
export const poolings = ["mean", "maximum", "cls"] as const;
export type Pooling = (typeof poolings)[number];

/** Of so many depths a vision transformer's tokens are kept: a quarter, a half, three quarters and all of its blocks. */
const depthsOfTransformer = 4;

/** What the depths are called that `Network.embedAlong` answers for; none for a network without an encoder. */
export function depthNames(spec: NetworkSpec): string[] {
  if ("model" in spec) return [];
  const { slices, widths, blocks } = architectureOf(spec.encoder);
  if (!slices) return widths(spec.encoder).map((_, index) => `stage ${index + 1}`);
  const depth = blocks(spec.encoder);
  return Array.from(
    { length: depthsOfTransformer },
    (_, index) => `block ${Math.ceil(((index + 1) * depth) / depthsOfTransformer)}`,
  );
}

/** Pooled features of test cases along an encoder: a few kilobytes a case, kept beside its embeddings. */
export class PooledFeatures implements Disposable {
  readonly #depths: readonly string[];
  /** By depth and pooling; a depth that a short transformer names twice is kept once. */
  readonly #rows = new Map<string, Tensor[]>();

  constructor(depths: readonly string[]) {
    this.#depths = depths;
  }

  /** Adds a case: `along` of a batch of one. */
  async add(along: readonly PooledDepth[]): Promise<void> {
    for (const [index, pooled] of along.entries()) {
      const depth = this.#depths[index];
      if (depth === undefined || this.#depths.indexOf(depth) !== index) continue;
      for (const pooling of poolings) {
        const rows = pooled[pooling];
        if (!rows) continue;
        const name = nameOf(depth, pooling);
        const list = this.#rows.get(name) ?? [];
        this.#rows.set(name, list);
        list.push(await rows.select(0, 0));
      }
    }
  }

  /** Writes `<depth> <pooling>` [cases, features] for each, where there is any. */
  async write(folder: string, metadata: Record<string, string>): Promise<void> {
    if (this.#rows.size === 0) return;
    const tensors: Record<string, Tensor> = {};
    try {
      for (const [name, rows] of this.#rows) {
        tensors[name] = await Tensor.gather(
          rows,
          rows.map((_, index) => index),
        );
      }
      await writeSafetensors(join(folder, cellFiles.depths), tensors, metadata);
    } finally {
      disposeNamed(tensors);
    }
  }

  [Symbol.dispose](): void {
    for (const row of [...this.#rows.values()].flat()) row.dispose();
  }
}

const nameOf = (depth: string, pooling: Pooling): string => `${depth} ${pooling}`;

/** Features of the test set at one depth, by one pooling. */
export interface DepthFeatures {
  depth: string;
  pooling: Pooling;
  /** Reads them, [cases, features]; the caller disposes of them. */
  read(): Promise<Tensor>;
}

/**
 * What a finished cell kept of its encoder's depths, from the input on.
 *
 * @throws `BAD_CHECKPOINT` where the file is missing or cannot be read
 */
export async function readPooledFeatures(cellFolder: string): Promise<DepthFeatures[]> {
  const file = await readSafetensors(join(cellFolder, cellFiles.depths));
  const found = file.names.flatMap((name): DepthFeatures[] => {
    const pooling = poolings.find((one) => name.endsWith(` ${one}`));
    if (pooling === undefined) return [];
    return [{ depth: name.slice(0, -pooling.length - 1), pooling, read: () => file.tensor(name) }];
  });
  const place = ({ depth, pooling }: DepthFeatures) =>
    1000 * poolings.indexOf(pooling) + Number(depth.replace(/^\D+/, ""));
  return found.sort((a, b) => place(a) - place(b));
}
