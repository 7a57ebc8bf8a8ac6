import { link, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeJson } from "../common/atomic-file.js";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import { networkMetadata } from "../models/checkpoints/own-weights.js";
import type { Network } from "../native/network.js";
import type { Trainer } from "../native/trainer.js";
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

/**
 * The folder in which a training keeps its state after each epoch. New files are written beside the old ones, and only
 * then does `progress.json` name them: a kill at any instant leaves a state that is whole.
 */
export class CheckpointFolder {
  constructor(readonly path: string) {}

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
      text = await readFile(this.pointer, "utf8");
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
    await network.restore(this.network(state.epoch));
    await trainer.load(this.optimiser(state.epoch));
  }

  /** Saves the state after an epoch. `state.best.epoch === state.epoch` keeps its weights as the best ones. */
  async save(state: TrainingState, network: Network, trainer: Trainer): Promise<void> {
    await mkdir(this.path, { recursive: true });
    await network.save(this.network(state.epoch), networkMetadata(network));
    await trainer.save(this.optimiser(state.epoch));
    if (state.best?.epoch === state.epoch) {
      await rm(this.best(state.epoch), { force: true });
      await link(this.network(state.epoch), this.best(state.epoch));
    }
    await writeJson(this.pointer, state);
    await this.removeAllBut(state);
  }

  private async removeAllBut(state: TrainingState): Promise<void> {
    const kept = new Set([
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
