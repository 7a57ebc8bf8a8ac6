import { seedsMayBeRaised } from "../../common/more-seeds.js";
import type { Claim } from "../../results/claims.js";
import type { StudyResults } from "../../results/study.js";
import { difference, hasOneSeed, means } from "../claim-words.js";
import { driftOf, movedOnCard } from "../drift-words.js";
import { count, duration, listing, percent, pValue, significant } from "../format.js";
import { type Html, html } from "../html.js";
import { metricInProse, referenceInProse, taskLabel, verdictWords } from "../labels.js";
import { first, limits } from "../limits.js";
import { answeredOver, type Summary, type TaskRow } from "../report-summary.js";

type Over = (typeof answeredOver)[number];

/**
 * A card for each foundation model and task: what may be said, how sure, what the study could have found, what would settle
 * it, what it cost, and what to distrust. The same stands in `claims.json` beside the page.
 */
export function claimsSection(summary: Summary, drift: StudyResults["drift"] = []): Html | null {
  const rows = summary.rows.filter((row) => claimsOf(row).length > 0);
  if (rows.length === 0) return null;
  const doubts = new Map(rows.map((row) => [row, distrust(row)]));
  // What is to be said of every card is said once.
  const [own = [], ...others] = doubts.values();
  const ofAll = rows.length === 1 ? [] : own.filter((doubt) => others.every((list) => list.includes(doubt)));
  const { shown, more } = first(rows, limits.rows);
  return html`<section id="claims"><h2>Claims</h2>
<p>Each says whether the fine-tuned model is better than a reference, from the same seeds and patients, all claims of the study
considered.${rows.every(ofOneSeed) ? " This study has one seed, which settles none: three or more (seeds: [1, 2, 3]) would give each an interval and a verdict." : null}${ofAll.length > 0 ? ` On all of them, to be distrusted: ${ofAll.join("; ")}.` : null}
${rows.some(wantsSeeds) ? `${seedsMayBeRaised} ` : null}${rows.some(endedEarly) ? "A model that was best at its last epoch might be better after a longer training. " : null}As JSON: <a href="claims.json">claims.json</a>.</p>
<div class="claims">${shown.map((row) =>
    card(
      row,
      (doubts.get(row) ?? []).filter((doubt) => !ofAll.includes(doubt)),
      movedOnCard(row, drift),
    ),
  )}</div>
${more > 0 ? html`<p>And those of ${count(more, "more task")}: claims.json.</p>` : null}</section>`;
}

/** Every card as data: its claims, the references that it could not be compared with, how far the encoder moved. */
export function claimCards(summary: Summary, drift: StudyResults["drift"] = []): object[] {
  return summary.rows
    .filter((row) => claimsOf(row).length > 0)
    .map((row) => ({
      model: row.model,
      task: row.task,
      strategy: row.strategy,
      claims: claimsOf(row),
      notCompared: notCompared(row),
      moved: driftOf(row, drift)?.d2p ?? null,
      distrust: distrust(row),
    }));
}

const ofOneSeed = (row: TaskRow): boolean => claimsOf(row).every(hasOneSeed);

const claimsOf = (row: TaskRow): Claim[] => answeredOver.flatMap((reference) => row.claims[reference] ?? []);

/** What stands against the numbers of any of a card's claims, each once. */
const distrust = (row: TaskRow): string[] => [...new Set(claimsOf(row).flatMap((claim) => claim.distrust))];

const endedEarly = (row: TaskRow): boolean =>
  distrust(row).some((doubt) => doubt.endsWith("at its last epoch"));

/** The references that the study has, but that this row could not be compared with. */
const notCompared = ({ entries, claims }: TaskRow): Over[] =>
  answeredOver.filter(
    (reference) => claims[reference] === undefined && entries[reference].status !== "absent",
  );

function card(row: TaskRow, doubts: readonly string[], moved: string): Html {
  const claims = claimsOf(row);
  return html`<article class="claim"><h3>${row.model}: ${taskLabel(row)}</h3>
<dl>${claims.map(
    (claim) =>
      html`<div><dt>Over ${referenceInProse[claim.reference]}${hasOneSeed(claim) ? null : html`: <strong>${verdictWords[claim.verdict]}</strong>`}</dt>
<dd>${sentence(effect(claim))}</dd><dd class="quiet">${[sureness(claim), power(claim), settling(claim)].filter((part) => part !== "").join(" ")}</dd></div>`,
  )}${notCompared(row).map(
    (reference) =>
      html`<div><dt>Over ${referenceInProse[reference]}: <strong>not compared</strong></dt><dd>${why(row, reference)}</dd></div>`,
  )}</dl>
<p class="quiet">${margin(claims)} ${cost(claims)}</p>
${moved === "" ? null : html`<p class="quiet">${moved}</p>`}
${doubts.length === 0 ? null : html`<p class="quiet">To be distrusted: ${doubts.join("; ")}.</p>`}</article>`;
}

