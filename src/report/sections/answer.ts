import type { Assets } from "../assets.js";
import { gainFigure } from "../figures/gain.js";
import { count, listing } from "../format.js";
import { type Html, html } from "../html.js";
import { kindInProse } from "../labels.js";
import type { StudyFolder } from "../read.js";
import { caveats, leaks, missingWork, modelAnswers } from "../sentences.js";
import type { CohortInUse, Summary } from "../summary.js";

/** The first screen: the answer, what it rests on, and what must not be read into it. */
export async function answerSection(study: StudyFolder, summary: Summary, assets: Assets): Promise<Html> {
  const { results } = study;
  const { headline, lines } = missingWork(results);
  const { cohort } = results;
  const notConcluded = caveats(results, summary);
  const answers = modelAnswers(summary);
  return html`<header>
<p class="kicker">Transfer study</p>
<h1>${results.name}</h1>
${headline === null ? null : html`<p class="notice"><strong>${headline}</strong></p>`}
${leaks(results).map((line) => html`<p class="notice"><strong>${line}</strong></p>`)}
${answers.length === 0 ? html`<p class="answer">No foundation model has a cell in this study yet.</p>` : null}
${answers.map(
  ({ answer, details }) => html`<p class="answer">${answer}</p>
${details.length > 0 ? html`<ul class="details">${details.map((line) => html`<li>${line}</li>`)}</ul>` : null}`,
)}
<dl class="facts">
${summary.cohorts.map(cohortFacts)}
<div><dt>${summary.seeds.length === 1 ? "Seed" : `${summary.seeds.length} seeds`}</dt><dd>${summary.seeds.join(", ") || "—"}</dd></div>
<div><dt>Left out</dt><dd>${cohort.excluded.length === 0 ? "no case" : count(cohort.excluded.length, "case")}</dd></div>
</dl>
</header>
<div class="columns">
<div>${await assets.figure(gainFigure(summary))}</div>
<div class="notes">
${list("What could not be concluded", notConcluded, "Nothing stands in the way of the comparison.")}
${lines.length + study.problems.length > 0 ? list("Missing, failed and left out", [...lines, ...study.problems], "") : null}
</div>
</div>`;
}

function cohortFacts({ manifest, patients, cases, split, tasks }: CohortInUse): Html {
  const where = tasks === null ? "" : `, ${listing(tasks.map(kindInProse))}`;
  return html`<div><dt>Cohort${where}</dt><dd title="${manifest}">${manifest.split(/[\\/]/).slice(-2).join("/")}</dd></div>
<div><dt>Patients</dt><dd>${patients} <span class="quiet">(${count(cases, "case")})</span></dd></div>
<div><dt>Train / validation / test</dt><dd>${split.train} / ${split.validation} / ${split.test}</dd></div>
`;
}

const shownAtOnce = 8;

function list(title: string, lines: readonly string[], none: string): Html {
  const item = (line: string) => html`<li>${line}</li>`;
  const rest = lines.slice(shownAtOnce);
  return html`<section><h2 class="small">${title}</h2>
${lines.length === 0 ? html`<p>${none}</p>` : html`<ul>${lines.slice(0, shownAtOnce).map(item)}</ul>`}
${rest.length > 0 ? html`<details><summary>${rest.length} more</summary><ul>${rest.map(item)}</ul></details>` : null}</section>`;
}
