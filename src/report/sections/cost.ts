import { type Comparator, comparators } from "../../common/vocabulary.js";
import type { Score } from "../../results/scores.js";
import type { StudyResults } from "../../results/study.js";
import type { Assets } from "../assets.js";
import type { CsvRow } from "../csv.js";
import { duration, fixed, type TimeUnit, timeUnit } from "../format.js";
import { type Html, html } from "../html.js";
import { comparatorLabel, taskLabel } from "../labels.js";
import { whyNothing } from "../missing-work.js";
import type { Summary, TaskRow } from "../report-summary.js";
import { absent, type TableCell } from "../table.js";

/** What it cost: the paper's Table 1, and every cell's time, memory and pace. */
export function costSection(results: StudyResults, summary: Summary, assets: Assets): Html {
  const done = results.cells.flatMap((cell) => cell.result ?? []);
  if (done.length === 0) {
    return html`<section id="cost"><h2>Cost</h2><p>${whyNothing(results.cells).status === "failed" ? "Every cell failed." : "No cell is done yet."}</p></section>`;
  }
  // What takes no network works on the CPU, whatever the study's device is.
  const networks = done.filter(({ comparator }) => comparator !== "trivial");
  const devices = [...new Set(networks.map((cell) => cell.cost.device))];
  return html`<section id="cost"><h2>Cost</h2>
<p>${timeTaken(results, summary)}</p>
${ratioTable(summary, assets, devices)}
${cellTable(results, summary, assets)}
<p class="quiet">Converged: the first epoch whose validation metric lies within 1 % of the cell’s best. Device time is
the time during which the device worked for the cell${devices.some((device) => device.startsWith("cuda")) ? ", on a GPU by events on the device itself" : ""}.</p></section>`;
}

/** How long the study took, and what its cells took: not the same where they ran side by side. */
export function timeTaken(
  results: StudyResults,
  { cost: { sessions, totals } }: Pick<Summary, "cost">,
): string {
  const cells = results.cells.flatMap(({ result }) => result ?? []);
  const costs = [...cells, ...results.pretraining].flatMap(({ cost }) => cost ?? []);
  const devices = [...new Set(costs.map(({ device }) => device))].join(", ");
  const threads = [...new Set(costs.map(({ threads: number }) => number))];
  const added =
    `the times of its cells and of pretraining add up to ${duration(totals.cellSeconds)} on ${devices}, ` +
    `with ${threads.join(" or ")} ${threads.length === 1 && threads[0] === 1 ? "thread" : "threads"} a cell`;
  if (totals.jobs === null)
    return `${added.replace("the times of its", "The times of the")}. How long the study itself took was not recorded.`;
  const parts = sessions.length > 1 ? `, in ${sessions.length} sessions` : "";
  const beside =
    totals.jobs > 1 ? ` Up to ${totals.jobs} cells ran side by side, so the times of cells overlap.` : "";
  return `The study took ${duration(totals.sessionSeconds)} of wall time${parts}, preparation and failed cells included; ${added}.${beside}`;
}

