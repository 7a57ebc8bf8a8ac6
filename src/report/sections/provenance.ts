import type { Assets } from "../assets.js";
import { textUri } from "../data-uri.js";
import { pretrainingFigure } from "../figures/curves.js";
import { count, duration } from "../format.js";
import { type Html, html } from "../html.js";
import { comparatorLabel, taskLabel } from "../labels.js";
import type { StudyFolder } from "../read.js";
import { exposures } from "../sentences.js";
import type { Summary } from "../summary.js";

/** Where the numbers come from, folded: study, seeds, splits, pretraining, software, left-out cases, cells. */
export async function provenanceSection(study: StudyFolder, summary: Summary, assets: Assets): Promise<Html> {
  const { results } = study;
  const { software } = results;
  const pretraining = await assets.figure(pretrainingFigure(results.pretraining));
  return html`<section id="provenance"><h2>Provenance</h2>
${fold(
  "Software and hardware",
  html`<dl class="facts">${Object.entries({
    "transfer-limits": software.package,
    LibTorch: software.libtorch,
    Node: software.node,
    Device: software.device,
    Threads: String(software.threads),
  }).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`,
)}
${fold("Cohort, seeds and splits", seedsAndSplits(study, summary))}
${results.exposure === undefined || results.exposure.length === 0 ? null : fold("Patients that weights saw before", html`<ul>${exposures(results).map((line) => html`<li>${line}</li>`)}</ul>`)}
${results.pretraining.length === 0 ? null : fold("Pretraining", html`${pretraining}${pretrainingRuns(study)}`)}
${fold(
  "The study, with every default filled in",
  study.resolved === null
    ? html`<p>study.resolved.json could not be read.</p>`
    : html`<div class="scroll" tabindex="0" role="region" aria-label="Resolved study"><pre>${study.resolved}</pre></div>
<p class="downloads">Beside this page: <a href="study.resolved.json">study.resolved.json</a></p>`,
)}
${fold(`Cases left out (${results.cohort.excluded.length})`, exclusions(study))}
${fold(`Cells (${results.cells.length})`, cells(study))}
</section>`;
}

function fold(title: string, contents: Html): Html {
  return html`<details class="fold"><summary><h3>${title}</h3></summary>${contents}</details>`;
}

function seedsAndSplits({ results, splits }: StudyFolder, summary: Summary): Html {
  const { train, validation, test } = results.cohort.split;
  const seeds = summary.seeds.join(", ") || "none";
  const files = splits
    ? html`<p class="downloads"><a download="splits.json" href="${textUri("application/json", `${JSON.stringify(splits, null, 2)}\n`)}">Save splits</a> · beside this page: <a href="splits.json">splits.json</a></p>`
    : html`<p>splits.json could not be read.</p>`;
  const unused = splits && splits.unused.length > 0 ? `, ${count(splits.unused.length, "case")} unused` : "";
  return html`<p>Cohort: ${results.cohort.manifest}.</p>
<p>${summary.seeds.length === 1 ? "Seed" : "Seeds"}: ${seeds}. ${count(train, "case")} to train, ${validation} to validate,
${test} to test${unused}.</p>${files}`;
}

function pretrainingRuns({ results }: StudyFolder): Html {
  return html`<ul>${results.pretraining.map((run) => {
    const cost = run.cost ? ` ${duration(run.cost.wallSeconds)} on ${run.cost.device}.` : "";
    const reason = run.reason === undefined ? "" : ` ${run.reason}`;
    const seen = run.patients === undefined ? "" : ` It saw ${count(run.patients, "patient")}.`;
    const left = run.patientsLeftOut
      ? ` ${count(run.patientsLeftOut, "patient")} of its cohort left out: validated or tested on, or listed.`
      : "";
    return html`<li>${run.model}, seed ${run.seed}: ${run.status}, ${count(run.curve.length, "epoch")}.${seen}${left}${cost}${reason}</li>`;
  })}</ul>`;
}

function exclusions({ results }: StudyFolder): Html {
  const { excluded } = results.cohort;
  if (excluded.length === 0) return html`<p>None: every case of the manifest could be read.</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Cases left out"><table><thead><tr><th scope="col">Case</th><th scope="col">File</th><th scope="col">Reason</th></tr></thead>
<tbody>${excluded.map(
    (one) =>
      html`<tr><th scope="row">${one.case}</th><td>${one.file ?? "—"}</td><td class="reason">${one.reason}</td></tr>`,
  )}</tbody></table></div>`;
}

function cells({ results }: StudyFolder): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Cells"><table><thead><tr><th scope="col">Cell</th><th scope="col">Task</th><th scope="col">Model</th><th scope="col">Comparator</th><th scope="col">Seed</th><th scope="col">Status</th></tr></thead>
<tbody>${results.cells.map(
    (cell) =>
      html`<tr><th scope="row"><code>${cell.id}</code></th><td>${taskLabel(cell.task)}</td><td>${cell.model}</td><td>${comparatorLabel[cell.comparator]}</td><td>${cell.seed}</td><td class="reason">${cell.status}${cell.reason === undefined ? null : html`: ${cell.reason}`}</td></tr>\n`,
  )}</tbody></table></div>`;
}
