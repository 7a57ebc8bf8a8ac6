import type { TopLevelSpec } from "vega-lite";
import { groupBy } from "../../common/group-by.js";
import { largest, smallest } from "../../common/numbers.js";
import type { Strategy, TaskName } from "../../common/vocabulary.js";
import type { Claim, GainReference, Verdict } from "../../results/claims.js";
import { difference, hasOneSeed } from "../claim-words.js";
import { listing } from "../format.js";
import { html } from "../html.js";
import { metricInProse, pointLabel, referenceInProse, starMeaning, verdictWords } from "../labels.js";
import { looks, roles } from "../palette.js";
import { answeredOver, type Summary, type TaskRow } from "../report-summary.js";
import { type Figure, panel, textSize } from "./figure.js";

type Over = (typeof answeredOver)[number];

/** One line of the picture: a task over a reference. */
interface Row {
  model: string;
  task: TaskName;
  strategy: Strategy;
  label: string;
  reference: Over;
  /** Null where the study has both but they could not be compared. */
  claim: Claim | null;
}

/** The answer as a picture: how much better or worse the fine-tuned model is, on every task and over every reference. */
export function gainFigure(summary: Summary): Figure | null {
  const rows = summary.rows.flatMap(rowsOf);
  const claims = rows.flatMap(({ claim }) => claim ?? []);
  if (claims.length === 0) return null;
  const domain = gainDomain(claims.map(inMargins));
  const beyond = claims
    .map(inMargins)
    .some(({ low, high }) => (low !== null && low < domain[0]) || (high !== null && high > domain[1]));
  const models = summary.models.filter((model) => rows.some((row) => row.model === model && row.claim));
  const oneSeed = claims.every(hasOneSeed);
  return {
    name: "gain",
    title: "The fine-tuned model over each reference",
    caption: html`Difference in the test metric, in margins. One margin, the shaded band, is what does not matter in practice:
${marginsInWords(claims)}. The axis is logarithmic beyond it. ${
      oneSeed
        ? "With one seed there is no interval, and nothing is decided: how much a result moves from one training to the next is not known."
        : `Lines are 95 % intervals over seeds and patients${beyond ? "; one that reaches the edge goes on beyond it" : ""}.`
    }${starMeaning(rows)}`,
    panels: models.map((model) => {
      const mine = rows.filter((row) => row.model === model);
      return {
        label: `${model}. ${mine.map(inWords).join("; ")}.`,
        title: model,
        parts: [{ spec: (width: number) => spec(mine, domain, width) }],
      };
    }),
    legend: [],
    key: "point",
    columnsOfCsv: [
      ...["model", "task", "strategy", "reference", "metric", "difference", "low", "high"],
      ...["margin", "verdict", "seeds", "patients", "p by Holm", "RPG (%)"],
    ],
    rows: rows.flatMap(({ model, task, strategy, reference, claim }) =>
      claim === null
        ? []
        : [
            {
              ...{ model, task, strategy, reference, metric: claim.metric },
              difference: claim.difference.estimate,
              low: claim.difference.low,
              high: claim.difference.high,
              margin: claim.equivalence.margin,
              verdict: claim.verdict,
              seeds: claim.seeds.length,
              patients: claim.patients,
              "p by Holm": claim.adjustedP,
              "RPG (%)": claim.percent?.estimate ?? null,
            },
          ],
    ),
  };
}

function rowsOf(row: TaskRow): Row[] {
  const { model, task, strategy, entries, claims } = row;
  return answeredOver.flatMap((reference): Row[] => {
    const known = claims[reference] ?? null;
    const claim = known && isDrawable(known) ? known : null;
    const planned = [entries["fine-tuned"], entries[reference]].every(({ status }) => status !== "absent");
    return known === null && !planned
      ? []
      : [{ ...{ model, task, strategy, reference, claim }, label: pointLabel(row) }];
  });
}

/** A file that was changed by hand may hold anything. */
const isDrawable = ({ difference: { estimate }, equivalence: { margin } }: Claim): boolean =>
  Number.isFinite(estimate) && margin > 0;

/** `0.02 of Dice and 0.01 of SSIM`. */
function marginsInWords(claims: readonly Claim[]): string {
  return listing([
    ...new Set(claims.map(({ metric, equivalence }) => `${equivalence.margin} of ${metricInProse(metric)}`)),
  ]);
}

function inWords({ label, reference, claim }: Row): string {
  const over = `${label} over ${referenceInProse[reference]}`;
  if (claim === null) return `${over}: not compared`;
  const { estimate, low, high } = claim.difference;
  const interval =
    low === null || high === null ? "" : `, 95 % interval ${difference(low)} to ${difference(high)}`;
  return `${over}: ${verdictWords[claim.verdict]}, ${difference(estimate)}${interval}`;
}