function ratioTable(summary: Summary, assets: Assets, devices: string[]): Html | null {
  const rows = summary.rows.flatMap((row) => {
    const fineTuned = deviceSeconds(row, "fine-tuned");
    const scratch = deviceSeconds(row, "from-scratch");
    const trivial = deviceSeconds(row, "trivial");
    return fineTuned === null && scratch === null ? [] : [{ row, fineTuned, scratch, trivial }];
  });
  if (rows.length === 0) return null;
  const unit = timeUnit(rows.flatMap(({ fineTuned, scratch }) => [fineTuned ?? 0, scratch ?? 0]));
  const withTrivial = rows.some(({ trivial }) => trivial !== null);
  const hours = devices.every((device) => device.startsWith("cuda")) ? "GPU time" : "Device time";
  return assets.table({
    name: "table-1",
    caption: `${hours} of fine-tuning and of training from scratch, in ${unit.name} (Table 1 of the paper)`,
    columns: [
      { label: "Task", kind: "text" },
      { label: "Model", kind: "text", wideOnly: true },
      { label: `Fine-tuned, ${unit.short}`, kind: "number" },
      { label: `From scratch, ${unit.short}`, kind: "number" },
      { label: "Ratio", kind: "number" },
      ...(withTrivial ? [{ label: `Trivial (CPU), ${unit.short}`, kind: "number" as const }] : []),
    ],
    rows: rows.map(({ row, fineTuned, scratch, trivial }): TableCell[] => [
      { shown: taskLabel(row), narrow: html`${row.model}` },
      { shown: row.model },
      time(fineTuned, unit),
      time(scratch, unit),
      number(ratioOf(row), 2),
      ...(withTrivial ? [time(trivial, unit)] : []),
    ]),
    csvColumns: ["task", "strategy", "model", "fine-tuned (s)", "from-scratch (s)", "ratio", "trivial (s)"],
    csvRows: rows.map(({ row, fineTuned, scratch, trivial }) => ({
      task: row.task,
      strategy: row.strategy,
      model: row.model,
      "fine-tuned (s)": fineTuned,
      "from-scratch (s)": scratch,
      ratio: ratioOf(row),
      "trivial (s)": trivial,
    })),
  });
}

const deviceSeconds = (row: TaskRow, comparator: Comparator): number | null =>
  row.entries[comparator].score?.cost.deviceSeconds ?? null;

const ratioOf = (row: TaskRow): number | null =>
  row.entries["fine-tuned"].score?.cost.overFromScratch ?? null;

interface CellCost {
  task: string;
  strategy: string;
  model: string;
  comparator: string;
  shownTask: string;
  shownComparator: Comparator | null;
  wall: number;
  device: number;
  memory: number;
  pace: number | null;
  convergedEpoch: number | null;
  convergedSeconds: number | null;
  parameters: number | null;
  trainable: number | null;
  seeds: number;
}

function cellTable(results: StudyResults, summary: Summary, assets: Assets): Html {
  const { scores, cost: took } = summary;
  const costs = [
    ...scores.map(cellCost).sort(inOrder(summary)),
    ...pretrainingCosts(results, took.totals.pretrainingEpochsPerSecond),
  ];
  const unit = timeUnit(costs.map((cost) => cost.wall));
  const converged = { label: "Converged at", class: "plain" };
  const parameters = { label: "Parameters, millions", class: "plain" };
  const trainUnit = timeUnit(costs.map((cost) => cost.convergedSeconds ?? 0));
  return assets.table({
    name: "cost",
    caption: `Cost of every cell${summary.seeds.length > 1 ? ", averaged over seeds" : ""}`,
    columns: [
      { label: "Task", kind: "text" },
      { label: "Model", kind: "text", wideOnly: true },
      { label: "Comparator", kind: "text", wideOnly: true },
      { label: `Wall, ${unit.short}`, kind: "number" },
      { label: `Device, ${unit.short}`, kind: "number" },
      { label: "Epochs/s", kind: "number" },
      { label: "MiB", group: { label: "Peak memory", class: "plain" }, kind: "number" },
      { label: "epoch", group: converged, kind: "number" },
      { label: trainUnit.short, group: converged, kind: "number" },
      { label: "all", group: parameters, kind: "number" },
      { label: "trained", group: parameters, kind: "number" },
    ],
    rows: costs.map((cost): TableCell[] => [
      {
        shown: cost.shownTask,
        narrow: html`${cost.model}${cost.shownComparator ? `, ${comparatorLabel[cost.shownComparator].toLowerCase()}` : null}`,
      },
      { shown: cost.model },
      cost.shownComparator
        ? {
            shown: html`<span class="swatch ${cost.shownComparator}">${comparatorLabel[cost.shownComparator]}</span>`,
            sort: cost.shownComparator,
          }
        : { shown: cost.comparator },
      time(cost.wall, unit),
      time(cost.device, unit),
      number(cost.pace, 2),
      number(cost.memory / 2 ** 20, 0),
      number(cost.convergedEpoch, 0),
      time(cost.convergedSeconds, trainUnit),
      number(cost.parameters === null ? null : cost.parameters / 1e6, 2),
      number(cost.trainable === null ? null : cost.trainable / 1e6, 2),
    ]),
    csvColumns: [
      "task",
      "strategy",
      "model",
      "comparator",
      "seeds",
      "wall (s)",
      "device (s)",
      "peak memory (bytes)",
      "epochs a second",
      "converged epoch",
      "converged (s)",
      "parameters",
      "trainable parameters",
    ],
    csvRows: costs.map(
      (cost): CsvRow => ({
        task: cost.task,
        strategy: cost.strategy,
        model: cost.model,
        comparator: cost.comparator,
        seeds: cost.seeds,
        "wall (s)": cost.wall,
        "device (s)": cost.device,
        "peak memory (bytes)": cost.memory,
        "epochs a second": cost.pace,
        "converged epoch": cost.convergedEpoch,
        "converged (s)": cost.convergedSeconds,
        parameters: cost.parameters,
        "trainable parameters": cost.trainable,
      }),
    ),
  });
}

