#!/usr/bin/env node
// Compares what the time model says of the cells of a finished study with what they took, cell by cell.
//
//   node scripts/time-model.mjs STUDY [--by processor|device|wall] [--write]
//
// The rates are those that `plan` measured of this machine: run it where the study ran. `processor` (default) takes the
// seconds of processor time, which other programs on the machine hardly change, of cells with one thread; `device` the
// seconds during which native work was under way. `--write` puts the table into docs/performance.md, where a comment
// `<!-- time model: NAME -->` says that the study of this name has its place.
import { readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { readStudyFolder } from "../dist/results/read-study.js";
import { loadChecked } from "../dist/study/plan/load-study.js";
import { ratesFor } from "../dist/study/plan/time-calibration.js";
import { timesOf } from "../dist/study/plan/time-model.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { by: { type: "string", default: "processor" }, write: { type: "boolean", default: false } },
});
const [path] = positionals;
const fields = { processor: "processorSeconds", device: "deviceSeconds", wall: "wallSeconds" };
const field = fields[values.by];
if (path === undefined || field === undefined) {
  console.error("usage: node scripts/time-model.mjs STUDY [--by processor|device|wall] [--write]");
  process.exit(2);
}

const checked = await loadChecked(path);
const { study } = checked;
const rates = await ratesFor(study);
const times = timesOf(checked, rates);
const { results } = await readStudyFolder(study.execution.output);
const costs = new Map([
  ...results.cells.flatMap(({ id, result }) => (result ? [[id, result.cost]] : [])),
  ...(results.pretraining ?? []).flatMap((one) => (one.cost ? [[one.id, one.cost]] : [])),
]);

const rows = [];
for (const cell of checked.plan.cells) {
  const cost = costs.get(cell.id);
  const time = times.get(cell.id);
  const measured = cost?.[field];
  if (cell.network === null || !(measured > 0)) continue;
  // What a cell's cost holds begins when its process works.
  rows.push({ id: cell.id, predicted: time.seconds - time.parts.start, measured, binds: time.binds });
}
if (rows.length === 0) {
  console.error(`no cell of ${study.execution.output} has ${field}`);
  process.exit(1);
}

const sum = (of) => rows.reduce((total, row) => total + of(row), 0);
const logs = rows.map(({ predicted, measured }) => Math.log(predicted / measured));
const mean = logs.reduce((total, one) => total + one, 0) / logs.length;
const spread = Math.exp(Math.sqrt(logs.reduce((total, one) => total + (one - mean) ** 2, 0) / logs.length));
const within = rows.filter(({ predicted, measured }) => Math.abs(predicted / measured - 1) <= 0.25).length;
const seconds = (value) => value.toPrecision(3);
const [predicted, measured] = [sum((row) => row.predicted), sum((row) => row.measured)];
const lines = [
  `${rows.length} cells of the study ${study.name} on ${cpus()[0]?.model.trim()} (${rates.device}), seconds by ${values.by}:`,
  "",
  "| cell | predicted, s | measured, s | ratio | bound by |",
  "| --- | ---: | ---: | ---: | --- |",
  ...rows.map(
    (row) =>
      `| \`${row.id}\` | ${seconds(row.predicted)} | ${seconds(row.measured)} | ${(row.predicted / row.measured).toFixed(2)} | ${row.binds} |`,
  ),
  `| all | ${seconds(predicted)} | ${seconds(measured)} | ${(predicted / measured).toFixed(2)} | |`,
  "",
  `Cells scatter by a factor of ${spread.toFixed(2)} (one standard deviation of the ratio's logarithm); ${within} of ${rows.length} are within 25 %.`,
];
console.log(lines.join("\n"));

if (values.write) {
  const page = new URL("../docs/performance.md", import.meta.url);
  const text = await readFile(page, "utf8");
  const [begin, end] = [`<!-- time model: ${study.name} -->`, `<!-- end of time model: ${study.name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from === -1 || to === -1) throw new Error(`docs/performance.md has no ${begin}`);
  await writeFile(page, `${text.slice(0, from + begin.length)}\n${lines.join("\n")}\n${text.slice(to)}`);
}