interface InMargins {
  estimate: number;
  low: number | null;
  high: number | null;
}

/** A difference as a multiple of what does not matter, so that tasks of every metric share an axis. */
function inMargins({ difference: known, equivalence: { margin } }: Claim): InMargins {
  const of = (value: number) => value / margin;
  const { estimate, low, high } = known;
  return {
    estimate: of(estimate),
    low: low === null ? null : of(low),
    high: high === null ? null : of(high),
  };
}

/**
 * The part of the axis that holds the margins, every difference, and intervals as far as they are no more than a few times
 * as long as the largest difference: few seeds leave some almost without end, which would flatten all others.
 */
export function gainDomain(all: readonly InMargins[]): [number, number] {
  const estimates = all.map(({ estimate }) => estimate);
  const most = Math.max(10, 3 * largest(estimates.map(Math.abs)));
  const ends = all.flatMap(({ low, high }) => [low ?? 0, high ?? 0]);
  const from = Math.max(-most, smallest([-leastShown, ...estimates, ...ends]));
  return [from, Math.min(most, largest([leastShown, ...estimates, ...ends]))];
}

/** On both sides: the band of one margin, and a little beyond. */
const leastShown = 1.6;

const triangleRight = "M1.05,0L-0.85,-1L-0.85,1Z";
const triangleLeft = "M-1.05,0L0.85,-1L0.85,1Z";
const equals = "M-1,-0.8L1,-0.8L1,-0.22L-1,-0.22ZM-1,0.22L1,0.22L1,0.8L-1,0.8Z";
const circle = "M0.85,0A0.85,0.85,0,1,1,-0.85,0A0.85,0.85,0,1,1,0.85,0Z";

/** A verdict is told by its mark, and by its word beside it. */
const marks: Readonly<Record<Verdict, string>> = {
  supported: triangleRight,
  contradicted: triangleLeft,
  "practically-equal": equals,
  undetermined: circle,
};

const shortReference: Readonly<Record<Over, string>> = {
  "from-scratch": "scratch",
  specialised: "specialised",
  trivial: "trivial",
} satisfies Partial<Record<GainReference, string>>;

const rowHeight = 18;
/** Above the first row: what the columns hold. */
const heading = 20;

/** Where the axis has room for few ticks, the first of these stay, on both sides of 0 alike. */
const ticks = [0, 1, 10, 100, 3, 30, 300];

function ticksOf([low, high]: [number, number], width: number): number[] {
  const place = (value: number) => Math.sign(value) * Math.log1p(Math.abs(value));
  const scale = width / (place(high) - place(low));
  const shown: number[] = [];
  for (const size of ticks) {
    const pair = (size === 0 ? [0] : [-size, size]).filter((tick) => tick >= low && tick <= high);
    const apart = (one: number) => shown.every((other) => Math.abs(place(other) - place(one)) * scale >= 26);
    if (pair.every(apart)) shown.push(...pair);
  }
  return shown;
}

