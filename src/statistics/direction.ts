import type { TestMetric } from "../results/cell.js";

type Directed = Pick<TestMetric, "lowerIsBetter">;

/** Also by what result the task counts as learnt. */
type Floored = Pick<TestMetric, "lowerIsBetter" | "floor">;

/** What turns a difference of a metric into "better by": 1, or -1 where lower values are the better ones. */
export const directionOf = ({ lowerIsBetter }: Directed): 1 | -1 => (lowerIsBetter ? -1 : 1);

/** As it is, or with its sign turned; never -0, which JSON does not know. */
export const turned = (value: number, direction: 1 | -1): number => (direction === 1 ? value : 0 - value);

/** A difference of two models as "better by": its sign, and its interval's, turned where lower values are the better ones. */
export const betterBy = <Difference extends { estimate: number; interval(level: number): [number, number] }>(
  difference: Difference,
  direction: 1 | -1,
): Difference =>
  direction === 1
    ? difference
    : {
        ...difference,
        estimate: turned(difference.estimate, direction),
        interval: (level) => {
          const [low, high] = difference.interval(level);
          return [turned(high, direction), turned(low, direction)];
        },
      };

/** What had to be reached, for a person. */
export const floorSaid = ({ floor = 0 }: Floored): string => String(Number(floor.toFixed(3)));

/** Where a result is that does not reach it: "below 0.05". */
export const belowFloor = (metric: Floored): string =>
  `${metric.lowerIsBetter ? "above" : "below"} ${floorSaid(metric)}`;

/** The better of the two values that a claim compares. */
export const betterOfTwo = (claim: Directed & { fineTuned: number; referenceValue: number }): number =>
  claim.lowerIsBetter
    ? Math.min(claim.fineTuned, claim.referenceValue)
    : Math.max(claim.fineTuned, claim.referenceValue);

/** Whether the best of these values says that nothing was learnt, by what the task declares: one such result is not better than another. */
export const isHardlyAnything = ({ floor, ...metric }: Floored, best: number): boolean =>
  floor !== undefined && directionOf(metric) * (best - floor) < 0;

/** What is written to disk of where lower values are the better ones, and of what must be reached. */
export const directionSaid = ({ lowerIsBetter, floor }: Floored): Floored => ({
  ...(lowerIsBetter ? { lowerIsBetter } : {}),
  ...(floor === undefined ? {} : { floor }),
});
