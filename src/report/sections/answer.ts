import type { StudyFolder } from "../../results/read-study.js";
import type { Assets } from "../assets.js";
import { fidelityNotices } from "../fidelity.js";
import { gainFigure } from "../figures/gain.js";
import { count, grouped, listing, names } from "../format.js";
import { type Html, html } from "../html.js";
import { kindInProse } from "../labels.js";
import { first, limits } from "../limits.js";
import { missingWork } from "../missing-work.js";
import { type CohortInUse, ofShownModels, type Summary } from "../report-summary.js";
import { caveats, leaks, modelAnswers } from "../sentences.js";

/** The first screen: the answer, what it rests on, and what must not be read into it. */
export async function answerSection(study: StudyFolder, summary: Summary, assets: Assets): Promise<Html> {
  const { results } = study;
  const { headline, lines } = missingWork(results, summary.counts);
  const { cohort } = results;
  const notConcluded = caveats(summary);
  const { shown: answers, more } = first(modelAnswers(summary, results.drift), limits.answers);
  const gains = gainFigure(ofShownModels(summary));
  const gain = await assets.figure(gains);
  const leaked = first(leaks(results), limits.answers);
  const unfit = first(fidelityNotices(results), limits.answers);
  return html`<header>
<p class="kicker">Transfer study</p>
<h1>${results.name}</h1>
${headline === null ? null : html`<p class="notice"><strong>${headline}</strong></p>`}
${leaked.shown.map((line) => html`<p class="notice"><strong>${line}</strong></p>`)}
${leaked.more > 0 ? html`<p class="notice"><strong>And ${count(leaked.more, "more model")} likewise: results.json, exposure.</strong></p>` : null}
${unfit.shown.map((line) => html`<p class="notice"><strong>${line}</strong></p>`)}
${unfit.more > 0 ? html`<p class="notice"><strong>And ${count(unfit.more, "more encoder")} likewise: results.json, fidelity.</strong></p>` : null}
</header>
<div class="first${gains === null ? " alone" : gains.panels.length > 1 ? " pair" : ""}">
<div class="answers">${answers.length === 0 ? html`<p class="answer">No foundation model has a cell in this study yet.</p>` : null}${answers.map(
    ({ answer, more: rest }) =>
      html`<p class="answer">${answer}</p>${rest === "" ? null : html`<p class="rest">${rest}</p>`}\n`,
  )}${more > 0 ? html`<p class="answer">And ${count(more, "more foundation model")}: every one stands in tables/results.csv.</p>` : null}</div>
${gain && html`<div class="picture">${gain}</div>`}
<div class="notes">
<dl class="facts">
${summary.cohorts.map(cohortFacts)}
<div><dt>${summary.seeds.length === 1 ? "Seed" : `${grouped(summary.seeds.length)} seeds`}</dt><dd>${names(summary.seeds.map(String)) || "—"}</dd></div>
<div><dt>Left out</dt><dd>${cohort.excluded.length === 0 ? "no case" : count(cohort.excluded.length, "case")}</dd></div>
</dl>
${list("What could not be concluded", notConcluded, "Nothing stands in the way of the comparison.")}
${lines.length + study.problems.length > 0 ? list("Missing, failed and left out", [...lines, ...study.problems], "") : null}
</div>
</div>`;
}

function cohortFacts({ manifest, patients, cases, split, tasks }: CohortInUse): Html {
  const where = tasks === null ? "" : `, ${listing(tasks.map(kindInProse))}`;
  return html`<div><dt>Cohort${where}</dt><dd title="${manifest}">${manifest.split(/[\\/]/).slice(-2).join("/")}</dd></div>
<div><dt>Patients</dt><dd>${grouped(patients)} <span class="quiet">(${count(cases, "case")})</span></dd></div>
<div><dt>Train / validation / test</dt><dd>${grouped(split.train)} / ${grouped(split.validation)} / ${grouped(split.test)}</dd></div>
`;
}

function list(title: string, lines: readonly string[], none: string): Html {
  const item = (line: string) => html`<li>${line}</li>`;
  const rest = lines.slice(limits.lines);
  const folded = first(rest, limits.foldedLines);
  return html`<section><h2 class="small">${title}</h2>
${lines.length === 0 ? html`<p>${none}</p>` : html`<ul>${lines.slice(0, limits.lines).map(item)}</ul>`}
${rest.length > 0 ? html`<details><summary>${grouped(rest.length)} more</summary><ul>${folded.shown.map(item)}</ul>${folded.more > 0 ? html`<p>And ${grouped(folded.more)} more, in results.json.</p>` : null}</details>` : null}</section>`;
}
