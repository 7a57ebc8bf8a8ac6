import type { EncoderFidelity } from "../results/fidelity.js";
import type { StudyResults } from "../results/study.js";
import { grouped, listing } from "./format.js";
import { type Html, html } from "./html.js";
import { first, limits } from "./limits.js";

/** What speaks against an encoder, or against what it is shown, once an encoder: for the first screen. */
export function fidelityNotices({ fidelity = [] }: Pick<StudyResults, "fidelity">): string[] {
  const notices = fidelity.flatMap(({ model, checks }) => {
    const flags = checks.filter(({ verdict }) => verdict === "flagged");
    if (flags.length === 0) return [];
    const [severest] = [...flags].sort((a, b) => Number(b.severe) - Number(a.severe)) as [
      (typeof flags)[number],
    ];
    const others = flags.filter((one) => one !== severest).map(({ check }) => check);
    const more = others.length === 0 ? "" : ` Flagged too: ${listing(others)}.`;
    return [`Before ${model} was trained, its ${severest.check} were flagged: ${severest.words}${more}`];
  });
  // Seeds that each pretrain anew have the same fault.
  return [...new Set(notices)];
}

/** Every check of every encoder, with what was measured. */
export function encoderChecks(all: readonly EncoderFidelity[]): Html {
  const { shown, more } = first(all, limits.models);
  return html`${shown.map(
    ({ model, pretraining, cases, checks }) => html`<h4>${pretraining ?? model}</h4>
<p>From ${grouped(cases)} training ${cases === 1 ? "case" : "cases"}:</p>
<ul>${checks.map(({ check, verdict, words }) => html`<li>${check}, ${verdict}: ${words}</li>\n`)}</ul>`,
  )}${more > 0 ? html`<p>And ${grouped(more)} more: results.json, fidelity.</p>` : null}`;
}
