import type { Writable } from "node:stream";
import { createLogUpdate } from "log-update";
import pc from "picocolors";
import type { CellLabel, MeasuredMetric, StudyEvent } from "../common/progress.js";
import { variantName } from "../common/vocabulary.js";
import { count, duration, number, printable } from "./format.js";

/** Shows a running study. Feed it every event, and close it at the end, however the study ended. */
export interface ProgressView {
  show(event: StudyEvent): void;
  close(): void;
}

export interface ProgressViewOptions {
  /** A live line a running cell; otherwise one plain line an epoch. Default: whether `stream` is a terminal. */
  interactive?: boolean;
  /** Default: on a terminal, unless NO_COLOR is set. */
  colour?: boolean;
}

/** Redrawing more often than this costs time and shows nothing more, in milliseconds. */
const redrawInterval = 100;

/**
 * The progress of a study on `stream`: on a terminal one live line a running cell (task, model, comparator, epoch,
 * loss, metric, time left) under one line a finished cell; elsewhere one line an epoch.
 */
export function createProgressView(
  stream: Writable & { isTTY?: boolean },
  options: ProgressViewOptions = {},
): ProgressView {
  const interactive = options.interactive ?? (stream.isTTY === true && process.env.TERM !== "dumb");
  const colours = pc.createColors(options.colour ?? (interactive && !process.env.NO_COLOR));
  return interactive ? liveView(stream, colours) : plainView(stream);
}

type Colours = ReturnType<typeof pc.createColors>;

/** What both views say about a cell: its name, and the seed only where the plan has several. */
class CellNames {
  #severalSeeds = false;

  learn(cells: readonly CellLabel[]): void {
    this.#severalSeeds = new Set(cells.map((cell) => cell.seed)).size > 1;
  }

  of(cell: CellLabel): string {
    const { task, strategy, model } = cell;
    const words =
      task === null || strategy === null
        ? ["pretraining", model]
        : [variantName({ task, strategy }), model, cell.comparator];
    if (this.#severalSeeds) words.push(`seed ${cell.seed}`);
    return printable(words.filter((word) => word !== null).join(" · "));
  }
}

function plainView(stream: Writable): ProgressView {
  const names = new CellNames();
  const line = (text: string) => stream.write(`${text}\n`);
  const show = (event: StudyEvent): void => {
    switch (event.kind) {
      case "case":
        if (event.excluded !== null) line(exclusion(event));
        if (event.done === event.total) line(`${count(event.total, "case")} looked at`);
        return;
      case "plan":
        names.learn(event.cells);
        line(planned(event));
        return;
      case "cell-started":
        line(`${names.of(event.cell)}: started${startedAt(event)}`);
        return;
      case "epoch":
        line(`${names.of(event.cell)}: ${epochWords(event)}`);
        return;
      case "cell-done":
        line(`${names.of(event.cell)}: done in ${duration(event.seconds)}${metricWords(event.metric)}`);
        return;
      case "cell-failed":
        line(`${names.of(event.cell)}: FAILED: ${printable(event.reason)}`);
        return;
      case "study":
        line(studyWords(event));
    }
  };
  return { show, close: () => {} };
}

function liveView(stream: Writable, colours: Colours): ProgressView {
  const names = new CellNames();
  const live = createLogUpdate(stream as NodeJS.WritableStream);
  const running = new Map<string, { cell: CellLabel; words: string }>();
  let heading = "";
  let drawnAt = 0;

  const draw = (now = false): void => {
    if (!now && Date.now() - drawnAt < redrawInterval) return;
    drawnAt = Date.now();
    const width = Math.max(0, ...[...running.values()].map(({ cell }) => names.of(cell).length));
    const lines = [...running.values()].map(
      ({ cell, words }) => `${colours.cyan("▸")} ${names.of(cell).padEnd(width)}  ${colours.dim(words)}`,
    );
    live([...lines, ...(heading ? [colours.bold(heading)] : [])].join("\n"));
  };
  const keep = (text: string): void => {
    live.persist(text);
    draw(true);
  };

  const show = (event: StudyEvent): void => {
    switch (event.kind) {
      case "case":
        if (event.excluded !== null) keep(`${colours.yellow("!")} ${exclusion(event)}`);
        heading = `Preparing cases: ${event.done} of ${event.total}`;
        draw(event.done === event.total);
        return;
      case "plan":
        names.learn(event.cells);
        heading = planned(event);
        draw(true);
        return;
      case "cell-started":
        running.set(event.cell.id, { cell: event.cell, words: `started${startedAt(event)}` });
        draw(true);
        return;
      case "epoch":
        running.set(event.cell.id, { cell: event.cell, words: epochWords(event) });
        draw(event.epoch === event.epochs);
        return;
      case "cell-done":
        running.delete(event.cell.id);
        keep(
          `${colours.green("✔")} ${names.of(event.cell)}${metricWords(event.metric)}${colours.dim(`, ${duration(event.seconds)}`)}`,
        );
        return;
      case "cell-failed":
        running.delete(event.cell.id);
        keep(`${colours.red("✘")} ${names.of(event.cell)}: ${printable(event.reason)}`);
        return;
      case "study":
        heading = studyWords(event);
        draw(true);
        return;
    }
  };
  const close = (): void => {
    live.clear();
    live.done();
  };
  return { show, close };
}

type Of<Kind extends StudyEvent["kind"]> = Extract<StudyEvent, { kind: Kind }>;

const exclusion = (event: Of<"case">): string =>
  `case ${printable(event.case)} is left out: ${printable(event.excluded ?? "")}`;

const planned = ({ cells, alreadyDone }: Of<"plan">): string =>
  `${count(cells.length, "cell")}${alreadyDone > 0 ? `, of which ${alreadyDone} are done already` : ""}`;

const startedAt = ({ startEpoch, epochs }: Of<"cell-started">): string =>
  startEpoch > 0 ? `, goes on at epoch ${startEpoch + 1} of ${epochs}` : "";

function epochWords({ epoch, epochs, loss, metric, secondsLeft }: Of<"epoch">): string {
  return `epoch ${epoch} of ${epochs}, loss ${number(loss)}${metricWords(metric)}, ${duration(secondsLeft)} left`;
}

const metricWords = (metric: MeasuredMetric | null): string =>
  metric ? `, ${metric.name} ${metric.value === null ? "undefined" : number(metric.value)}` : "";

function studyWords({ done, failed, total, secondsLeft }: Of<"study">): string {
  const failures = failed > 0 ? `, ${failed} failed` : "";
  const left = secondsLeft !== null && done + failed < total ? `, about ${duration(secondsLeft)} left` : "";
  return `${done} of ${count(total, "cell")} done${failures}${left}`;
}