/** `SSIM 0.926 against 0.930, −0.004 (95 % interval −0.012 to +0.003), −0.4 %.` */
function effect(claim: Claim): string {
  const { estimate, low, high } = claim.difference;
  const interval =
    low === null || high === null ? "" : ` (95 % interval ${difference(low)} to ${difference(high)})`;
  const gain = claim.percent === null ? "" : `, ${percent(claim.percent.estimate)}`;
  const better =
    claim.better === null ? "" : ` Better on ${claim.better} of ${count(claim.patients, "patient")}.`;
  return `${means(claim)}, ${difference(estimate)}${interval}${gain}.${better}`;
}

/** What the verdict rests on, and why nothing is decided where nothing is. */
function sureness(claim: Claim): string {
  if (hasOneSeed(claim)) return "";
  const { adjustedP, difference: known, reason, verdict } = claim;
  const { low, high } = known;
  if (low === null || high === null || adjustedP === null) return `${sentence(reason)}.`;
  const p = `${pValue(adjustedP)} by Holm`;
  if (verdict !== "undetermined") return `${p}.`;
  if (low <= 0 && high >= 0) return `${p}: the interval holds both better and worse.`;
  return `${p}: among all claims of the study chance gives as much.`;
}

/** What a card's verdicts call practically equal. */
function margin(claims: readonly Claim[]): string {
  const [{ metric, equivalence }] = claims as [Claim];
  return `A difference of up to ${equivalence.margin} in ${metricInProse(metric)} does not matter in practice.`;
}

/** How large a difference the study could have found at all. */
const power = ({ detectable, seeds, patients }: Claim): string =>
  detectable === null
    ? ""
    : `${count(seeds.length, "seed")} and ${count(patients, "patient")} find a difference of ${significant(detectable)} in 8 of 10 studies.`;

/** What would settle an undecided claim. */
function settling({ wouldSettle, seeds, patients }: Claim): string {
  if (!wouldSettle) return "";
  const ways = [
    ...(wouldSettle.seeds === null
      ? []
      : [`${count(wouldSettle.seeds, "seed")} with these ${count(patients, "patient")}`]),
    ...(wouldSettle.patients === null
      ? []
      : [`${count(wouldSettle.patients, "patient")} with ${count(seeds.length, "seed")}`]),
  ];
  return ways.length === 0
    ? "Neither 50 seeds nor 5,000 patients alone would settle it."
    : `Likely settled by ${ways.join(", or by ")}.`;
}

/** Whether more seeds would likely settle one of a card's claims. */
const wantsSeeds = (row: TaskRow): boolean =>
  ofOneSeed(row) || claimsOf(row).some(({ wouldSettle }) => wouldSettle?.seeds != null);

/** Why there is no claim over a reference that the study has. */
function why({ entries }: TaskRow, reference: Over): string {
  const both = [entries["fine-tuned"], entries[reference]];
  const failed = both.flatMap(({ cells }) => cells).find(({ status }) => status === "failed");
  if (failed) return "A cell that it takes failed.";
  if (both.some(({ status }) => status === "pending")) return "A cell that it takes is still to come.";
  const undefinedOne = both.find(({ score }) => score?.mean === null)?.score;
  return undefinedOne
    ? `The metric is undefined on the test set${undefinedOne.reason === null ? "" : `: ${undefinedOne.reason}`}.`
    : "They have no seed in common.";
}

/** `Device time of a seed: 12.3 s to fine-tune, 13.0 s for training from scratch.` */
function cost(claims: readonly Claim[]): string {
  const [one] = claims as [Claim];
  const others = claims.map(
    ({ reference, cost: { referenceSeconds } }) =>
      `${duration(referenceSeconds)} for ${referenceInProse[reference]}`,
  );
  return `Device time of a seed: ${listing([`${duration(one.cost.fineTunedSeconds)} to fine-tune`, ...others])}.`;
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
