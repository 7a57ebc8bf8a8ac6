import type { Distance, DriftBetweenSeeds, DriftVerdict, Range } from "../../results/distances.js";
import { type DistanceFlag, distanceFlags, distanceNames } from "../../results/distances.js";
import type { StudyResults } from "../../results/study.js";
import type { Assets } from "../assets.js";
import { type CsvRow, csv } from "../csv.js";
import { depthsFigure } from "../figures/depths.js";
import { specificationsFigure } from "../figures/specifications.js";
import { fixed, names } from "../format.js";
import { type Html, html } from "../html.js";
import { distanceMeaning, taskLabel } from "../labels.js";
import { whyNothing } from "../missing-work.js";
import type { Summary } from "../report-summary.js";
import { absent, type TableCell } from "../table.js";

/** How far the representation moved, with what tells whether the number means anything. */
export async function alignmentSection(
  results: StudyResults,
  summary: Summary,
  shown: Summary,
  assets: Assets,
): Promise<Html> {
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
  const heuristic = { label: "Features’ own scale", class: "plain" };
  const without = { label: "Without a bandwidth", class: "plain" };
  return html`<section id="alignment"><h2>Alignment</h2>${explained}
${assets.table({
  name: "distances",
  caption: `Distances between representations${summary.seeds.length > 1 ? ", averaged over seeds" : ""}`,
  columns: [
    { label: "Task", kind: "text" },
    { label: "Model", kind: "text", wideOnly: true },
    { label: "Distance", kind: "text", wideOnly: true },
    { label: "biased", group: paper, kind: "number" },
    { label: "unbiased", group: paper, kind: "number" },
    { label: "off-diagonal", group: paper, kind: "number" },
    { label: "flags", group: paper, kind: "text" },
    { label: "σ", group: heuristic, kind: "number" },
    { label: "biased", group: heuristic, kind: "number" },
    { label: "flags", group: heuristic, kind: "text" },
    { label: "linear CKA", group: without, kind: "number" },
    { label: "Procrustes", group: without, kind: "number" },
    { label: "mean shift, SD", group: without, kind: "number" },
  ],
  rows: all.map(({ row, distance }): TableCell[] => {
    const { name, bySeed, paper: own, medianHeuristic, withoutKernel } = distance;
    return [
      { shown: taskLabel(row), narrow: html`${row.model}, ${name}` },
      { shown: row.model },
      { shown: name },
      value(own.biased),
      value(own.unbiased),
      value(own.offDiagonalMean),
      flagged(bySeed, (one) => one.paper.flags),
      value(medianHeuristic.sigma, 2),
      value(medianHeuristic.biased),
      flagged(bySeed, (one) => one.medianHeuristic.flags),
      value(withoutKernel.linearCka),
      value(withoutKernel.procrustes),
      value(withoutKernel.meanShift, 2),
    ];
  }),
  csvColumns: csvColumns,
  csvRows: all.flatMap(({ distance: { bySeed } }) => bySeed.map(csvRow)),
})}
<p class="quiet">The off-diagonal mean is the kernel’s mean over pairs of different rows. Flags say where MMD² is no
distance: it is at its floor or its ceiling, or one encoder gives all cases the same features. The features’ own scale is the
median distance between the test cases’ features, by the pretrained encoder where there is one: the same for D2R, D2P and D2S
of a task and model. The unbiased estimates leave out pairs of one case, and may fall below 0. Linear CKA (debiased) is 1
where the features are the same but for rotation and scale, and about 0 where they have nothing in common; the Procrustes
distance (squared) goes from 0 to 2; the shift of the mean is in standard deviations over cases. The CSV holds the number of
cases, the sum over five bandwidths, and the kernel’s means within and between the two encoders besides.</p>
${warnings([
  ...all.flatMap(({ distance }) => distance.bySeed.filter(({ reason }) => reason === undefined)),
  ...undefinedOnes,
])}${againstDrift(results.drift ?? [], assets)}${await figures(results, shown, assets)}</section>`;
}

/** D2P of each task and model, judged against what two trainings differ by. */
function againstDrift(drift: readonly DriftBetweenSeeds[], assets: Assets): Html | null {
  if (drift.length === 0) return null;
  // What figures shade.
  assets.files.set("tables/drift.csv", csv(driftColumns, drift.flatMap(driftRows)));
  return html`<h3>D2P against the drift between seeds</h3>
<p>Two trainings that differ in their seed alone never end in the same encoder. D2P is judged against the distances between
them, not against 0.</p>
<ul>${drift.map(
    ({ task, strategy, model, d2p }) =>
      html`<li><strong>${taskLabel({ task, strategy })}, ${model}: ${driftWords[d2p.verdict]}.</strong> ${d2p.reason}.</li>`,
  )}</ul><p class="quiet">Between which distances two seeds lie, for the embedding and at each depth: tables/drift.csv.</p>`;
}

