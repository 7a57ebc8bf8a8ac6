import { type Comparator, comparators, isShared, type TaskVariant } from "../../common/vocabulary.js";
import type { GainReference } from "../../results/claims.js";
import { variantName } from "../../tasks/index.js";
import type { Assets } from "../assets.js";
import { casesFigure } from "../figures/cases.js";
import { taskCurvesFigure } from "../figures/curves.js";
import { count, fixed, signed } from "../format.js";
import { type Html, html } from "../html.js";
import { comparatorLabel, metricLabel, metricWithDirection, taskLabel, verdictWords } from "../labels.js";
import { first, limits } from "../limits.js";
import { whyNothing } from "../missing-work.js";
import { rowsOf, type Summary, sharedModels, type TaskRow } from "../report-summary.js";
import { undefinedMetrics } from "../sentences.js";
import { absent, type TableCell, withoutEmptyColumns } from "../table.js";
import { confusionTable, intervalsTable, secondaryTable } from "./secondary.js";

/** One task, learnt by one strategy: how sure the differences are, its training, every case, and pictures. */
export async function taskSection(
  summary: Summary,
  shown: Summary,
  variant: TaskVariant,
  pictures: ReadonlyMap<TaskRow, Html>,
  assets: Assets,
): Promise<Html> {
  const rows = rowsOf(summary, variant);
  const metric = rows.find((row) => row.metric !== null)?.metric ?? null;
  const curves = await assets.figure(taskCurvesFigure(shown, variant));
  const cases = await assets.figure(casesFigure(shown, variant));
  return html`<section id="task-${variantName(variant, "-")}" class="task"><h2>${taskLabel(variant)}</h2>
${metric === null ? nothingDone(rows) : comparison(rows, variant, metric, assets)}
${undefinedMetrics(rows).map((sentence) => html`<p class="notice">${sentence}</p>`)}
${secondaryTable(rows, variant, assets)}${intervalsTable(summary, variant, assets)}${confusionTable(rows, variant, assets)}
<div class="figures">${cases}${curves}</div>${metric === null ? null : rows.map((row) => pictures.get(row))}</section>`;
}

/** Why a task has nothing to show: its cells are still to come, or all of them failed, and for what reasons. */
function nothingDone(rows: readonly TaskRow[]): Html {
  const cells = rows.flatMap((row) => comparators.flatMap((name) => row.entries[name].cells));
  const { status, reasons } = whyNothing(cells);
  if (status === "pending" && reasons.length === 0) return html`<p>No cell of this task is done yet.</p>`;
  const { shown, more } = first(reasons, limits.lines);
  return html`<p>${status === "failed" ? "Every cell of this task failed:" : "No cell of this task is done yet; so far there were failures:"}</p>
<ul>${shown.map((reason) => html`<li>${reason}</li>`)}${more > 0 ? html`<li>${count(more, "more reason")}, in results.json.</li>` : null}</ul>`;
}

/** The model of a line; of the specialised one also which foundation model the differences of its line are to. */
function modelOf({ entries, model }: TaskRow, comparator: Comparator, rows: readonly TaskRow[]): string {
  if (!isShared(comparator)) return model;
  return `${sharedModels(entries[comparator]).join(", ")}${rows.length > 1 ? `, beside ${model}` : ""}`;
}

/** Spread over cases, and the difference to the fine-tuned model case by case. */
function comparison(rows: TaskRow[], variant: TaskVariant, metric: string, assets: Assets): Html | null {
  const lines = rows.flatMap((row) =>
    comparators.flatMap((comparator) => {
      const { score } = row.entries[comparator];
      if (!score) return [];
      const claim = comparator === "fine-tuned" ? undefined : row.claims[comparator as GainReference];
      return [{ row, comparator, score, claim }];
    }),
  );
  const byCase = lines.some(({ score }) => score.median !== null);
  const spread = { label: `${metricLabel(metric)}${byCase ? " over cases" : ""}`, class: "plain" };
  const difference = { label: "Fine-tuned is better by", class: "plain" };
  const number = (value: number | null | undefined, text = fixed(value, 3)): TableCell =>
    value === null || value === undefined || !Number.isFinite(value) ? absent : { shown: text, sort: value };
  if (lines.every(({ score }) => score.mean === null)) return null;
  const compared = lines.some(({ claim }) => claim?.difference.low != null);
  return html`<p>${metricWithDirection(metric, lines[0]?.row.higherIsBetter ?? true)}.${compared ? " Differences and their 95 % intervals are over seeds and patients." : " With one seed a difference has no interval: how much a result moves from one training to the next is not known."}</p>
${assets.table(
  withoutEmptyColumns({
    name: `comparison-${variantName(variant, "-")}`,
    caption: `${taskLabel(variant)}: comparators over the test cases`,
    columns: [
      { label: "Comparator", kind: "text" },
      { label: "Model", kind: "text", wideOnly: true },
      { label: "Cases", kind: "number" },
      { label: "mean", group: spread, kind: "number" },
      { label: "SD", group: spread, kind: "number" },
      { label: "median", group: spread, kind: "number" },
      { label: "lowest", group: spread, kind: "number" },
      { label: "highest", group: spread, kind: "number" },
      { label: "mean", group: difference, kind: "number" },
      { label: "95 % from", group: difference, kind: "number" },
      { label: "to", group: difference, kind: "number" },
      { label: "better on", group: difference, kind: "number" },
      { label: "verdict", group: difference, kind: "text" },
    ],
    rows: lines.map(({ row, comparator, score, claim }): TableCell[] => [
      {
        shown: html`<span class="swatch ${comparator}">${comparatorLabel[comparator]}</span>`,
        sort: comparatorLabel[comparator],
        narrow: html`${modelOf(row, comparator, rows)}`,
      },
      { shown: modelOf(row, comparator, rows) },
      { shown: String(score.testCases), sort: score.testCases },
      number(score.mean),
      number(score.caseDeviation),
      number(score.median),
      number(score.lowest),
      number(score.highest),
      ...(claim
        ? [
            number(claim.difference.estimate, signed(claim.difference.estimate, 3)),
            number(claim.difference.low, signed(claim.difference.low, 3)),
            number(claim.difference.high, signed(claim.difference.high, 3)),
            claim.better === null
              ? absent
              : { shown: `${claim.better} of ${claim.patients}`, sort: claim.better / claim.patients },
            { shown: verdictWords[claim.verdict] },
          ]
        : [absent, absent, absent, absent, absent]),
    ]),
    csvColumns: [
      "foundation model",
      "comparator",
      "cases",
      "mean",
      "SD",
      "median",
      "lowest",
      "highest",
      "fine-tuned better by",
      "95% from",
      "95% to",
      "fine-tuned better on",
      "patients",
      "seeds",
      "p",
      "p by Holm",
      "verdict",
      "reason",
    ],
    csvRows: lines.map(({ row, comparator, score, claim }) => ({
      "foundation model": row.model,
      comparator,
      cases: score.testCases,
      mean: score.mean,
      SD: score.caseDeviation,
      median: score.median,
      lowest: score.lowest,
      highest: score.highest,
      "fine-tuned better by": claim?.difference.estimate ?? null,
      "95% from": claim?.difference.low ?? null,
      "95% to": claim?.difference.high ?? null,
      "fine-tuned better on": claim?.better ?? null,
      patients: claim?.patients ?? null,
      seeds: claim?.seeds.length ?? null,
      p: claim?.p ?? null,
      "p by Holm": claim?.adjustedP ?? null,
      verdict: claim?.verdict ?? null,
      reason: claim?.reason ?? null,
    })),
  }),
)}`;
}
