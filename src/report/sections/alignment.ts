import type { Distance, StudyResults } from "../../study/results.js";
import type { Assets } from "../assets.js";
import { fixed, names } from "../format.js";
import { type Html, html } from "../html.js";
import { distanceMeaning, taskLabel } from "../labels.js";
import { average } from "../means.js";
import { whyNothing } from "../missing-work.js";
import { distanceNames, type Summary } from "../summary.js";
import { absent, type TableCell } from "../table.js";

/** How far the representation moved, with what tells whether the number means anything. */
export function alignmentSection(results: StudyResults, summary: Summary, assets: Assets): Html {
  const all = summary.rows.flatMap((row) =>
    distanceNames.flatMap((name) => {
      const distance = row.distances[name];
      return distance ? [{ row, distance }] : [];
    }),
  );
  const explained = html`<p>Squared maximum mean discrepancy (MMD²) between encoder embeddings of the test set:
${distanceNames.map((name, index) => html`${index > 0 ? "; " : null}<strong>${name}</strong>, ${distanceMeaning[name]}`)}.</p>`;
  const undefinedOnes = results.distances.filter(({ reason }) => reason !== undefined);
  if (all.length === 0 && undefinedOnes.length > 0) {
    return html`<section id="alignment"><h2>Alignment</h2>${explained}
<p>No distance is defined.</p>${warnings(undefinedOnes)}</section>`;
  }
  if (all.length === 0) {
    return html`<section id="alignment"><h2>Alignment</h2>${explained}
<p>${whyNothing(results.cells).status === "failed" || results.complete ? "No distance could be computed" : "No distance can be computed yet"}: each needs the embeddings of two cells.</p></section>`;
  }
  const sigmas = [
    ...new Set(all.flatMap(({ distance }) => distance.bySeed.flatMap((one) => one.paper.sigma ?? []))),
  ];
  const paper = { label: `Paper’s kernel, σ = ${sigmas.join(", ")}`, class: "plain" };
  const heuristic = { label: "Median heuristic", class: "plain" };
  const several = { label: "Five bandwidths", class: "plain" };
  return html`<section id="alignment"><h2>Alignment</h2>${explained}
${assets.table({
  name: "distances",
  caption: `Distances between representations${summary.seeds.length > 1 ? ", averaged over seeds" : ""}`,
  columns: [
    { label: "Task", kind: "text" },
    { label: "Model", kind: "text", wideOnly: true },
    { label: "Distance", kind: "text", wideOnly: true },
    { label: "Cases", kind: "number" },
    { label: "biased", group: paper, kind: "number" },
    { label: "unbiased", group: paper, kind: "number" },
    { label: "off-diagonal", group: paper, kind: "number" },
    { label: "saturated", group: paper, kind: "text" },
    { label: "σ", group: heuristic, kind: "number" },
    { label: "biased", group: heuristic, kind: "number" },
    { label: "unbiased", group: heuristic, kind: "number" },
    { label: "biased", group: several, kind: "number" },
    { label: "unbiased", group: several, kind: "number" },
  ],
  rows: all.map(({ row, distance: { name, bySeed } }): TableCell[] => [
    { shown: taskLabel(row), narrow: html`${row.model}, ${name}` },
    { shown: row.model },
    { shown: name },
    value(bySeed, (one) => one.rows, 0),
    value(bySeed, (one) => one.paper.biased),
    value(bySeed, (one) => one.paper.unbiased),
    value(bySeed, (one) => one.paper.offDiagonalMean),
    saturation(bySeed),
    value(bySeed, (one) => one.medianHeuristic.sigma, 2),
    value(bySeed, (one) => one.medianHeuristic.biased),
    value(bySeed, (one) => one.medianHeuristic.unbiased),
    value(bySeed, (one) => one.multiBandwidth.biased),
    value(bySeed, (one) => one.multiBandwidth.unbiased),
  ]),
  csvColumns: csvColumns,
  csvRows: all.flatMap(({ distance: { bySeed } }) => bySeed.map(csvRow)),
})}
<p class="quiet">The off-diagonal mean is the kernel’s mean over pairs of different cases. Near 0 or near 1, every pair
looks alike to the kernel, and MMD² depends on the number of cases alone. The unbiased estimate may fall below 0.</p>
${warnings([
  ...all.flatMap(({ distance }) => distance.bySeed.filter(({ reason }) => reason === undefined)),
  ...undefinedOnes,
])}</section>`;
}

function value(bySeed: readonly Distance[], of: (one: Distance) => number | null, digits = 4): TableCell {
  const values = bySeed.flatMap((one) => of(one) ?? []).filter(Number.isFinite);
  if (values.length === 0) return absent;
  const mean = average(values);
  return { shown: fixed(mean, digits), sort: mean };
}

function saturation(bySeed: readonly Distance[]): TableCell {
  const number = bySeed.filter((one) => one.paper.saturated).length;
  if (number === 0) return { shown: "no" };
  return {
    shown: html`<strong class="warn">${number === bySeed.length ? "yes" : `${number} of ${bySeed.length}`}</strong>`,
    sort: "yes",
  };
}

function warnings(distances: readonly Distance[]): Html | null {
  const byText = new Map<string, Set<string>>();
  for (const { warning, name, task, strategy, model } of distances) {
    if (warning === null) continue;
    const where = byText.get(warning) ?? new Set();
    byText.set(warning, where.add(`${taskLabel({ task, strategy })}: ${model}, ${name}`));
  }
  if (byText.size === 0) return null;
  return html`<ul class="warnings">${[...byText].map(
    ([text, where]) => html`<li><strong>${names([...where])}:</strong> ${text}</li>`,
  )}</ul>`;
}

const csvColumns = [
  "task",
  "strategy",
  "model",
  "seed",
  "distance",
  "rows",
  "features",
  "sigma",
  "biased",
  "unbiased",
  "off-diagonal mean",
  "saturated",
  "median sigma",
  "median biased",
  "median unbiased",
  "median off-diagonal mean",
  "multi-bandwidth biased",
  "multi-bandwidth unbiased",
  "warning",
];

function csvRow(one: Distance) {
  return {
    task: one.task,
    strategy: one.strategy,
    model: one.model,
    seed: one.seed,
    distance: one.name,
    rows: one.rows,
    features: one.features,
    sigma: one.paper.sigma,
    biased: one.paper.biased,
    unbiased: one.paper.unbiased,
    "off-diagonal mean": one.paper.offDiagonalMean,
    saturated: one.paper.saturated ? "yes" : "no",
    "median sigma": one.medianHeuristic.sigma,
    "median biased": one.medianHeuristic.biased,
    "median unbiased": one.medianHeuristic.unbiased,
    "median off-diagonal mean": one.medianHeuristic.offDiagonalMean,
    "multi-bandwidth biased": one.multiBandwidth.biased,
    "multi-bandwidth unbiased": one.multiBandwidth.unbiased,
    warning: one.warning,
  };
}
