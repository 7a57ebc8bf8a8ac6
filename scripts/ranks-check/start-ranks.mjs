import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import type { TrainerOptions } from "../dist/native/trainer.js";

/** A training of a few steps, whoever takes them. */
export interface Setting {
  name: string;
  spec: NetworkSpec;
  trained: "full" | "partial" | "frozen";
  /** [C, D, H, W] of a sample. */
  input: number[];
  /** Of a sample. */
  target:
    | { kind: "mask" | "volume" | "hidden" | "lesion"; shape: number[] }
    | { kind: "classes"; shape: []; classes: number }
    /** A teacher's and a student's views of slices: self-distillation. */
    | { kind: "views"; shape: [] };
  /** Samples of each step, over all ranks. */
  batches: number[];
  options: TrainerOptions;
  /** Default: 1e-3. */
  learningRate?: number;
  /** Of a frozen encoder: whether its features are given. */
  kept?: boolean;
}

export interface Trained {
  steps: { loss: number; gradientNorm: number }[];
  values: Record<string, Float64Array>;
  answer: Float64Array;
}

const program = fileURLToPath(new URL("rank-process.js", import.meta.url));

/** Processes that train together; they find each other by a file, or at that port, where rank 0 listens. */
export async function startRanks(count: number, settings: Setting[], port?: number): Promise<RankProcess[]> {
  const folder = await mkdtemp(join(tmpdir(), "transfer-limits-ranks-"));
  const file = join(folder, "store");
  const storeOf = (rank: number) =>
    port === undefined ? { file } : { host: "127.0.0.1", port, serves: rank === 0 };
  const started = Array.from({ length: count }, (_, rank) => {
    const child = fork(program, { serialization: "advanced", execArgv: [] });
    const meeting = { rank, ranks: count, ...storeOf(rank), address: "127.0.0.1" };
    child.send({ join: meeting, settings });
    return new RankProcess(child);
  });
  void Promise.all(started.map(({ ended }) => ended)).then(() => rm(folder, { recursive: true }));
  return started;
}

export class RankProcess {
  readonly #told: { result?: Trained; checksum?: string; error?: string }[] = [];
  readonly ended: Promise<void>;

  constructor(readonly child: ChildProcess) {
    child.on("message", (message) => this.#told.push(message as { checksum: string }));
    this.ended = new Promise((resolve) => child.once("close", () => resolve()));
  }

  /** What it tells of a setting. */
  async answer(index: number) {
    while (this.#told.length <= index) {
      const ended = await Promise.race([this.ended.then(() => true), once(this.child, "message")]);
      if (ended === true) break;
    }
    return this.#told[index] ?? this.#told.at(-1);
  }

  /** What it told until it ended. */
  async told() {
    await this.ended;
    return this.#told;
  }
}
