import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { CaseVolumes } from "../../cohort/case-volumes.js";
import { sealFile, sha256OfText, stateOfSealed } from "../../common/checksums.js";
import { type OnDamage, setAside } from "../../common/set-aside.js";
import { type PlacedNetwork, type VolumeFeatures, volumeFeatures } from "../../native/placed-network.js";
import { readSafetensors, type SafetensorsFile, writeSafetensors } from "../../native/safetensors.js";
import { Tensor } from "../../native/tensor.js";
import type { Sample } from "../../tasks/task.js";
import { type Batch, collate } from "./batch.js";

/**
 * A batch of cases with what the frozen encoder makes of them. Of each case there are `draws` samples, which epochs
 * take in turn; their features are all computed when a case is first met, so that later epochs don't run the encoder.
 *
 * @param sample a case's sample, always the same for a draw from 0 to `draws` - 1
 */
export async function keptBatch(
  store: FeatureStore,
  cases: readonly CaseVolumes[],
  epoch: number,
  draws: number,
  sample: (volumes: CaseVolumes, draw: number) => Promise<Sample>,
): Promise<Batch> {
  const nameOf = (volumes: CaseVolumes, draw: number) => `training ${draw} ${volumes.case}`;
  for (const volumes of cases) {
    for (let draw = 0; draw < draws; draw++)
      await store.ensure(nameOf(volumes, draw), () => sample(volumes, draw));
  }
  const draw = (epoch - 1) % draws;
  const features = await store.batch(cases.map((volumes) => nameOf(volumes, draw)));
  try {
    return { ...(await collate(await Promise.all(cases.map((volumes) => sample(volumes, draw))))), features };
  } catch (error) {
    features[Symbol.dispose]();
    throw error;
  }
}

/** How a `FeatureStore` keeps features. */
export interface FeatureStoreOptions {
  /** Whether the head stands on the feature maps; a classifier sees the pooled features alone. */
  keepStages: boolean;
  /** The study's folder, in which damaged files are set aside. */
  setAsideIn: string;
  onDamage: OnDamage;
}

/**
 * What a frozen encoder makes of samples, computed once each and kept as files: a training that is continued finds
 * them, and memory holds what a batch needs. A name stands for one input: whoever asks sees to that.
 */
export class FeatureStore {
  readonly #network: PlacedNetwork;
  readonly #folder: string;
  readonly #options: FeatureStoreOptions;
  readonly #files = new Map<string, Promise<SafetensorsFile>>();

  constructor(network: PlacedNetwork, folder: string, options: FeatureStoreOptions) {
    this.#network = network;
    this.#folder = folder;
    this.#options = options;
  }

  /** Sees to it that the features of a sample are kept; `make` gives it where they are not. */
  async ensure(name: string, make: () => Promise<Sample>): Promise<void> {
    let file = this.#files.get(name);
    if (!file) {
      file = this.#find(name, make);
      this.#files.set(name, file);
    }
    await file;
  }

  /** The features of samples that are kept, as those of one batch. */
  async batch(names: readonly string[]): Promise<VolumeFeatures> {
    const files = await Promise.all(names.map((name) => this.#files.get(name) as Promise<SafetensorsFile>));
    const stages = files[0]?.names.filter((name) => name !== "pooled") ?? [];
    const parts: Tensor[] = [];
    try {
      for (const part of ["pooled", ...stages]) parts.push(await this.#stack(files, part));
    } catch (error) {
      for (const part of parts) part.dispose();
      throw error;
    }
    const [pooled, ...maps] = parts as [Tensor, ...Tensor[]];
    return volumeFeatures(pooled, maps);
  }

  async #stack(files: readonly SafetensorsFile[], part: string): Promise<Tensor> {
    const rows: Tensor[] = [];
    try {
      for (const file of files) rows.push(await file.tensor(part, this.#network.device));
      return await Tensor.gather(
        rows,
        rows.map((_, index) => index),
      );
    } finally {
      for (const row of rows) row.dispose();
    }
  }

  async #find(name: string, make: () => Promise<Sample>): Promise<SafetensorsFile> {
    // A name may hold what a file's may not.
    const path = join(this.#folder, `${sha256OfText(name).slice(0, 32)}.safetensors`);
    const { keepStages, setAsideIn, onDamage } = this.#options;
    const state = await stateOfSealed(path);
    if (state === "damaged") onDamage(await setAside(setAsideIn, path, "its checksum differs"));
    if (state !== "sound") {
      await mkdir(this.#folder, { recursive: true });
      using sample = await make();
      using batch = await Tensor.gather([sample.input], [0]);
      using features = await this.#network.embed(batch);
      const rows: Record<string, Tensor> = {};
      try {
        rows.pooled = await features.pooled.select(0, 0);
        if (keepStages)
          for (const [index, stage] of features.stages.entries())
            rows[`stage${index}`] = await stage.select(0, 0);
        await writeSafetensors(path, rows, { sample: name });
        await sealFile(path);
      } finally {
        for (const row of Object.values(rows)) row.dispose();
      }
    }
    return readSafetensors(path);
  }
}