const driftColumns = ["task", "strategy", "model", "depth", "measure", "pairs", "low", "mean", "high"];

/** A line a measure of the embedding, and of each depth. */
function driftRows({ task, strategy, model, pairs, ...drift }: DriftBetweenSeeds): CsvRow[] {
  const of = (depth: string, measure: string, range: Range | null): CsvRow => ({
    ...{ task, strategy, model, depth, measure, pairs },
    ...(range ?? { low: null, mean: null, high: null }),
  });
  return [
    of("", "MMD² biased", drift.paper),
    of("", "median MMD² biased", drift.medianHeuristic),
    ...[{ depth: "", ...drift }, ...drift.depths].flatMap(({ depth, linearCka, procrustes, meanShift }) => [
      of(depth, "linear CKA", linearCka),
      of(depth, "Procrustes", procrustes),
      of(depth, "mean shift", meanShift),
    ]),
  ];
}

const driftWords: Record<DriftVerdict, string> = {
  within: "within the drift between seeds",
  beyond: "beyond the drift between seeds",
  "not-known": "not known",
};

async function figures(results: StudyResults, shown: Summary, assets: Assets): Promise<Html> {
  const drawn: (Html | null)[] = [];
  for (const model of shown.models)
    drawn.push(await assets.figure(depthsFigure(shown, results.drift ?? [], model)));
  drawn.push(await assets.figure(specificationsFigure(results.specificationCurve)));
  return html`<div class="figures">${drawn}</div>`;
}

const value = (mean: number | null, digits = 4): TableCell =>
  mean === null ? absent : { shown: fixed(mean, digits), sort: mean };

/** The flags of any seed; of how many, where not of all. */
function flagged(bySeed: readonly Distance[], of: (one: Distance) => readonly DistanceFlag[]): TableCell {
  const present = distanceFlags.flatMap((flag) => {
    const number = bySeed.filter((one) => of(one).includes(flag)).length;
    if (number === 0) return [];
    return number === bySeed.length ? flag : `${flag} (${number} of ${bySeed.length})`;
  });
  if (present.length === 0) return { shown: "none" };
  return { shown: html`<strong class="warn">${present.join(", ")}</strong>`, sort: present.join(", ") };
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
  "kernel within fine-tuned",
  "kernel within reference",
  "kernel between",
  "saturated",
  "flags",
  "median sigma",
  "median biased",
  "median unbiased",
  "median off-diagonal mean",
  "median kernel within fine-tuned",
  "median kernel within reference",
  "median kernel between",
  "median flags",
  "bandwidth from",
  "multi-bandwidth biased",
  "multi-bandwidth unbiased",
  "multi-bandwidth flags",
  "linear CKA",
  "Procrustes",
  "mean shift",
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
    "kernel within fine-tuned": one.paper.kernelMeans?.withinA ?? null,
    "kernel within reference": one.paper.kernelMeans?.withinB ?? null,
    "kernel between": one.paper.kernelMeans?.between ?? null,
    saturated: one.paper.saturated ? "yes" : "no",
    flags: one.paper.flags.join(" "),
    "median sigma": one.medianHeuristic.sigma,
    "median biased": one.medianHeuristic.biased,
    "median unbiased": one.medianHeuristic.unbiased,
    "median off-diagonal mean": one.medianHeuristic.offDiagonalMean,
    "median kernel within fine-tuned": one.medianHeuristic.kernelMeans?.withinA ?? null,
    "median kernel within reference": one.medianHeuristic.kernelMeans?.withinB ?? null,
    "median kernel between": one.medianHeuristic.kernelMeans?.between ?? null,
    "median flags": one.medianHeuristic.flags.join(" "),
    "bandwidth from": one.bandwidthFrom ?? "",
    "multi-bandwidth biased": one.multiBandwidth.biased,
    "multi-bandwidth unbiased": one.multiBandwidth.unbiased,
    "multi-bandwidth flags": one.multiBandwidth.flags.join(" "),
    "linear CKA": one.withoutKernel?.linearCka ?? null,
    Procrustes: one.withoutKernel?.procrustes ?? null,
    "mean shift": one.withoutKernel?.meanShift ?? null,
    warning: one.warning,
  };
}
