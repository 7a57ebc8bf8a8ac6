import type { MeasuredMetric } from "../../common/progress.js";
import type { DevicePool } from "../plan/devices.js";
import type { PlannedCell } from "../plan/plan.js";
import { priorities } from "../plan/time-schedule.js";

/** What became of a cell. */
export type Outcome =
  | { kind: "done"; metric: MeasuredMetric | null; seconds: number; nativeSeconds: number }
  | { kind: "failed"; code: string; reason: string }
  /** Another process, maybe on another host, works on it. */
  | { kind: "elsewhere"; holder: string }
  /** Stopped on request; the next run goes on. */
  | { kind: "stopped" };

export interface Schedule {
  jobs: number;
  /** Ids of cells that are there already. */
  done: ReadonlySet<string>;
  signal: AbortSignal;
  /** Where cells run, and whether one fits beside those that run already. */
  devices: DevicePool;
  run(cell: PlannedCell, device: string): Promise<Outcome>;
  /**
   * Called for a cell that another process works on: waits until that is over. `free`: it is handed out once more. Once the
   * signal is aborted it answers at once.
   */
  released(cell: PlannedCell, holder: string, signal: AbortSignal): Promise<Settled | { kind: "free" }>;
  /**
   * Called once a cell, also for those that fail because of another: for one after the other, while the next cells run
   * already.
   */
  settled(cell: PlannedCell, outcome: Settled): Promise<void>;
}

/** What became of a cell that nobody works on any more. */
export type Settled = Exclude<Outcome, { kind: "elsewhere" }>;

/**
 * Hands out cells, up to `jobs` at once: of those that are ready, the one first from which the longest chain of work
 * hangs. One that another process works on is waited for, while others run. One that does not fit beside those that run lets shorter ones pass, and is asked again whenever a cell ends. A
 * cell whose dependency failed fails with its reason. Nothing new starts once the signal is aborted, or `settled` failed.
 */
export async function runSchedule(cells: readonly PlannedCell[], schedule: Schedule): Promise<void> {
  const { jobs, signal, devices } = schedule;
  const done = new Set(schedule.done);
  const waiting = new Map(cells.filter(({ id }) => !done.has(id)).map((cell) => [cell.id, cell]));
  const priority = priorities(cells, ({ cost }) => cost);
  const running = new Map<string, Promise<void>>();
  const elsewhere = new Map<string, Promise<void>>();
  const ending = new AbortController();
  const failed = new Map<string, string>();

  let settling = Promise.resolve();
  let settlingFailed = false;
  const settle = (cell: PlannedCell, outcome: Settled): void => {
    if (outcome.kind === "done") done.add(cell.id);
    if (outcome.kind === "failed") failed.set(cell.id, outcome.reason);
    settling = settling.then(() => schedule.settled(cell, outcome));
    settling.catch(() => {
      settlingFailed = true; // the loop ends with it, once what runs has ended
      ending.abort();
    });
  };
  const start = async (cell: PlannedCell, device: string): Promise<void> => {
    const outcome = await schedule.run(cell, device).finally(() => devices.release(cell.id));
    if (outcome.kind !== "elsewhere") return settle(cell, outcome);
    const released = async (): Promise<void> => {
      const now = await schedule.released(cell, outcome.holder, AbortSignal.any([signal, ending.signal]));
      if (now.kind === "free") waiting.set(cell.id, cell);
      else settle(cell, now);
    };
    elsewhere.set(
      cell.id,
      released().finally(() => elsewhere.delete(cell.id)),
    );
  };

  for (;;) {
    for (const cell of [...waiting.values()]) {
      const broken = cell.dependsOn.find((id) => failed.has(id));
      if (broken === undefined) continue;
      waiting.delete(cell.id);
      const reason = failedStart(broken, failed.get(broken) as string);
      settle(cell, { kind: "failed", code: "WORKER_DIED", reason });
    }
    const ready = [...waiting.values()]
      .filter(({ dependsOn }) => dependsOn.every((id) => done.has(id)))
      .sort((a, b) => (priority.get(b.id) as number) - (priority.get(a.id) as number));
    for (const cell of ready) {
      if (running.size >= jobs || signal.aborted || settlingFailed) break;
      const device = devices.take(cell);
      if (device === null) continue;
      waiting.delete(cell.id);
      running.set(
        cell.id,
        start(cell, device).finally(() => running.delete(cell.id)),
      );
    }
    const underWay = () => [...running.values(), ...elsewhere.values()];
    if (underWay().length === 0) return settling;
    try {
      await Promise.race(underWay());
    } catch (error) {
      ending.abort();
      while (underWay().length > 0) await Promise.allSettled(underWay());
      throw error;
    }
  }
}

/** Why a cell cannot be worked on whose start failed. */
export const failedStart = (id: string, reason: string): string =>
  `It starts from ${id}, which failed: ${reason}`;
