import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import type { TrainerOptions } from "../dist/native/trainer.js";
import { temporaryFolder } from "./temporary-folder.js";

/** A training of a few steps, whoever takes them. */
export interface Setting {
  name: string;
  spec: NetworkSpec;
  trained: "full" | "partial" | "frozen";
  /** [C, D, H, W] of a sample. */
  input: number[];
  /** Of a sample. */
  target:
    | { kind: "mask" | "volume" | "hidden"; shape: number[] }
    | { kind: "classes"; shape: []; classes: number };
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
  const file = join(await temporaryFolder(), "store");
  const storeOf = (rank: number) =>
    port === undefined ? { file } : { host: "127.0.0.1", port, serves: rank === 0 };
  return Array.from({ length: count }, (_, rank) => {
    const child = fork(program, ["rank"], { serialization: "advanced", execArgv: [] });
    const meeting = { rank, ranks: count, ...storeOf(rank), address: "127.0.0.1" };
    child.send({ join: meeting, settings });
    return new RankProcess(child);
  });
}

export class RankProcess {
  readonly #told: { result?: Trained; checksum?: string; error?: string }[] = [];
  readonly ended: Promise<void>;

  constructor(readonly child: ChildProcess) {
    child.on("message", (message) => this.#told.push(message as { checksum: string }));
    this.ended = new Promise((resolve) => child.once("close", () => resolve()));
  }

  /** What it told until it ended. */
  async told() {
    await this.ended;
    return this.#told;
  }
}

/** |a - b| / |b|. */
export function relativeDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let index = 0; index < b.length; index++) {
    difference += ((a[index] as number) - (b[index] as number)) ** 2;
    norm += (b[index] as number) ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

/** The same over all of a network's tensors together. */
export const distanceOfStates = (a: Trained["values"], b: Trained["values"]): number => {
  const names = Object.keys(b).sort();
  const flat = (values: Trained["values"]) => names.flatMap((name) => [...(values[name] as Float64Array)]);
  return relativeDistance(flat(a), flat(b));
};

/** How far two trainings lie apart, by what can be seen of them. */
export function differences(a: Trained, b: Trained): Record<string, number> {
  const of = (what: "loss" | "gradientNorm", { steps }: Trained) => steps.map((step) => step[what]);
  return {
    losses: relativeDistance(of("loss", a), of("loss", b)),
    gradientNorms: relativeDistance(of("gradientNorm", a), of("gradientNorm", b)),
    state: distanceOfStates(a.values, b.values),
    answer: relativeDistance(a.answer, b.answer),
  };
}
