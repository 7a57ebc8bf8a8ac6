/** Measures how long at least one piece of native work was under way: overlapping work counts once. */
export class BusyClock {
  #running = 0;
  #since = 0;
  #total: number;

  constructor(secondsBefore = 0) {
    this.#total = secondsBefore * 1000;
  }

  /** Counts the time until `work` settles. */
  async during<T>(work: Promise<T>): Promise<T> {
    if (this.#running++ === 0) this.#since = performance.now();
    try {
      return await work;
    } finally {
      if (--this.#running === 0) this.#total += performance.now() - this.#since;
    }
  }

  get seconds(): number {
    const running = this.#running > 0 ? performance.now() - this.#since : 0;
    return (this.#total + running) / 1000;
  }
}
