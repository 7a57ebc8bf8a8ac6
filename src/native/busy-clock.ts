/** Measures how long at least one piece of work was under way: overlapping work counts once. */
export class BusyClock {
  #running = 0;
  #since = 0;
  #total = 0;

  /** Counts the time until `work` settles. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#begin();
    try {
      return await work;
    } finally {
      this.#end();
    }
  }

  /** Counts the time until `work` returns. */
  within<T>(work: () => T): T {
    this.#begin();
    try {
      return work();
    } finally {
      this.#end();
    }
  }

  #begin(): void {
    if (this.#running++ === 0) this.#since = performance.now();
  }

  #end(): void {
    if (--this.#running === 0) this.#total += performance.now() - this.#since;
  }

  get seconds(): number {
    const running = this.#running > 0 ? performance.now() - this.#since : 0;
    return (this.#total + running) / 1000;
  }
}
