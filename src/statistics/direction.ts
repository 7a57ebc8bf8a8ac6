import type { TestMetric } from "../results/cell.js";

type Directed = Pick<TestMetric, "lowerIsBetter">;

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

/** Below it a metric whose best value is 1 says that nothing was learnt: one such result is not better than another. */
export const hardlyAnything = 0.05;

/** Whether the best of these values says that nothing was learnt; of an error, no value does. */
export const isHardlyAnything = ({ lowerIsBetter }: Directed, best: number): boolean =>
  !lowerIsBetter && best < hardlyAnything;

/** What is written to disk of where lower values are the better ones. */
export const directionSaid = ({ lowerIsBetter }: Directed): Directed =>
  lowerIsBetter ? { lowerIsBetter } : {};
