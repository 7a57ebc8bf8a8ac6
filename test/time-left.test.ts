import { PassThrough } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createProgressView } from "../dist/cli/progress-view.js";
import type { CellLabel, StudyEvent } from "../dist/common/progress.js";
import { TimeLeft } from "../dist/study/run/time-left.js";

const cell = (id: string): CellLabel => ({
  id,
  kind: "cell",
  task: "super-resolution",
  strategy: "direct",
  model: id,
  comparator: "fine-tuned",
  seed: 1,
});
const epoch = (id: string, secondsLeft: number): StudyEvent => ({
  kind: "epoch",
  cell: cell(id),
  epoch: 1,
  epochs: 2,
  loss: 0.5,
  metric: null,
  secondsLeft,
});
const done = (seconds: number) => ({ kind: "done", seconds }) as Parameters<TimeLeft["after"]>[1];

describe("the time left of a study", () => {
  const cells = ["a", "b", "c", "d"].map((id) => ({ id, cost: 10 }));

  it("is never less than that of a running cell", () => {
    const left = new TimeLeft(cells, new Set(["c", "d"]), 2, () => 0);
    left.saw(epoch("b", 277));
    expect(left.after(cells[0] as (typeof cells)[0], done(20)).secondsLeft).toBe(277);
  });

  it("counts of a running cell what it has left itself, not all that it was planned to take", () => {
    const left = new TimeLeft(cells, new Set(["c", "d"]), 2, () => 0);
    left.saw(epoch("b", 4));
    expect(left.after(cells[0] as (typeof cells)[0], done(1500)).secondsLeft).toBe(4);
  });

  it("deals waiting cells out to the places that are free, at the pace so far", () => {
    let now = 0;
    const left = new TimeLeft(cells, new Set(), 2, () => now);
    left.saw(epoch("b", 30));
    now = 10;
    // a took 20 s for a cost of 10; b has 20 s left; c takes the free place until 20, and d comes after either: 40.
    expect(left.after(cells[0] as (typeof cells)[0], done(20)).secondsLeft).toBe(40);
  });

  it("is not known before a cell is through", () => {
    const left = new TimeLeft(cells, new Set(), 1);
    expect(
      left.after(cells[0] as (typeof cells)[0], { kind: "failed", code: "INTERNAL", reason: "x" } as never),
    ).toMatchObject({
      failed: 1,
      secondsLeft: null,
    });
  });
});

describe("what a terminal or a pipe shows of it", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const plan: StudyEvent = { kind: "plan", cells: [cell("a"), cell("b")], alreadyDone: 0 };
  const study: StudyEvent = { kind: "study", done: 1, failed: 0, total: 3, secondsLeft: 178 };
  const written = (stream: PassThrough): string => ((stream.read() as Buffer | null) ?? "").toString();

  it("never says less for the study than for a cell beside it, also when time goes by", () => {
    const stream = new PassThrough();
    const view = createProgressView(stream, { interactive: true, colour: false });
    view.show(plan);
    view.show(epoch("b", 277));
    view.show(study);
    expect(written(stream)).toContain("about 4 min 37 s left");
    vi.advanceTimersByTime(60_000);
    view.show({ kind: "cell-started", cell: cell("a"), epochs: 2, startEpoch: 0 });
    expect(written(stream)).toContain("about 3 min 37 s left");
    view.close();
  });

  it("keeps each live line within the terminal's columns", () => {
    const stream = Object.assign(new PassThrough(), { columns: 40 });
    const view = createProgressView(stream, { interactive: true, colour: true });
    view.show({
      kind: "cell-started",
      cell: cell("a model of a very long name, as some are"),
      epochs: 2,
      startEpoch: 0,
    });
    view.show(plan);
    const lines = stripVTControlCharacters(written(stream)).split("\n");
    expect(lines.some((line) => line.includes("…"))).toBe(true);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(40);
    view.close();
  });

  it("names the cohort that is prepared, of which a study may have two", () => {
    const stream = new PassThrough();
    const view = createProgressView(stream, { interactive: true, colour: false });
    const prepared = { kind: "case", case: "x", excluded: null, done: 1, total: 40 } as const;
    view.show({ ...prepared, cohort: "/data/promis/manifest.csv" });
    vi.advanceTimersByTime(1000);
    view.show({ ...prepared, cohort: "/data/few-shot/manifest.csv" });
    const text = written(stream);
    expect(text).toContain("Preparing cases of promis/manifest.csv: 1 of 40");
    expect(text).toContain("Preparing cases of few-shot/manifest.csv: 1 of 40");
    view.close();
  });

  it("says on a pipe at least every minute what goes on", () => {
    const stream = new PassThrough();
    const view = createProgressView(stream, { interactive: false });
    view.show({ kind: "cell-started", cell: cell("a"), epochs: 2, startEpoch: 0 });
    view.show(study);
    written(stream);
    vi.advanceTimersByTime(60_000);
    expect(written(stream)).toContain("1 cell running, about 2 min");
    view.close();
    vi.advanceTimersByTime(120_000);
    expect(written(stream)).toBe("");
  });
});
