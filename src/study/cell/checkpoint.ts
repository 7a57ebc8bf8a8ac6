import { mkdir, readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { linkOrCopy } from "../../common/atomic-file.js";
import { firstDamage, sha256OfFile } from "../../common/checksums.js";
import { readSealedJson, writeSealedJson } from "../../common/sealed-json.js";
import { type OnDamage, setAside } from "../../common/set-aside.js";
import { networkMetadata } from "../../models/checkpoints/own-weights.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import { readSafetensors, writeSafetensors } from "../../native/safetensors.js";
import { disposeNamed } from "../../native/tensor.js";
import { type Trainer, writeTrainerState } from "../../native/trainer.js";
import type { Basis, EpochRecord, Retry } from "../../results/cell.js";
import { cellFiles, progressFiles } from "../../results/paths.js";

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
  /** Why its batches go through the network in parts, where that is not what the study says. */
  retry?: Retry | undefined;
}

const stateSchema = z.object({
  /** SHA-256 of each file that the state consists of. */
  files: z.record(z.string(), z.string()),
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
  retry: z
    .object({ code: z.literal("OUT_OF_MEMORY"), reason: z.string(), microBatch: z.int().min(1) })
    .optional(),
});

const markSchema = z.object({ restsOn: z.string() });

/**
 * The folder in which a training keeps its state after each epoch. New files are written beside the old ones, and only
 * then does `progress.json` name them, with their checksums: a kill at any instant leaves a state that is whole.
 *
 * Of a network of which a part stays as it was drawn or loaded, only the rest is written.
 */
export class CheckpointFolder {
  readonly #changing: readonly string[] | undefined;
  /** Of the files of the state that was read or saved last. */
  #checksumsBefore: Readonly<Record<string, string>> = {};

  /** @param changing the network's parameters and buffers that training changes; default: all */
  constructor(
    readonly path: string,
    changing?: readonly string[],
  ) {
    this.#changing = changing;
  }

  /**
   * Opens the folder of a training. What lies there and rests on something else (other weights, cases or settings) is
   * removed: going on from it would give numbers of neither. What is damaged is set aside, and training begins anew.
   *
   * @param study the study's folder
   * @param restsOn what all the training's numbers follow from
   * @param changing the network's parameters and buffers that training changes; default: all
   */
  static async open(
    path: string,
    where: { study: string; restsOn: Basis; onDamage: OnDamage; changing?: readonly string[] | undefined },
  ): Promise<CheckpointFolder> {
    const { study, onDamage, changing } = where;
    const restsOn = `${where.restsOn.hash} ${where.restsOn.weights ?? "drawn"}`;
    const folder = new CheckpointFolder(path, changing);
    const mark = await readSealedJson(join(path, progressFiles.mark));
    if (mark.state === "sound" && markSchema.safeParse(mark.value).data?.restsOn === restsOn) {
      const reason = await folder.#damage();
      if (reason === null) return folder;
      onDamage(await setAside(study, path, reason));
    } else if (mark.state === "damaged") {
      onDamage(await setAside(study, path, `${progressFiles.mark}: ${mark.reason}`));
    } else await rm(path, { recursive: true, force: true });
    await writeSealedJson(join(path, progressFiles.mark), { restsOn });
    return folder;
  }

  /** What is wrong with the state that was saved last; null where nothing is, or where there is none. */
  async #damage(): Promise<string | null> {
    const found = await readSealedJson(this.pointer);
    if (found.state === "absent") return null;
    if (found.state === "damaged") return `${basename(this.pointer)}: ${found.reason}`;
    const state = stateSchema.safeParse(found.value);
    if (!state.success) return `${basename(this.pointer)} does not hold what it should`;
    return firstDamage(this.path, Object.entries(state.data.files));
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
    return join(this.path, progressFiles.pointer);
  }

  /** The state that was saved last; null where there is none. What is damaged was set aside when the folder was opened. */
  async read(): Promise<TrainingState | null> {
    const found = await readSealedJson(this.pointer);
    if (found.state !== "sound") return null;
    const { files, ...state } = stateSchema.parse(found.value);
    this.#checksumsBefore = files;
    return state;
  }

  /** The same where the training rests on this. */
  async readOf({ hash }: Pick<Basis, "hash">): Promise<TrainingState | null> {
    const mark = await readSealedJson(join(this.path, progressFiles.mark));
    const restsOn = mark.state === "sound" ? markSchema.safeParse(mark.value).data?.restsOn : undefined;
    return restsOn?.split(" ")[0] === hash ? this.read() : null;
  }

  /** Brings network and optimiser to a state that was read. */
  async restore(state: TrainingState, network: PlacedNetwork, trainer: Trainer): Promise<void> {
    await network.restore(this.network(state.epoch), this.#changing);
    await trainer.load(this.optimiser(state.epoch));
  }

  /** Brings a network, which is as it was before training or at any epoch of it, to the best weights. */
  async restoreBest(best: { epoch: number }, network: PlacedNetwork): Promise<void> {
    await network.restore(this.best(best.epoch), this.#changing);
  }

  /**
   * Copies the state after an epoch, and answers what writes it and frees the copy: training may go on meanwhile.
   * `state.best.epoch === state.epoch` keeps its weights as the best ones.
   */
  async take(state: TrainingState, network: PlacedNetwork, trainer: Trainer): Promise<() => Promise<void>> {
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
    await writeSealedJson(this.pointer, { files: await this.#checksums(state), ...state });
    await this.removeAllBut(state);
  }

  /** Of all files that a state consists of; what was written with an earlier one has the checksum that it had then. */
  async #checksums({ epoch, best }: TrainingState): Promise<Record<string, string>> {
    const before = this.#checksumsBefore;
    const now: Record<string, string> = {};
    const add = async (path: string, writtenAfter: number) => {
      const name = basename(path);
      now[name] = (writtenAfter < epoch ? before[name] : undefined) ?? (await sha256OfFile(path));
    };
    await add(this.network(epoch), epoch);
    await add(this.optimiser(epoch), epoch);
    if (best?.epoch === epoch) now[basename(this.best(epoch))] = now[basename(this.network(epoch))] as string;
    else if (best) await add(this.best(best.epoch), best.epoch);
    for (const kept of await this.allKept()) await add(kept.path, kept.epoch);
    this.#checksumsBefore = now;
    return now;
  }

  /** Puts the whole network after the last epoch, and the best one, into another folder. */
  async keep(state: TrainingState, network: PlacedNetwork, folder: string): Promise<void> {
    const files: { name: string; path: string }[] = [
      { name: cellFiles.last, path: this.network(state.epoch) },
    ];
    if (state.best) files.push({ name: cellFiles.best, path: this.best(state.best.epoch) });
    for (const { name, path } of files) {
      if (this.#changing === undefined) await linkOrCopy(path, join(folder, name));
      else await this.#writeWhole(path, network, join(folder, name));
    }
  }

  /** What was written of a network, and the rest of it. */
  async #writeWhole(path: string, network: PlacedNetwork, whole: string): Promise<void> {
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
      join(this.path, progressFiles.mark),
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
