import { requireOptions } from "../common/arguments.js";
import type { OwnPart, RankStoreHandle, RanksHandle } from "./addon.js";
import { addon, settle } from "./load-addon.js";

export type { OwnPart } from "./addon.js";

/** How a process finds the others that it trains with, by a server that one of them is, or by a file that all see. */
export interface JoinOptions {
  /** Which of the processes this one is, from 0. */
  rank: number;
  /** How many there are. */
  ranks: number;
  /** Where the store listens in which they leave each other word. */
  host?: string;
  port?: number;
  /** This process is that store. */
  serves?: boolean;
  /** Instead of a host: a file on a disk that all see, which nobody has used before. */
  file?: string;
  /** Of what they leave in the store, where others use it too. */
  prefix?: string;
  /** By which name or address the others reach this process. Default: its host's name. */
  address?: string;
  /** Between GPUs by NCCL. Default true; otherwise, as between CPUs, by Gloo. */
  nccl?: boolean;
  /** How long to wait for all to come. Default: five minutes. */
  joinMilliseconds?: number;
}

/**
 * Several processes that train one network together, each on its part of every batch. All must ask for the same, in the
 * same order.
 *
 * @internal
 */
export class Ranks implements Disposable {
  private constructor(
    readonly handle: RanksHandle,
    readonly rank: number,
    readonly ranks: number,
  ) {}

  /** Resolves when all are there. @throws `RANK_DIED` where they do not come, or one ends before */
  static async join(options: JoinOptions): Promise<Ranks> {
    requireOptions(options, "options");
    return new Ranks(await settle(addon().ranksJoin(options)), options.rank, options.ranks);
  }

  /** Which of so many cases are this rank's: as many as each other's or one more, in their order. */
  partOf(total: number): { start: number; end: number } {
    const each = Math.floor(total / this.ranks);
    const more = total % this.ranks;
    const start = this.rank * each + Math.min(this.rank, more);
    return { start, end: start + each + (this.rank < more ? 1 : 0) };
  }

  /**
   * The cases of a batch that go through this rank's network, and what the trainer needs to know of them. Where there are
   * fewer cases than ranks, the last ranks take the first case, which then does not count.
   */
  share<Case>(batch: readonly Case[]): { cases: Case[]; part: OwnPart } {
    const total = batch.length;
    const { start, end } = this.partOf(total);
    return start < end
      ? { cases: batch.slice(start, end), part: { start, total, counts: true } }
      : { cases: batch.slice(0, 1), part: { start: 0, total, counts: false } };
  }

  /** The sums over all ranks of each one's numbers. @param device in turn with the steps there */
  sum(numbers: readonly number[], device: string): Promise<number[]> {
    return settle(addon().ranksSum(this.handle, device, [...numbers]));
  }

  /** Resolves when all ranks have called it. */
  async meet(device: string): Promise<void> {
    await this.sum([1], device);
  }

  dispose(): void {
    this.handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Where processes leave each other word before, beside and after they train together.
 *
 * @internal
 */
export class RankStore implements Disposable {
  private constructor(private readonly handle: RankStoreHandle) {}

  /** Waits for whoever serves it. @throws `RANK_DIED` where nobody does */
  static async open(options: JoinOptions): Promise<RankStore> {
    requireOptions(options, "options");
    return new RankStore(await settle(addon().rankStoreOpen(options)));
  }

  leave(name: string, text: string): Promise<void> {
    return settle(addon().rankStoreLeave(this.handle, name, text));
  }

  /** What was left under that name; null: nothing yet. @throws `RANK_DIED` where whoever serves it has ended */
  find(name: string): Promise<string | null> {
    return settle(addon().rankStoreFind(this.handle, name));
  }

  [Symbol.dispose](): void {
    this.handle.dispose();
  }
}