function cellCost(score: Score): CellCost {
  const { task, strategy, model, comparator, network, cost } = score;
  return {
    ...{ task, strategy, model, comparator },
    shownTask: taskLabel(score),
    shownComparator: comparator,
    wall: cost.wallSeconds,
    device: cost.deviceSeconds,
    memory: cost.peakMemoryBytes,
    pace: cost.epochsPerSecond,
    convergedEpoch: score.convergedEpoch,
    convergedSeconds: cost.convergedSeconds,
    parameters: network.parameters,
    trainable: network.trainable,
    seeds: score.seeds.length,
  };
}

function pretrainingCosts({ pretraining }: StudyResults, paces: readonly (number | null)[]): CellCost[] {
  return pretraining.flatMap(({ model, cost }, index) =>
    cost
      ? [
          {
            ...{ task: "pretraining", strategy: "", model, comparator: "" },
            shownTask: "Pretraining",
            shownComparator: null,
            wall: cost.wallSeconds,
            device: cost.deviceSeconds,
            memory: cost.peakMemoryBytes,
            pace: paces[index] ?? null,
            convergedEpoch: null,
            convergedSeconds: null,
            parameters: null,
            trainable: null,
            seeds: 1,
          },
        ]
      : [],
  );
}

/** In the order of the table of everything: by task, comparator and model. */
function inOrder({ tasks, models }: Summary): (a: CellCost, b: CellCost) => number {
  const taskPlace = new Map(tasks.map((variant, index) => [taskLabel(variant), index]));
  const modelPlace = new Map(models.map((model, index) => [model, index]));
  const placeOf = (cost: CellCost) => [
    taskPlace.get(cost.shownTask) ?? tasks.length,
    cost.shownComparator ? comparators.indexOf(cost.shownComparator) : comparators.length,
    modelPlace.get(cost.model) ?? models.length,
  ];
  return (a, b) => {
    const [one, other] = [placeOf(a), placeOf(b)];
    const differs = one.findIndex((place, index) => place !== other[index]);
    return differs < 0 ? 0 : (one[differs] as number) - (other[differs] as number);
  };
}

function number(value: number | null, digits: number): TableCell {
  return value === null || !Number.isFinite(value) ? absent : { shown: fixed(value, digits), sort: value };
}

function time(seconds: number | null, unit: TimeUnit): TableCell {
  if (seconds === null || !Number.isFinite(seconds)) return absent;
  const value = seconds / unit.seconds;
  return { shown: fixed(value, unit.short === "h" ? 2 : 1), sort: value };
}
