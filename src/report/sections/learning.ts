import type { SummarisedResults } from "../../statistics/study-summary.js";
import type { Assets } from "../assets.js";
import { learningFigure } from "../figures/learning.js";
import { count } from "../format.js";
import { type Html, html } from "../html.js";
import { taskLabel } from "../labels.js";
import { first, limits } from "../limits.js";

/** How many patients pretraining is worth, and the learning curves that say so; null where the study asks for none. */
export async function learningSection(
  { learningCurves }: Pick<SummarisedResults, "learningCurves">,
  assets: Assets,
): Promise<Html | null> {
  if (learningCurves === undefined) return null;
  const { cells, curves } = learningCurves;
  const missing = cells.filter(({ status }) => status !== "done").length;
  const { shown, more } = first(curves, limits.models);
  const figure = await assets.figure(learningFigure(shown));
  return html`<section id="learning"><h2>Fewer patients</h2>
${missing === 0 ? null : html`<p class="notice">${count(missing, "cell")} of ${cells.length} on fewer patients ${missing === 1 ? "is" : "are"} not done.</p>`}
<dl>${shown.map(
    (curve) =>
      html`<div><dt>${curve.model}: ${taskLabel(curve)}</dt><dd>${curve.worth?.words ?? "Fewer than two numbers of patients are done for both fine-tuning and training from scratch."}</dd></div>`,
  )}</dl>${more > 0 ? html`<p>And ${count(more, "more curve")}: results.json, learningCurves.</p>` : null}
<div class="figures">${figure}</div></section>`;
}
