import type { DriftBetweenSeeds } from "../results/distances.js";
import { listing } from "./format.js";
import { taskInProse } from "./labels.js";

/**
 * How far fine-tuning moved the encoder of a model, against how far two seeds lie apart: one sentence for all tasks; empty
 * where that is known of none.
 */
export function movedInWords(model: string, drift: readonly DriftBetweenSeeds[]): string {
  const on = (verdict: DriftBetweenSeeds["d2p"]["verdict"]) =>
    listing(
      drift
        .filter((one) => one.model === model && one.d2p.verdict === verdict)
        .map((one) => taskInProse(one)),
    );
  const [within, beyond] = [on("within"), on("beyond")];
  const what = "fine-tuning moved its features";
  const parts = [
    ...(within === "" ? [] : [`on ${within} ${what} no more than two seeds differ`]),
    ...(beyond === ""
      ? []
      : [`on ${beyond} ${within === "" ? `${what} ` : ""}further than two seeds differ`]),
  ];
  const text = parts.join("; ");
  return text === "" ? "" : `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** The same of one task, with the numbers; empty where seeds could not tell, which is said of all claims. */
export function movedOnCard(
  of: Pick<DriftBetweenSeeds, "task" | "strategy" | "model">,
  drift: readonly DriftBetweenSeeds[],
): string {
  const own = driftOf(of, drift);
  if (own === null || own.seeds.length < 2) return "";
  return `How far it moved: ${own.d2p.verdict === "not-known" ? "not known, " : ""}${own.d2p.reason}.`;
}

export const driftOf = (
  { task, strategy, model }: Pick<DriftBetweenSeeds, "task" | "strategy" | "model">,
  drift: readonly DriftBetweenSeeds[],
): DriftBetweenSeeds | null =>
  drift.find((one) => one.task === task && one.strategy === strategy && one.model === model) ?? null;
