import { deviceSeconds, peakMemory } from "../../native/runtime.js";
import type { Cost } from "../../results/cell.js";
import type { CellContext, CellJob } from "./cell-context.js";
import { nothingSpent, type Trained } from "./train.js";

/** Adds what a process spent outside of training to what training spent, over all processes. */
export class CostMeter {
  readonly #started = performance.now();
  readonly #processor = process.cpuUsage();

  private constructor(private readonly deviceBefore: number) {}

  static async start({ study: { execution } }: Pick<CellJob, "study">): Promise<CostMeter> {
    return new CostMeter(await deviceSeconds(execution.device));
  }

  async total({ study, threads, ranks }: CellContext, trained: Trained | null): Promise<Cost> {
    const { state, here } = trained ?? {
      state: { cost: nothingSpent(), retry: undefined },
      here: nothingSpent(),
    };
    const { device } = study.execution;
    const now = await deviceSeconds(device);
    const { user, system } = process.cpuUsage(this.#processor);
    const isWhole = ranks === null && state.cost.wallSeconds === here.wallSeconds;
    const outside = {
      wallSeconds: (performance.now() - this.#started) / 1000 - here.wallSeconds,
      deviceSeconds: now - this.deviceBefore - here.deviceSeconds,
    };
    return {
      wallSeconds: state.cost.wallSeconds + outside.wallSeconds,
      deviceSeconds: state.cost.deviceSeconds + outside.deviceSeconds,
      ...(isWhole ? { processorSeconds: (user + system) / 1e6 } : {}),
      peakMemoryBytes: Math.max(state.cost.peakMemoryBytes, peakMemory(device)),
      epochSeconds: state.cost.epochSeconds,
      epochEmbedded: state.cost.epochEmbedded,
      device,
      threads,
      ...(ranks ? { ranks: ranks.ranks } : {}),
      ...(state.retry ? { retry: state.retry } : {}),
    };
  }
}
