import type { StudyResults } from "../../results/study.js";
import type { Assets } from "../assets.js";
import { alignmentFigure } from "../figures/alignment.js";
import { curvesFigure } from "../figures/curves.js";
import { scratchFigure } from "../figures/scratch.js";
import { count } from "../format.js";
import { type Html, html } from "../html.js";
import { whyNothing } from "../missing-work.js";
import type { Summary } from "../report-summary.js";

/** The paper's figures, drawn as the paper draws them. */
export async function figuresSection(
  summary: Summary,
  shown: Summary,
  assets: Assets,
  results: StudyResults,
): Promise<Html> {
  const figures = [
    // Not in the paper's order: side by side, the first two fill a row.
    scratchFigure(shown),
    ...shown.models.map((model) => curvesFigure(shown, model)),
    alignmentFigure(shown, "specialised", results.drift),
    alignmentFigure(shown, "random-weights", results.drift),
    alignmentFigure(shown, "trivial", results.drift),
  ];
  const drawn: (Html | null)[] = [];
  for (const figure of figures) drawn.push(await assets.figure(figure));
  return html`<section id="figures"><h2>The paper’s figures</h2>
${shown.models.length < summary.models.length ? html`<p class="notice">All figures and pictures show the first ${shown.models.length} of ${count(summary.models.length, "foundation model")}; tables/results.csv has them all.</p>` : null}
${drawn.every((figure) => figure === null) ? html`<p>${whyNothing(results.cells).status === "failed" ? "There is nothing to draw: every cell failed." : "No cell that they are drawn from is done yet."}</p>` : html`<div class="figures">${drawn}</div>`}</section>`;
}
