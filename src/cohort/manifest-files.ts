import { resolve } from "node:path";
import { readRegularFileSync } from "../common/regular-file.js";
import type { CohortColumns } from "./columns.js";
import {
  defaultManifestLimits,
  filledColumns,
  type Manifest,
  type ManifestLimits,
  parseManifest,
  readManifest,
} from "./manifest.js";
import { prostateColumns } from "./presets/prostate.js";

/** Manifests on the disk, each of which is read once, whoever asks for it: what a study is checked by is what it runs on. */
export class ManifestFiles {
  readonly #bytes = new Map<string, Buffer>();
  readonly #manifests = new Map<string, Promise<Manifest>>();

  /**
   * What a file holds, at once: for what must be known before the manifest's columns are.
   *
   * @throws as `readRegularFileSync`
   */
  bytes(path: string): Buffer {
    const file = resolve(path);
    const bytes = this.#bytes.get(file) ?? readRegularFileSync(file, defaultManifestLimits.bytes);
    this.#bytes.set(file, bytes);
    return bytes;
  }

  /** Columns that have a value in any line of a manifest; null where it cannot be read as a table. */
  filledColumns(path: string): string[] | null {
    try {
      return filledColumns(resolve(path), this.bytes(path).toString("utf8"));
    } catch {
      return null;
    }
  }

  /** As `readManifest`, of which all that a study names have the same limits and columns. */
  read(
    path: string,
    limits: Readonly<ManifestLimits> = defaultManifestLimits,
    ofCohort: CohortColumns = prostateColumns,
  ): Promise<Manifest> {
    const { bytes, cases, columns } = limits;
    const key = JSON.stringify([resolve(path), bytes, cases, columns, ofCohort]);
    const found = this.#manifests.get(key) ?? this.#read(resolve(path), limits, ofCohort);
    this.#manifests.set(key, found);
    return found;
  }

  async #read(file: string, limits: Readonly<ManifestLimits>, ofCohort: CohortColumns): Promise<Manifest> {
    const bytes = this.#bytes.get(file);
    this.#bytes.delete(file);
    // A larger one than the study allows is refused as any other is.
    return bytes === undefined || bytes.length > limits.bytes
      ? readManifest(file, limits, ofCohort)
      : parseManifest(file, bytes, limits, ofCohort);
  }
}
