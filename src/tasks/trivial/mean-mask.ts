/**
 * Masks of one grid, added up: in how many of them a voxel lies. Of each mask the voxels in it are remembered, which are
 * few where they are of lesions.
 */
export class MeanMask {
  readonly #masks: Uint32Array[] = [];
  #counts: Uint32Array | null = null;

  /** Adds a mask, in which a voxel lies where its value is above 0. */
  add(mask: Float32Array): void {
    this.#counts ??= new Uint32Array(mask.length);
    const inside: number[] = [];
    for (let voxel = 0; voxel < mask.length; voxel++) {
      if (!((mask[voxel] as number) > 0)) continue;
      inside.push(voxel);
      this.#counts[voxel] = (this.#counts[voxel] as number) + 1;
    }
    this.#masks.push(Uint32Array.from(inside));
  }

  /** How many masks were added. */
  get masks(): number {
    return this.#masks.length;
  }

  /** In how many masks each voxel lies. */
  get counts(): Uint32Array {
    return this.#counts ?? new Uint32Array(0);
  }

  /**
   * In how many masks a voxel must lie to be answered as inside, so that the mean Dice over the masks that show anything is
   * largest; of equally good numbers the smallest. 1 where no mask shows anything.
   */
  bestThreshold(): { atLeast: number; meanDice: number | null } {
    const shown = this.#masks.filter(({ length }) => length > 0);
    if (shown.length === 0) return { atLeast: 1, meanDice: null };
    const predicted = this.#atLeast(this.counts);
    const sums = new Float64Array(this.masks + 1);
    for (const mask of shown) {
      const common = this.#atLeast(mask.map((voxel) => this.counts[voxel] as number));
      for (let count = 1; count <= this.masks; count++) {
        const dice = (2 * (common[count] as number)) / (mask.length + (predicted[count] as number));
        sums[count] = (sums[count] as number) + dice;
      }
    }
    const best = Math.max(...sums.subarray(1));
    return { atLeast: sums.indexOf(best, 1), meanDice: best / shown.length };
  }

  /** Of each number up to that of the masks, how many of the counts reach it. */
  #atLeast(counts: Uint32Array): Float64Array {
    const reached = new Float64Array(this.masks + 2);
    for (const count of counts) reached[count] = (reached[count] as number) + 1;
    for (let count = this.masks; count >= 0; count--)
      reached[count] = (reached[count] as number) + (reached[count + 1] as number);
    return reached;
  }
}
