import { type Comparator, comparators, isShared, type SharedComparator } from "../../common/vocabulary.js";
import type { GainReference } from "../../results/claims.js";
import type { Assets } from "../assets.js";
import type { CsvRow } from "../csv.js";
import { fixed, names, signed } from "../format.js";
import { type Html, html } from "../html.js";
import { comparatorLabel, comparatorMeaning, metricLabel, taskLabel } from "../labels.js";
import { type Summary, sharedModels, type TaskRow } from "../report-summary.js";
import { absent, type Column, type TableCell } from "../table.js";

const references: readonly GainReference[] = ["from-scratch", "random-weights", "specialised", "trivial"];
const shortReference: Record<GainReference, string> = {
  "from-scratch": "scratch",
  "random-weights": "random",
  pretrained: "pretrained",
  specialised: "special\u00adised",
  trivial: "trivial",
};

/** One table of everything: tasks down, comparators across, the metric with its spread, the gains beside it. */
export function everythingSection(summary: Summary, assets: Assets): Html {
  const severalSeeds = summary.seeds.length > 1;
  const columns: Column[] = [
    { label: "Task", kind: "text", wraps: true },
    { label: "Model", kind: "text", wideOnly: true, wraps: true },
    { label: "Metric", kind: "text", wideOnly: true, wraps: true },
    ...comparators.flatMap((comparator): Column[] => {
      const group = { label: comparatorLabel[comparator], class: comparator };
      // Nothing of it moves from seed to seed, and a wider table would not fit the page.
      if (comparator === "trivial") return [{ label: "mean", group, kind: "number" }];
      return [
        { label: "mean", group, kind: "number" },
        { label: "±\u00a0SD", group, kind: "spread" },
      ];
    }),
    ...references.map(
      (reference): Column => ({
        label: shortReference[reference],
        group: { label: "RPG over, %", class: "plain" },
        kind: "number",
      }),
    ),
  ];
  const rows = summary.rows.map((row): TableCell[] => [
    {
      shown: taskLabel(row),
      sort: taskLabel(row),
      narrow: html`${row.model}${row.metric === null ? null : html`, <span class="metric">${metricCell(row).shown}</span>`}`,
    },
    { shown: row.model },
    metricCell(row),
    ...comparators.flatMap((comparator) => {
      const cells = scoreCells(row, comparator, severalSeeds);
      return comparator === "trivial" ? cells.slice(0, 1) : cells;
    }),
    ...references.map((reference) => gainCell(row, reference)),
  ]);
  return html`<section id="results"><h2>Results</h2>
<p>Test metric of each comparator, mean and standard deviation over ${severalSeeds ? "seeds (that over test cases stands in each task’s table)" : "test cases"}; the best
of a row is bold. RPG is the relative performance gain of the fine-tuned model over a reference.${summary.rows.some(partial) ? " A star marks a mean over those seeds that are done." : null}</p>
${assets.table({
  name: "results",
  caption: "Test metric and gain, by task and model",
  columns,
  rows,
  csvColumns: csvColumns(),
  csvRows: summary.rows.map(csvRow),
})}
<details><summary>What the comparators are</summary><dl class="meanings">${comparators.map(
    (comparator) =>
      html`<div><dt class="swatch ${comparator}">${comparatorLabel[comparator]}</dt><dd>${comparatorMeaning[comparator]}${
        isShared(comparator) ? sharedNames(summary, comparator) : ""
      }</dd></div>`,
  )}</dl></details></section>`;
}

/** Whether a mean of a row is one of some of its seeds alone. */
const partial = ({ entries }: TaskRow): boolean =>
  comparators.some((name) => {
    const { score, cells } = entries[name];
    return score !== null && cells.length > score.seeds.length;
  });

function sharedNames(summary: Summary, comparator: SharedComparator): string {
  const all = [...new Set(summary.rows.flatMap((row) => sharedModels(row.entries[comparator])))];
  return all.length > 0 ? ` (here: ${names(all)})` : "";
}

function metricCell(row: TaskRow): TableCell {
  if (row.metric === null) return absent;
  const direction = `${row.higherIsBetter ? "higher" : "lower"} is better`;
  return {
    shown: html`${metricLabel(row.metric)} <span class="direction" role="img" aria-label="${direction}" title="${direction}">${row.higherIsBetter ? "↑" : "↓"}</span>`,
    sort: metricLabel(row.metric),
  };
}

function scoreCells(row: TaskRow, comparator: Comparator, severalSeeds: boolean): TableCell[] {
  const { score, status, cells } = row.entries[comparator];
  if (!score) {
    const reason = cells.find((cell) => cell.reason)?.reason;
    const word: TableCell =
      status === "absent"
        ? absent
        : {
            shown: status,
            sort: null,
            quiet: true,
            ...(reason === undefined ? {} : { note: reason.slice(0, 300) }),
          };
    return [word, { shown: "", sort: null }];
  }
  if (score.mean === null) {
    const word: TableCell = {
      shown: "undefined",
      sort: null,
      quiet: true,
      ...(score.reason === null ? {} : { note: `undefined on the test set: ${score.reason}` }),
    };
    return [word, { shown: "", sort: null }];
  }
  const several = cells.length > score.seeds.length;
  const spread = (value: number | null): TableCell =>
    value === null ? { shown: "", sort: null } : { shown: fixed(value, 3), sort: value };
  return [
    {
      shown: html`${fixed(score.mean, 3)}${several ? html`<sup>*</sup>` : null}`,
      sort: Number.isFinite(score.mean) ? score.mean : null,
      best: row.best !== null && fixed(score.mean, 3) === fixed(row.best, 3),
      ...(several ? { note: `${score.seeds.length} of ${cells.length} seeds done` } : {}),
    },
    spread(severalSeeds ? score.seedDeviation : score.caseDeviation),
  ];
}

function gainCell(row: TaskRow, reference: GainReference): TableCell {
  const claim = row.claims[reference];
  if (!claim) return absent;
  if (claim.percent) return { shown: signed(claim.percent.estimate, 1), sort: claim.percent.estimate };
  const why = claim.referenceValue > 0 ? "may be 0 for all that is known" : "is 0 or less";
  return { ...absent, note: `undefined: the reference ${why}` };
}

function csvColumns(): string[] {
  return [
    "task",
    "strategy",
    "model",
    "metric",
    "better",
    ...comparators.flatMap((comparator) => [
      `${comparator} mean`,
      `${comparator} SD over cases`,
      `${comparator} SD over seeds`,
      `${comparator} cases`,
      `${comparator} seeds`,
    ]),
    ...references.map((reference) => `RPG over ${reference} (%)`),
  ];
}

function csvRow(row: TaskRow): CsvRow {
  const result: CsvRow = {
    task: row.task,
    strategy: row.strategy,
    model: row.model,
    metric: row.metric,
    better: row.higherIsBetter ? "higher" : "lower",
  };
  for (const comparator of comparators) {
    const score = row.entries[comparator].score;
    result[`${comparator} mean`] = score?.mean ?? null;
    result[`${comparator} SD over cases`] = score?.caseDeviation ?? null;
    result[`${comparator} SD over seeds`] = score?.seedDeviation ?? null;
    result[`${comparator} cases`] = score?.testCases ?? null;
    result[`${comparator} seeds`] = score?.seeds.length ?? null;
  }
  for (const reference of references)
    result[`RPG over ${reference} (%)`] = row.claims[reference]?.percent?.estimate ?? null;
  return result;
}
