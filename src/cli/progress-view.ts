import { basename, dirname } from "node:path";
import type { Writable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { createLogUpdate } from "log-update";
import pc from "picocolors";
import type { CellLabel, MeasuredMetric, StudyEvent } from "../common/progress.js";
import { wordsOfDamage } from "../common/set-aside.js";
import { variantName } from "../tasks/index.js";
import { count, duration, number, printable } from "./format.js";
import { isLive, quietInterval } from "./terminal.js";

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
  stream: Writable & { isTTY?: boolean; columns?: number },
  options: ProgressViewOptions = {},
): ProgressView {
  const interactive = options.interactive ?? isLive(stream);
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
    if (cell.patients !== undefined)
      words.push(cell.patients < 1 ? `${cell.patients} of the patients` : count(cell.patients, "patient"));
    return printable(words.filter((word) => word !== null).join(" · "));
  }
}

function plainView(stream: Writable): ProgressView {
  const names = new CellNames();
  const running = new RunningCells();
  let preparing = "";
  let saidAt = Date.now();
  const line = (text: string) => {
    saidAt = Date.now();
    stream.write(`${text}\n`);
  };
  const whatGoesOn = (): string =>
    preparing || `${count(running.size, "cell")} running${leftWords(running.secondsLeft())}`;
  const timer = setInterval(() => {
    if (Date.now() - saidAt >= quietInterval) line(whatGoesOn());
  }, quietInterval / 6);
  timer.unref();
  const show = (event: StudyEvent): void => {
    running.see(event);
    switch (event.kind) {
      case "case":
        if (event.excluded !== null) line(exclusion(event));
        preparing = event.done === event.total ? "" : preparingWords(event);
        if (event.done === event.total)
          line(`${count(event.total, "case")} of ${cohortName(event.cohort)} looked at`);
        return;
      case "prepared":
        for (const note of event.notes) line(printable(note));
        return;
      case "encoder-checked":
        for (const flag of event.flags) line(`warning: ${printable(flag)}`);
        return;
      case "plan":
        names.learn(event.cells);
        preparing = "";
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
      case "set-aside":
        line(setAsideWords(event));
        return;
      case "cell-moved-away":
      case "cell-moved-back":
        line(movedWords(event));
        return;
      case "cell-failed":
        line(`${names.of(event.cell)}: FAILED: ${printable(event.reason)}`);
        return;
      case "cell-retried":
        line(`${names.of(event.cell)}: ${retriedWords(event)}`);
        return;
      case "cell-elsewhere":
        line(`${names.of(event.cell)}: ${elsewhereWords(event)}`);
        return;
      case "study":
        line(studyWords(event, running.secondsLeft()));
    }
  };
  return { show, close: () => clearInterval(timer) };
}

