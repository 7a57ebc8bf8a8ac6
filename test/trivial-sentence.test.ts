import { describe, expect, it } from "vitest";
import { summarise } from "../dist/report/report-summary.js";
import { modelAnswers } from "../dist/report/sentences.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { type FixtureOptions, studyResults } from "./report-fixture.js";

const means = { "lesion-segmentation": 0.68, "super-resolution": 0.89 } as Record<string, number>;

/** The fine-tuned models have these means, all other networks half of them; what takes no network those that are given. */
const answers = (trivial: Record<string, number>, options: FixtureOptions = {}) => {
  const results = studyResults({
    mean: (task, comparator) => (means[task] as number) * (comparator === "fine-tuned" ? 1 : 0.5),
    trivial: (task) => trivial[task] as number,
    ...options,
  });
  return { answers: modelAnswers(summarise(results)), results };
};

describe("what is said first of a model", () => {
  it("is on which tasks it does not beat what takes no network, with both means", () => {
    const { answers: of } = answers({ "lesion-segmentation": 0.73, "super-resolution": 0.8 });
    expect(of[0]?.answer).toMatch(
      /^profound-tiny does not beat what takes no network on 1 of 2 tasks, as far as one seed can tell: lesion segmentation \(Dice 0\.\d+ against 0\.\d+ of nothing-learnt\)\. /,
    );
  });

  it("says from several seeds on how sure that is, and counts a lead that does not matter as none", () => {
    // Only SSIM lies ahead, by 0.003: less than its margin of 0.01.
    const { answers: of } = answers(
      { "lesion-segmentation": 0.9, "super-resolution": 0.887 },
      { seeds: [1, 2, 3, 4, 5], testCases: 60 },
    );
    expect(of[0]?.answer).toMatch(
      /^profound-tiny does not beat what takes no network on 2 of 2 tasks: lesion segmentation \(Dice 0\.\d+ against 0\.\d+ of nothing-learnt: worse\) and super-resolution \(SSIM 0\.\d+ against 0\.\d+ of nothing-learnt: practically equal\)\. /,
    );
  });

  it("is said of each model and task by itself, whatever the seeds", () => {
    const { answers: of, results } = answers(
      { "lesion-segmentation": 0.8, "super-resolution": 0.95 },
      { models: ["one", "two"], seeds: [1, 2, 3] },
    );
    for (const { model, answer } of of)
      expect(answer).toMatch(
        new RegExp(
          `^${model} does not beat what takes no network on 2 of 2 tasks: lesion .* and super-resolution `,
        ),
      );
    const done = results.cells.flatMap(({ result }) => result ?? []);
    const claims = computeClaims(done).filter(({ reference }) => reference === "trivial");
    expect(claims.map(({ seeds }) => seeds)).toEqual(Array(4).fill([1, 2, 3]));
    expect(claims.every(({ difference }) => difference.estimate < 0 && (difference.high as number) < 0)).toBe(
      true,
    );
  });

  it("is nothing of the kind where it beats it, and where the study is older than that comparator", () => {
    for (const { answers: of } of [
      answers({ "lesion-segmentation": 0.1, "super-resolution": 0.2 }),
      { answers: modelAnswers(summarise(studyResults())) },
    ])
      expect(of[0]?.answer).not.toMatch(/takes no network/);
    expect(
      answers({ "lesion-segmentation": 0.1, "super-resolution": 0.2 }, { seeds: [1, 2, 3] }).answers[0]?.more,
    ).toMatch(
      /over what takes no network, better on 2 of 2 tasks \(lesion segmentation and super-resolution\)\.$/,
    );
  });
});
