import { groupBy } from "../../common/group-by.js";
import { type Comparator, comparators, type TaskKind } from "../../common/vocabulary.js";
import type { CellResult } from "../../results/cell.js";
import type { StudyResults } from "../../results/study.js";
import { average, largest } from "../../statistics/means.js";
import type { Assets } from "../assets.js";
import type { CsvRow } from "../csv.js";
import { convergence } from "../figures/curves.js";
import { duration, fixed, type TimeUnit, timeUnit } from "../format.js";
import { type Html, html } from "../html.js";
import { comparatorLabel, taskLabel } from "../labels.js";
import { whyNothing } from "../missing-work.js";
import type { Summary, TaskRow } from "../summary.js";
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
<p>${timeTaken(results, done)}</p>
${ratioTable(summary, assets, devices)}
${cellTable(results, summary, assets)}
<p class="quiet">Converged: the first epoch whose validation metric lies within 1 % of the cell’s best. Device time is
the time during which the device worked for the cell${devices.some((device) => device.startsWith("cuda")) ? ", on a GPU by events on the device itself" : ""}.</p></section>`;
}

/** How long the study took, and what its cells took: not the same where they ran side by side. */
export function timeTaken(results: StudyResults, done: readonly CellResult[]): string {
  const costs = [...done, ...results.pretraining].flatMap(({ cost }) => cost ?? []);
  const added = duration(costs.reduce((sum, { wallSeconds }) => sum + (wallSeconds || 0), 0));
  const devices = [...new Set(costs.map(({ device }) => device))].join(", ");
  const threads = [...new Set(costs.map(({ threads: number }) => number))];
  const cells =
    `the times of its cells and of pretraining add up to ${added} on ${devices}, ` +
    `with ${threads.join(" or ")} ${threads.length === 1 && threads[0] === 1 ? "thread" : "threads"} a cell`;
  const sessions = results.cost?.sessions ?? [];
  if (sessions.length === 0)
    return `${cells.replace("the times of its", "The times of the")}. How long the study itself took was not recorded.`;
  const jobs = largest(sessions.map((session) => session.jobs));
  const wall = duration(sessions.reduce((sum, { seconds }) => sum + (seconds || 0), 0));
  const parts = sessions.length > 1 ? `, in ${sessions.length} sessions` : "";
  const beside = jobs > 1 ? ` Up to ${jobs} cells ran side by side, so the times of cells overlap.` : "";
  return `The study took ${wall} of wall time${parts}, preparation and failed cells included; ${cells}.${beside}`;
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
      fineTuned === null || scratch === null || scratch === 0
        ? absent
        : { shown: fixed(fineTuned / scratch, 2), sort: fineTuned / scratch },
      ...(withTrivial ? [time(trivial, unit)] : []),
    ]),
    csvColumns: ["task", "strategy", "model", "fine-tuned (s)", "from-scratch (s)", "ratio", "trivial (s)"],
    csvRows: rows.map(({ row, fineTuned, scratch, trivial }) => ({
      task: row.task,
      strategy: row.strategy,
      model: row.model,
      "fine-tuned (s)": fineTuned,
      "from-scratch (s)": scratch,
      ratio: fineTuned === null || scratch === null ? null : fineTuned / scratch,
      "trivial (s)": trivial,
    })),
  });
}

function deviceSeconds(row: TaskRow, comparator: Comparator): number | null {
  const values = row.entries[comparator].cells.flatMap((cell) => cell.result?.cost.deviceSeconds ?? []);
  return values.length === 0 ? null : average(values);
}

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
  const groups = groupBy(
    results.cells.flatMap(({ result }) => result ?? []),
    ({ task, strategy, model, comparator }) => JSON.stringify([task, strategy, model, comparator]),
  );
  const higher = new Map(summary.rows.map((row) => [row.task, row.higherIsBetter]));
  const costs = [
    ...[...groups.values()].map((cells) => cellCost(cells, higher)).sort(inOrder(summary)),
    ...pretrainingCosts(results),
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

function cellCost(cells: CellResult[], higherOf: ReadonlyMap<TaskKind, boolean>): CellCost {
  const first = cells[0] as CellResult;
  const higher = higherOf.get(first.task) ?? true;
  const converged = cells.flatMap((cell) => convergence(cell, higher) ?? []);
  return {
    task: first.task,
    strategy: first.strategy,
    model: first.model,
    comparator: first.comparator,
    shownTask: taskLabel(first),
    shownComparator: first.comparator,
    wall: average(cells.map((cell) => cell.cost.wallSeconds)),
    device: average(cells.map((cell) => cell.cost.deviceSeconds)),
    memory: largest(cells.map((cell) => cell.cost.peakMemoryBytes)),
    pace: pace(cells.flatMap((cell) => cell.cost.epochSeconds)),
    convergedEpoch: meanOrNull(converged.map((one) => one.epoch)),
    convergedSeconds: meanOrNull(converged.flatMap((one) => one.seconds ?? [])),
    parameters: first.network.parameters,
    trainable: first.network.trainable,
    seeds: cells.length,
  };
}

function pretrainingCosts(results: StudyResults): CellCost[] {
  return results.pretraining.flatMap(({ model, cost }) =>
    cost
      ? [
          {
            task: "pretraining",
            strategy: "",
            model,
            comparator: "",
            shownTask: "Pretraining",
            shownComparator: null,
            wall: cost.wallSeconds,
            device: cost.deviceSeconds,
            memory: cost.peakMemoryBytes,
            pace: pace(cost.epochSeconds),
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

function pace(epochSeconds: number[]): number | null {
  const known = epochSeconds.filter((seconds) => seconds > 0);
  return known.length === 0 ? null : 1 / average(known);
}

const meanOrNull = (values: number[]) => (values.length === 0 ? null : average(values));

function number(value: number | null, digits: number): TableCell {
  return value === null || !Number.isFinite(value) ? absent : { shown: fixed(value, digits), sort: value };
}

function time(seconds: number | null, unit: TimeUnit): TableCell {
  if (seconds === null || !Number.isFinite(seconds)) return absent;
  const value = seconds / unit.seconds;
  return { shown: fixed(value, unit.short === "h" ? 2 : 1), sort: value };
}