/** Text of at most `width` columns, the end of it replaced by an ellipsis; colours are kept. */
function cut(text: string, width: number): string {
  if (stripVTControlCharacters(text).length <= width) return text;
  let left = Math.max(0, width - 1);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: sequences that colour text begin with one
  const kept = text.replace(/(\u001b\[[\d;]*m)|[^\u001b]/gu, (part, colour: string | undefined) =>
    colour !== undefined ? part : left-- > 0 ? part : "",
  );
  return `${kept}…`;
}

function liveView(stream: Writable & { columns?: number }, colours: Colours): ProgressView {
  const names = new CellNames();
  const live = createLogUpdate(stream as NodeJS.WritableStream);
  const running = new Map<string, { cell: CellLabel; words: string }>();
  const times = new RunningCells();
  let heading = (): string => "";
  let drawnAt = 0;

  const draw = (now = false): void => {
    if (!now && Date.now() - drawnAt < redrawInterval) return;
    drawnAt = Date.now();
    const width = Math.max(0, ...[...running.values()].map(({ cell }) => names.of(cell).length));
    const lines = [...running.values()].map(
      ({ cell, words }) => `${colours.cyan("▸")} ${names.of(cell).padEnd(width)}  ${colours.dim(words)}`,
    );
    const bottom = heading();
    const columns = stream.columns ?? 80;
    live(
      [...lines, ...(bottom ? [colours.bold(bottom)] : [])].map((line) => cut(line, columns - 1)).join("\n"),
    );
  };
  const keep = (text: string): void => {
    live.persist(text);
    draw(true);
  };

  const show = (event: StudyEvent): void => {
    times.see(event);
    switch (event.kind) {
      case "case":
        if (event.excluded !== null) keep(`${colours.yellow("!")} ${exclusion(event)}`);
        heading = () => preparingWords(event);
        draw(event.done === event.total);
        return;
      case "prepared":
        for (const note of event.notes) keep(`${colours.yellow("!")} ${printable(note)}`);
        return;
      case "encoder-checked":
        for (const flag of event.flags) keep(`${colours.yellow("!")} ${printable(flag)}`);
        return;
      case "plan":
        names.learn(event.cells);
        heading = () => planned(event);
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
      case "cell-retried":
        keep(`${colours.yellow("!")} ${names.of(event.cell)}: ${retriedWords(event)}`);
        return;
      case "cell-elsewhere":
        running.delete(event.cell.id);
        keep(`${colours.dim("…")} ${names.of(event.cell)}: ${elsewhereWords(event)}`);
        return;
      case "set-aside":
        keep(`${colours.yellow("!")} ${setAsideWords(event)}`);
        return;
      case "cell-moved-away":
      case "cell-moved-back":
        keep(`${colours.dim("…")} ${movedWords(event)}`);
        return;
      case "study":
        heading = () => studyWords(event, times.secondsLeft());
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

/** How long the study takes from now on, by what it and its running cells said last and when. */
class RunningCells {
  readonly #cells = new Map<string, { secondsLeft: number | null; at: number }>();
  #study: { secondsLeft: number; at: number } | null = null;

  see(event: StudyEvent): void {
    const at = Date.now() / 1000;
    if (event.kind === "cell-started") this.#cells.set(event.cell.id, { secondsLeft: null, at });
    else if (event.kind === "epoch") this.#cells.set(event.cell.id, { secondsLeft: event.secondsLeft, at });
    else if (event.kind === "cell-done" || event.kind === "cell-failed" || event.kind === "cell-elsewhere")
      this.#cells.delete(event.cell.id);
    else if (event.kind === "study")
      this.#study = event.secondsLeft === null ? null : { secondsLeft: event.secondsLeft, at };
  }

  get size(): number {
    return this.#cells.size;
  }

  /** Never below the longest running cell's; null where the study has not said anything yet. */
  secondsLeft(): number | null {
    if (this.#study === null) return null;
    const now = Date.now() / 1000;
    const said = [this.#study, ...this.#cells.values()];
    return Math.max(0, ...said.map(({ secondsLeft, at }) => (secondsLeft ?? 0) - (now - at)));
  }
}

const cohortName = (manifest: string): string =>
  printable([basename(dirname(manifest)), basename(manifest)].filter((part) => part !== "").join("/"));

const preparingWords = ({ cohort, done, total }: Of<"case">): string =>
  `Preparing cases of ${cohortName(cohort)}: ${done} of ${total}`;

const leftWords = (seconds: number | null): string =>
  seconds === null ? "" : `, about ${duration(seconds)} left`;

type Of<Kind extends StudyEvent["kind"]> = Extract<StudyEvent, { kind: Kind }>;

const exclusion = (event: Of<"case">): string =>
  `case ${printable(event.case)} is left out: ${printable(event.excluded ?? "")}`;

const setAsideWords = (event: Of<"set-aside">): string => printable(wordsOfDamage(event));

const movedWords = (event: Of<"cell-moved-away"> | Of<"cell-moved-back">): string =>
  event.kind === "cell-moved-back"
    ? `${printable(event.id)}: moved back, as the study asks for it again`
    : `${printable(event.id)}: no longer belongs to the study (${printable(event.reason)}), moved to ${printable(event.keptAs)}`;

const retriedWords = ({ reason, microBatch }: Of<"cell-retried">): string =>
  `tried once more, ${count(microBatch, "case")} at a time: ${printable(reason)}`;

const elsewhereWords = ({ holder }: Of<"cell-elsewhere">): string =>
  `${printable(holder)} works on it; its result is picked up from the folder`;

const planned = ({ cells, alreadyDone }: Of<"plan">): string =>
  `${count(cells.length, "cell")}${alreadyDone > 0 ? `, of which ${alreadyDone} are done already` : ""}`;

const startedAt = ({ startEpoch, epochs }: Of<"cell-started">): string =>
  startEpoch >= epochs && epochs > 0
    ? ", trained already"
    : startEpoch > 0
      ? `, goes on at epoch ${startEpoch + 1} of ${epochs}`
      : "";

function epochWords({ epoch, epochs, loss, metric, secondsLeft }: Of<"epoch">): string {
  return `epoch ${epoch} of ${epochs}, loss ${number(loss)}${metricWords(metric)}, ${duration(secondsLeft)} left`;
}

const metricWords = (metric: MeasuredMetric | null): string =>
  metric ? `, ${metric.name} ${metric.value === null ? "undefined" : number(metric.value)}` : "";

function studyWords({ done, failed, total }: Of<"study">, secondsLeft: number | null): string {
  const failures = failed > 0 ? `, ${failed} failed` : "";
  const left = done + failed < total ? leftWords(secondsLeft) : "";
  return `${done} of ${count(total, "cell")} done${failures}${left}`;
}
