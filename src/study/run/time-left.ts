import type { StudyEvent } from "../../common/progress.js";
import type { PlannedCell } from "../plan/plan.js";
import type { Settled } from "./schedule.js";

/** What is left of a running cell, as it said last. */
interface Running {
  secondsLeft: number;
  saidAt: number;
}

/**
 * How much of a study is done, and about how long the rest takes: of running cells what they say themselves, of the
 * others their planned cost at the pace of those that are through, dealt out to as many cells as run side by side.
 */
export class TimeLeft {
  #failed = 0;
  #done: number;
  #costDone = 0;
  #secondsDone = 0;
  readonly #waiting: Map<string, number>;
  readonly #running = new Map<string, Running>();

  /** @param now the time in seconds */
  constructor(
    private readonly cells: readonly Pick<PlannedCell, "id" | "cost">[],
    done: ReadonlySet<string>,
    private readonly jobs: number,
    private readonly now: () => number = () => performance.now() / 1000,
  ) {
    const left = cells.filter(({ id }) => !done.has(id));
    this.#done = cells.length - left.length;
    this.#waiting = new Map(left.map(({ id, cost }) => [id, cost]));
  }

  /** Takes in what a running cell tells. */
  saw(event: StudyEvent): void {
    if (event.kind !== "epoch") return;
    this.#running.set(event.cell.id, { secondsLeft: event.secondsLeft, saidAt: this.now() });
  }

  /** What is said of the study after a cell. */
  after(
    { id, cost }: Pick<PlannedCell, "id" | "cost">,
    outcome: Exclude<Settled, { kind: "stopped" }>,
  ): Extract<StudyEvent, { kind: "study" }> {
    this.#waiting.delete(id);
    this.#running.delete(id);
    if (outcome.kind === "failed") this.#failed++;
    else {
      this.#done++;
      this.#costDone += cost;
      this.#secondsDone += outcome.seconds;
    }
    const [done, failed, total] = [this.#done, this.#failed, this.cells.length];
    return { kind: "study", done, failed, total, secondsLeft: this.#secondsLeft() };
  }

  #secondsLeft(): number | null {
    if (this.#costDone === 0) return null;
    const pace = this.#secondsDone / this.#costDone;
    const running = [...this.#running.values()].map(({ secondsLeft, saidAt }) =>
      Math.max(0, secondsLeft - (this.now() - saidAt)),
    );
    const waiting = [...this.#waiting]
      .filter(([id]) => !this.#running.has(id))
      .map(([, cost]) => pace * cost)
      .sort((a, b) => b - a);
    // Each waiting cell goes to whichever place is free first.
    const places = [...running, ...new Array<number>(Math.max(0, this.jobs - running.length)).fill(0)];
    for (const seconds of waiting) {
      const first = places.indexOf(Math.min(...places));
      places[first] = (places[first] as number) + seconds;
    }
    return Math.max(0, ...places);
  }
}
