import { describe, expect, it } from "vitest";
import { summarise } from "../dist/report/report-summary.js";
import { claimCards, claimsSection } from "../dist/report/sections/claims.js";
import { modelAnswers } from "../dist/report/sentences.js";
import type { DriftBetweenSeeds, KernelDistance } from "../dist/results/distances.js";
import { judgeDrift, rangeOf } from "../dist/statistics/drift.js";
import { studyResults } from "./report-fixture.js";

const kernel = (biased: number): KernelDistance => ({
  ...{ sigma: 1, biased, unbiased: biased, offDiagonalMean: 0.5, flags: [], saturated: false },
  kernelMeans: { withinA: 0.5, withinB: 0.5, between: 0.4 },
});

const seeds = [1, 2, 3];
const results = studyResults({ seeds, models: ["profound-tiny", "other"] });

/** Two seeds lie 0.2 to 0.4 apart; D2P of every seed is this. */
function drift(task: string, d2p: number, ofSeeds = seeds, model = "profound-tiny"): DriftBetweenSeeds {
  const [example] = results.distances;
  const distances = ofSeeds.map((seed) => ({ ...example, name: "D2P", seed, paper: kernel(d2p) }));
  const values = ofSeeds.length < 2 ? [] : [0.2, 0.3, 0.4];
  const pairs = values.map((value) => ({
    paper: kernel(value),
    medianHeuristic: kernel(value),
    procrustes: 0.1,
  }));
  const none = { linearCka: null, procrustes: null, meanShift: null, depths: [] };
  return {
    ...{ task, strategy: "direct", model, seeds: ofSeeds, pairs: pairs.length },
    ...{ paper: rangeOf(values), saturated: false, medianHeuristic: rangeOf(values), ...none },
    d2p: judgeDrift(distances as never, pairs, ofSeeds.length),
  } as DriftBetweenSeeds;
}

const more = (...found: DriftBetweenSeeds[]) => modelAnswers(summarise(results), found)[0]?.more ?? "";
const cardsOf = (...found: DriftBetweenSeeds[]) =>
  String(claimsSection(summarise(results), found))
    .split("<article")
    .map((card) => card.replace(/<[^>]*>/g, "").replaceAll("\u00a0", " "));

describe("how far an encoder moved, against how far two seeds lie apart,", () => {
  it("is said on the first screen in one sentence", () => {
    expect(more(drift("lesion-segmentation", 0.3), drift("super-resolution", 0.1))).toMatch(
      /On lesion segmentation and super-resolution fine-tuning moved its features no more than two seeds differ\.$/,
    );
    expect(more(drift("lesion-segmentation", 0.3), drift("super-resolution", 0.9))).toMatch(
      /On lesion segmentation fine-tuning moved its features no more than two seeds differ; on super-resolution further than two seeds differ\.$/,
    );
    expect(more(drift("super-resolution", 0.9))).toMatch(
      /On super-resolution fine-tuning moved its features further than two seeds differ\.$/,
    );
  });

  it("is not said where one seed cannot tell, nor of another model", () => {
    expect(more(drift("super-resolution", 0.9, [1]))).not.toMatch(/two seeds/);
    expect(more(drift("super-resolution", 0.9, seeds, "other"))).not.toMatch(/two seeds/);
    expect(cardsOf(drift("super-resolution", 0.9, [1])).join()).not.toMatch(/How far it moved/);
  });

  it("stands on the claim card with its numbers, and in claims.json", () => {
    const found = [drift("lesion-segmentation", 0.3), drift("super-resolution", 0.9)];
    const cards = cardsOf(...found);
    const card = (task: string) => cards.find((text) => text.includes(`profound-tiny: ${task}`));
    expect(card("Lesion segmentation")).toContain(
      "How far it moved: D2P 0.30 (MMD² of the paper) is within the drift between seeds (0.20 to 0.40 over 3 pairs): it moved no more than two seeds differ.",
    );
    expect(card("Super-resolution")).toContain(
      "is beyond the drift between seeds (0.20 to 0.40 over 3 pairs): it moved further than two seeds differ. Of 3 seeds, chance alone puts it there in up to 1 of 4 studies.",
    );
    expect(cards.join("").match(/How far it moved/g)).toHaveLength(2);
    const data = claimCards(summarise(results), found) as { task: string; model: string; moved: unknown }[];
    for (const { task, model, moved } of data)
      expect(moved).toEqual(model === "other" ? null : (found.find((one) => one.task === task)?.d2p ?? null));
  });
});