function spec(rows: Row[], domain: [number, number], width: number): TopLevelSpec {
  const wide = width > 480;
  // For the references at the left, the numbers and verdicts at the right.
  const room = { left: 70, right: wide ? 258 : 150, top: 2, bottom: 40 };
  const plot = width - room.left - room.right;
  const scale = { type: "symlog" as const, constant: 1, domain, nice: false, zero: false, padding: 7 };
  const lines = placed(rows);
  const height = lines.height + room.top + room.bottom;
  const at = (field: string) => ({ field, type: "quantitative" as const, scale });
  const y = { field: "y", type: "quantitative" as const, scale: null, axis: null };
  const words = (name: string, x: number, more: object, field: string, values: object[]) => ({
    name,
    data: { values },
    mark: { type: "text" as const, clip: false, fontSize: textSize, baseline: "middle" as const, ...more },
    encoding: { x: { value: x }, y, text: { field, type: "nominal" as const } },
  });
  const compared = lines.rows.flatMap(({ row, y: at }) => {
    if (row.claim === null) return [];
    const { estimate, low, high } = inMargins(row.claim);
    return [
      {
        y: at,
        estimate,
        from: low === null ? null : Math.max(low, domain[0]),
        to: high === null ? null : Math.min(high, domain[1]),
        mark: marks[row.claim.verdict],
        colour: looks[row.reference].light,
        fill: row.claim.verdict === "undetermined" ? roles.page.light : looks[row.reference].light,
      },
    ];
  });
  return {
    ...panel(height, width, room),
    layer: [
      {
        data: { values: lines.blocks.map((block) => ({ ...block, from: -1, to: 1 })) },
        mark: { type: "rect", color: roles.band.light },
        encoding: {
          x: {
            ...at("from"),
            title: "Difference, in margins",
            axis: {
              values: ticksOf(domain, plot),
              labelOverlap: false,
              labelExpr:
                "datum.value > 0 ? '+' + datum.value : datum.value < 0 ? '\u2212' + abs(datum.value) : '0'",
              grid: false,
            },
          },
          x2: { field: "to" },
          y: { ...y, field: "top" },
          y2: { field: "bottom" },
        },
      },
      {
        data: { values: lines.blocks },
        mark: { type: "rule", color: roles.axis.light },
        encoding: { x: { datum: 0, scale }, y: { ...y, field: "top" }, y2: { field: "bottom" } },
      },
      {
        data: { values: compared },
        transform: [{ filter: "isValid(datum.from) && isValid(datum.to)" }],
        mark: { type: "rule", strokeWidth: 1.75 },
        encoding: {
          x: at("from"),
          x2: { field: "to" },
          y,
          color: { field: "colour", type: "nominal", scale: null },
        },
      },
      {
        name: "points",
        data: { values: compared },
        mark: { type: "point", opacity: 1, size: 62, strokeWidth: 1.6 },
        encoding: {
          x: at("estimate"),
          y,
          shape: { field: "mark", type: "nominal", scale: null },
          stroke: { field: "colour", type: "nominal", scale: null },
          fill: { field: "fill", type: "nominal", scale: null },
        },
      },
      words(
        "tasks",
        4 - room.left,
        { align: "left", fontWeight: 600, color: roles.ink.light },
        "text",
        lines.tasks,
      ),
      words(
        "references",
        4 - room.left,
        { align: "left", color: roles.ink.light },
        "text",
        lines.rows.map(({ row, y: at }) => ({ y: at, text: shortReference[row.reference] })),
      ),
      words(
        "numbers",
        plot + (wide ? 152 : 48),
        { align: "right", color: roles.ink.light },
        "text",
        lines.rows.flatMap(({ row, y: at }) => (row.claim ? [{ y: at, text: number(row.claim, wide) }] : [])),
      ),
      // What is decided stands out, whichever way.
      ...[true, false].map((decided) =>
        words(
          decided ? "decided" : "open",
          plot + room.right - 4,
          {
            align: "right",
            ...(decided ? { fontWeight: 600, color: roles.ink.light } : { color: roles.muted.light }),
          },
          "text",
          lines.rows.flatMap(({ row: { claim }, y: at }) =>
            isDecided(claim) === decided
              ? [{ y: at, text: claim ? verdictWords[claim.verdict] : "not compared" }]
              : [],
          ),
        ),
      ),
      words("columns", 4 - room.left, { align: "left", color: roles.muted.light }, "text", [
        { y: 8, text: "over" },
      ]),
      words("worse", 0, { align: "left", color: roles.muted.light }, "text", [{ y: 8, text: "worse" }]),
      words("better", plot, { align: "right", color: roles.muted.light }, "text", [{ y: 8, text: "better" }]),
    ],
  };
}

const isDecided = (claim: Claim | null): boolean =>
  claim?.verdict === "supported" || claim?.verdict === "contradicted";

function number({ difference: { estimate, low, high } }: Claim, withInterval: boolean): string {
  return withInterval && low !== null && high !== null
    ? `${difference(estimate)} [${difference(low)}, ${difference(high)}]`
    : difference(estimate);
}

/** A heading a task, and its rows beneath as a block: in pixels, rows at half their height. */
function placed(rows: readonly Row[]): {
  height: number;
  tasks: { y: number; text: string }[];
  rows: { row: Row; y: number }[];
  blocks: { top: number; bottom: number }[];
} {
  let y = heading;
  const tasks: { y: number; text: string }[] = [];
  const all: { row: Row; y: number }[] = [];
  const blocks: { top: number; bottom: number }[] = [];
  for (const [label, own] of groupBy(rows, (row) => row.label)) {
    tasks.push({ y: y + rowHeight / 2 + 1, text: label });
    y += rowHeight + 1;
    blocks.push({ top: y, bottom: y + own.length * rowHeight });
    for (const row of own) {
      all.push({ row, y: y + rowHeight / 2 });
      y += rowHeight;
    }
    y += 2;
  }
  return { height: y + 4, tasks, rows: all, blocks };
}
