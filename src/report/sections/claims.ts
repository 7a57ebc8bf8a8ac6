import type { GainReference } from "../../results/claims.js";
import { type Claim, gainReferences } from "../../results/claims.js";
import type { StudyResults } from "../../results/study.js";
import { means } from "../claim-words.js";
import { count, listing, percent, signed, significant } from "../format.js";
import { type Html, html } from "../html.js";
import { referenceInProse, taskLabel, verdictWords } from "../labels.js";
import { first, limits } from "../limits.js";
import type { Summary, TaskRow } from "../summary.js";

/** A card for each foundation model and task: what may be said, how sure, what would settle it, and what to distrust. */
export function claimsSection(results: StudyResults, summary: Summary): Html | null {
  const rows = summary.rows.filter((row) => claimsOf(row).length > 0);
  if (rows.length === 0) return null;
  const doubts = new Map(rows.map((row) => [row, distrust(results, row)]));
  // What is to be said of every card is said once.
  const [own = [], ...others] = doubts.values();
  const ofAll = rows.length === 1 ? [] : own.filter((doubt) => others.every((list) => list.includes(doubt)));
  const { shown, more } = first(rows, limits.rows);
  return html`<section id="claims"><h2>Claims</h2>
<p>Each says whether the fine-tuned model is better than a reference, from the same seeds and patients, all claims of the study
considered.${rows.every(hasOneSeed) ? " This study has one seed, which settles none: three or more (seeds: [1, 2, 3]) would give each an interval and a verdict." : null}${ofAll.length > 0 ? ` On all of them, ${listing(ofAll)}.` : null}</p>
<div class="claims">${shown.map((row) =>
    card(
      row,
      (doubts.get(row) ?? []).filter((doubt) => !ofAll.includes(doubt)),
    ),
  )}</div>
${more > 0 ? html`<p>And those of ${count(more, "more task")}: results.json, claims.</p>` : null}</section>`;
}

const hasOneSeed = (row: TaskRow): boolean => claimsOf(row).every(({ seeds }) => seeds.length < 2);

/** To be better than a network that never saw the task tells nobody anything. */
const untrained: ReadonlySet<GainReference> = new Set(["random-weights", "pretrained"]);

const claimsOf = (row: TaskRow): Claim[] =>
  gainReferences.flatMap((reference) => (untrained.has(reference) ? [] : (row.claims[reference] ?? [])));

function card(row: TaskRow, doubts: readonly string[]): Html {
  return html`<article class="claim"><h3>${row.model}: ${taskLabel(row)}</h3>
<dl>${claimsOf(row).map(
    (
      claim,
    ) => html`<div><dt>Over ${referenceInProse[claim.reference]}${claim.seeds.length < 2 ? null : html`: <strong>${verdictWords[claim.verdict]}</strong>`}</dt>
<dd>${effect(claim)}${settling(claim)}</dd></div>`,
  )}</dl>
${doubts.length === 0 ? null : html`<p class="quiet">To be distrusted: ${listing(doubts)}.</p>`}</article>`;
}

/** `SSIM 0.926 against 0.930, −0.004 (95 % interval −0.012 to +0.003), −0.4 %`. */
function effect(claim: Claim): string {
  const { estimate, low, high } = claim.difference;
  const inWords = (value: number) => signed(value, 3).replace("-", "\u2212");
  const interval =
    low === null || high === null ? "" : ` (95 % interval ${inWords(low)} to ${inWords(high)})`;
  const gain = claim.percent === null ? "" : `, ${percent(claim.percent.estimate)}`;
  return `${means(claim)}, ${inWords(estimate)}${interval}${gain}.`;
}

/** What would settle an undetermined claim, or what a settled one could have found. */
function settling({ wouldSettle, detectable, seeds, patients }: Claim): string {
  if (wouldSettle) {
    const ways = [
      ...(wouldSettle.seeds === null
        ? []
        : [`${count(wouldSettle.seeds, "seed")} with these ${count(patients, "patient")}`]),
      ...(wouldSettle.patients === null
        ? []
        : [`${count(wouldSettle.patients, "patient")} with ${count(seeds.length, "seed")}`]),
    ];
    return ways.length === 0
      ? " Neither 50 seeds nor 5,000 patients alone would settle it."
      : ` Likely settled by ${ways.join(", or by ")}.`;
  }
  return detectable === null
    ? ""
    : ` ${count(seeds.length, "seed")} and ${count(patients, "patient")} find a difference of ${significant(detectable)} in 8 of 10 studies.`;
}

/** So few patients that their spread itself is hardly known. */
const fewPatients = 10;

/** What stands against the numbers of a row, each in a few words. */
function distrust({ exposure = [] }: StudyResults, row: TaskRow): string[] {
  const seen = exposure.find(({ model }) => model === row.model)?.overlap.test.length ?? 0;
  const patients = Math.max(...claimsOf(row).map((claim) => claim.patients));
  const unfinished = (["fine-tuned", "from-scratch"] as const).filter((name) =>
    row.entries[name].cells.some(({ result }) => {
      const last = result?.curve.at(-1)?.epoch;
      return last !== undefined && last > 1 && result?.bestEpoch === last;
    }),
  );
  return [
    ...(seen > 0 ? [`its weights were pretrained on ${count(seen, "patient")} of the test set`] : []),
    ...(patients > 0 && patients < fewPatients ? [`only ${count(patients, "patient")}`] : []),
    ...(unfinished.length > 0
      ? [
          unfinished.length === 2
            ? "both trainings were best at their last epoch: longer ones might differ"
            : `the ${unfinished[0] === "fine-tuned" ? "fine-tuned model" : "model trained from scratch"} was best at its last epoch: a longer training might differ`,
        ]
      : []),
  ];
}
