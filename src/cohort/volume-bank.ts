import { productOf } from "../common/numbers.js";
import { freeMemory } from "../native/runtime.js";
import type { Tensor } from "../native/tensor.js";

/** Of a GPU's free memory, what volumes may take: the rest is the networks', of other cells on the same device too. */
const shareOfVolumes = 0.25;

/** Bytes that volumes may take where so many are free. */
export const roomForVolumes = (freeBytes: number): number => shareOfVolumes * freeBytes;

/**
 * Volumes that stay on a device once they were brought there, while there is room. On a CPU there is no need for one: the
 * cache's files are mapped, and their pages shared between processes.
 */
export class VolumeBank implements Disposable {
  readonly #held = new Map<string, Tensor>();
  #room: number;
  #disposed = false;

  /** @param room bytes that may be held */
  constructor(room: number) {
    this.#room = room;
  }

  /** A bank for a device: of a share of a GPU's free memory, of nothing on a CPU. */
  static on(device: string): VolumeBank {
    return new VolumeBank(device === "cpu" ? 0 : roomForVolumes(freeMemory(device)));
  }

  /**
   * A float32 volume, which the caller disposes; `make` brings it to the device where it isn't held.
   *
   * @param name of the volume, one and the same for each
   */
  async volume(name: string, make: () => Promise<Tensor>): Promise<Tensor> {
    const held = this.#held.get(name);
    if (held) return held.share();
    const made = await make();
    const bytes = 4 * productOf(made.shape);
    // Whoever asked for it at the same time may have had it put here meanwhile.
    if (bytes <= this.#room && !this.#held.has(name) && !this.#disposed) {
      this.#room -= bytes;
      this.#held.set(name, made.share());
    }
    return made;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const tensor of this.#held.values()) tensor.dispose();
    this.#held.clear();
  }
}
