import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { linkOrCopy, writeFileAtomically, writeJson } from "../common/atomic-file.js";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import { readRegularText } from "../common/regular-file.js";
import { networkMetadata } from "../models/checkpoints/own-weights.js";
import type { Network } from "../native/network.js";
import { readSafetensors, writeSafetensors } from "../native/safetensors.js";
import { disposeNamed } from "../native/tensor.js";
import { type Trainer, writeTrainerState } from "../native/trainer.js";
import type { EpochRecord } from "./results.js";

/** What a cell has spent so far, over every process that worked on it. */
export interface Spent {
  wallSeconds: number;
  deviceSeconds: number;
  peakMemoryBytes: number;
  epochSeconds: number[];
  /** How many volumes the encoder was run on in each epoch, to train and to validate. */
  epochEmbedded: number[];
}

/** How far a training has come. */
export interface TrainingState {
  /** Epochs that are finished. */
  epoch: number;
  best: { epoch: number; metric: number | null } | null;
  curve: EpochRecord[];
  cost: Spent;
}

const stateSchema = z.object({
  epoch: z.int().min(1),
  best: z.object({ epoch: z.int().min(1), metric: z.number().nullable() }).nullable(),
  curve: z.array(
    z.object({
      epoch: z.int(),
      learningRate: z.number(),
      trainingLoss: z.number(),
      validationMetric: z.number().nullable(),
    }),
  ),
  cost: z.object({
    wallSeconds: z.number(),
    deviceSeconds: z.number(),
    peakMemoryBytes: z.number(),
    epochSeconds: z.array(z.number()),
    epochEmbedded: z.array(z.number()),
  }),
});

const markFile = "rests-on.txt";

/**
 * The folder in which a training keeps its state after each epoch. New files are written beside the old ones, and only
 * then does `progress.json` name them: a kill at any instant leaves a state that is whole.
 *
 * Of a network of which a part stays as it was drawn or loaded, only the rest is written.
 */
export class CheckpointFolder {
  readonly #changing: readonly string[] | undefined;

  /** @param changing the network's parameters and buffers that training changes; default: all */
  constructor(
    readonly path: string,
    changing?: readonly string[],
  ) {
    this.#changing = changing;
  }

  /**
   * Opens the folder of a training. What lies there and rests on something else (other weights, cases or settings) is
   * removed: going on from it would give numbers of neither.
   *
   * @param restsOn the hash of all that the training's numbers follow from
   * @param changing the network's parameters and buffers that training changes; default: all
   */
  static async open(path: string, restsOn: string, changing?: readonly string[]): Promise<CheckpointFolder> {
    const mark = join(path, markFile);
    const before = await readRegularText(mark).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw error;
    });
    if (before !== restsOn) {
      await rm(path, { recursive: true, force: true });
      await writeFileAtomically(mark, restsOn);
    }
    return new CheckpointFolder(path, changing);
  }

  network(epoch: number): string {
    return join(this.path, `network-${epoch}.safetensors`);
  }

  best(epoch: number): string {
    return join(this.path, `best-${epoch}.safetensors`);
  }

  /** An encoder that stays while training goes on. */
  kept(epoch: number): string {
    return join(this.path, `encoder-${epoch}.safetensors`);
  }

  /** The epochs whose encoders were kept, in order, and where they lie. */
  async allKept(): Promise<{ epoch: number; path: string }[]> {
    return (await readdir(this.path))
      .flatMap((name) => /^encoder-(\d+)\.safetensors$/.exec(name)?.[1] ?? [])
      .map((epoch) => ({ epoch: Number(epoch), path: this.kept(Number(epoch)) }))
      .sort((a, b) => a.epoch - b.epoch);
  }

  private optimiser(epoch: number): string {
    return join(this.path, `optimiser-${epoch}.safetensors`);
  }

  /** What a frozen encoder made of the cases: it stays from epoch to epoch. */
  get features(): string {
    return join(this.path, "features");
  }

  private get pointer(): string {
    return join(this.path, "progress.json");
  }

  /** The state that was saved last; null where there is none. */
  async read(): Promise<TrainingState | null> {
    let text: string;
    try {
      text = await readRegularText(this.pointer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
    try {
      return stateSchema.parse(JSON.parse(text));
    } catch (error) {
      throw new TransferLimitsError(
        "BAD_CHECKPOINT",
        `${this.pointer} is damaged (${messageOf(error)}). Delete its folder to train this cell from the start`,
        { cause: error },
      );
    }
  }

  /** Brings network and optimiser to a state that was read. */
  async restore(state: TrainingState, network: Network, trainer: Trainer): Promise<void> {
    await network.restore(this.network(state.epoch), this.#changing);
    await trainer.load(this.optimiser(state.epoch));
  }

  /** Brings a network, which is as it was before training or at any epoch of it, to the best weights. */
  async restoreBest(best: { epoch: number }, network: Network): Promise<void> {
    await network.restore(this.best(best.epoch), this.#changing);
  }

  /**
   * Copies the state after an epoch, and answers what writes it and frees the copy: training may go on meanwhile.
   * `state.best.epoch === state.epoch` keeps its weights as the best ones.
   */
  async take(state: TrainingState, network: Network, trainer: Trainer): Promise<() => Promise<void>> {
    const copy = structuredClone(state);
    const metadata = networkMetadata(network);
    const weights = await network.state(this.#changing);
    try {
      const optimiser = await trainer.state();
      return async () => {
        try {
          await mkdir(this.path, { recursive: true });
          await writeSafetensors(this.network(copy.epoch), weights, metadata);
          await writeTrainerState(this.optimiser(copy.epoch), optimiser);
        } finally {
          disposeNamed(weights);
          disposeNamed(optimiser.tensors);
        }
        await this.#point(copy);
      };
    } catch (error) {
      disposeNamed(weights);
      throw error;
    }
  }

  /** Makes a state whose files are written the one that counts. */
  async #point(state: TrainingState): Promise<void> {
    if (state.best?.epoch === state.epoch) {
      await linkOrCopy(this.network(state.epoch), this.best(state.epoch));
    }
    await writeJson(this.pointer, state);
    await this.removeAllBut(state);
  }

  /** Puts the whole network after the last epoch, and the best one, into another folder. */
  async keep(state: TrainingState, network: Network, folder: string): Promise<void> {
    const files = [{ name: "last.safetensors", path: this.network(state.epoch) }];
    if (state.best) files.push({ name: "best.safetensors", path: this.best(state.best.epoch) });
    for (const { name, path } of files) {
      if (this.#changing === undefined) await linkOrCopy(path, join(folder, name));
      else await this.#writeWhole(path, network, join(folder, name));
    }
  }

  /** What was written of a network, and the rest of it. */
  async #writeWhole(path: string, network: Network, whole: string): Promise<void> {
    const state = await network.state();
    try {
      const written = await readSafetensors(path);
      for (const name of written.names) {
        state[name]?.dispose();
        state[name] = await written.tensor(name);
      }
      await writeSafetensors(whole, state, networkMetadata(network));
    } finally {
      disposeNamed(state);
    }
  }

  private async removeAllBut(state: TrainingState): Promise<void> {
    const kept = new Set([
      join(this.path, markFile),
      this.pointer,
      this.features,
      this.network(state.epoch),
      this.optimiser(state.epoch),
    ]);
    if (state.best) kept.add(this.best(state.best.epoch));
    for (const { path } of await this.allKept()) kept.add(path);
    for (const name of await readdir(this.path)) {
      const file = join(this.path, name);
      if (!kept.has(file)) await rm(file, { force: true });
    }
  }
}
