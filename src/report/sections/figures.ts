import type { Assets } from "../assets.js";
import { alignmentFigure } from "../figures/alignment.js";
import { curvesFigure } from "../figures/curves.js";
import { scratchFigure } from "../figures/scratch.js";
import { type Html, html } from "../html.js";
import type { Summary } from "../summary.js";

/** The paper's figures, drawn as the paper draws them. */
export async function figuresSection(summary: Summary, assets: Assets): Promise<Html> {
  const figures = [
    // Not in the paper's order: side by side, the first two fill a row.
    scratchFigure(summary),
    ...summary.models.map((model) => curvesFigure(summary, model)),
    alignmentFigure(summary, "specialised"),
    alignmentFigure(summary, "random-weights"),
  ];
  const drawn: (Html | null)[] = [];
  for (const figure of figures) drawn.push(await assets.figure(figure));
  return html`<section id="figures"><h2>The paper’s figures</h2>
${drawn.every((figure) => figure === null) ? html`<p>No cell that they are drawn from is done yet.</p>` : html`<div class="figures">${drawn}</div>`}</section>`;
}
