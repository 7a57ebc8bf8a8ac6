import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { checkForecasts, type ForecastPoint } from "../dist/statistics/forecast-check.js";

const { normal } = randomStream(3, "forecast check test");

/** Five tasks, four models; gains that follow the score by `slope`, and chance. */
const points = (slope: number, noise: number): ForecastPoint[] =>
  ["a", "b", "c", "d", "e"].flatMap((task, scale) =>
    ["one", "two", "three", "four"].map((model) => {
      const score = normal();
      // Scores of tasks lie on other scales, as those of a class and of an intensity do.
      return { task, model, score: score * 10 ** scale, gain: 1 + slope * score + noise * normal() };
    }),
  );

describe("a forecast that is scored with the task and the model left out", () => {
  it("is called better than the mean gain where gains follow it", () => {
    const { score } = checkForecasts({ score: points(2, 0.3) }, 1);
    expect(score?.better).toBe(true);
    expect(score?.error).toBeLessThan((score?.meanGainError as number) / 1.5);
    expect(score?.points).toBe(20);
  });

  it("is hardly ever called better where gains have nothing to do with it", () => {
    const called = Array.from({ length: 60 }, () => {
      const { one, two } = checkForecasts({ one: points(0, 1), two: points(0, 1) }, 2);
      return one?.better || two?.better;
    });
    // At most 5 % of studies, by Holm over both: of 60 at most 8, the 99 % bound.
    expect(called.filter(Boolean).length).toBeLessThanOrEqual(8);
  });

  it("is off by what a hand computes", () => {
    // Two tasks, two models: each gain is forecast by the one of the other task and the other model.
    const gains = { "a one": 1, "a two": 2, "b one": 4, "b two": 8 };
    const of = Object.entries(gains).map(([key, gain]) => {
      const [task, model] = key.split(" ") as [string, string];
      return { task, model, gain, score: gain };
    });
    const { score } = checkForecasts({ score: of }, 1);
    // |8 - 1|, |4 - 2|, |2 - 4|, |1 - 8|: one point makes no line.
    expect(score).toMatchObject({ error: 4.5, meanGainError: 4.5, better: false });
  });

  it("is not scored with one task, one model, or nothing finished", () => {
    const all = points(1, 1);
    const checked = checkForecasts(
      {
        none: [],
        "one task": all.filter(({ task }) => task === "a"),
        "one model": all.filter(({ model }) => model === "one"),
      },
      1,
    );
    expect(checked).toEqual({ none: null, "one task": null, "one model": null });
  });
});
