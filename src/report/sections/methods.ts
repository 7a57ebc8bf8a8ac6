import { besideReport } from "../../results/paths.js";
import type { StudyResults } from "../../results/study.js";
import type { Assets } from "../assets.js";
import { type Html, html } from "../html.js";
import { methodsText } from "../methods-text.js";
import type { Summary } from "../report-summary.js";

/** A paragraph to paste into a paper, also as a file beside the page; nothing where nothing was compared. */
export function methodsSection(results: StudyResults, summary: Summary, assets: Assets): Html | null {
  const text = methodsText(results, summary);
  if (text === "") return null;
  assets.files.set(besideReport.methods, `${text}\n`);
  const uri = assets.embed("text/plain", `${text}\n`);
  return html`<section id="methods"><h2>Methods, to paste into a paper</h2>
<p class="paste" tabindex="0">${text}</p>
<p class="downloads">A click selects it all. ${uri === null ? null : html`Save <a download="methods.txt" href="${uri}">text</a> · `}beside this page: <a href="methods.txt">methods.txt</a></p></section>`;
}
