import { expected } from "../common/errors.js";

/** A statistic of cases that were drawn, some of them several times. */
export type OfDrawn = (drawn: readonly number[]) => number;

/** `specificityAtSensitivity` of cases that are drawn again and again: their order by score is found once. */
export function specificityOfDrawn(
  labels: readonly boolean[],
  scores: readonly number[],
  sensitivity: number,
): OfDrawn {
  if (typeof sensitivity !== "number" || !(sensitivity > 0 && sensitivity <= 1))
    throw expected("a number in (0, 1]", "sensitivity", sensitivity);
  const score = (index: number) => scores[index] as number;
  const order = Uint32Array.from(scores.keys()).sort((a, b) => score(b) - score(a));
  const times = new Uint32Array(scores.length);
  return (drawn) => {
    times.fill(0);
    let [positives, negatives] = [0, 0];
    for (const index of drawn) {
      times[index] = (times[index] as number) + 1;
      if (labels[index]) positives++;
      else negatives++;
    }
    let [found, alarms] = [0, 0];
    for (let place = 0; place < order.length; ) {
      // Cases of one score are on the same side of every threshold.
      const value = score(order[place] as number);
      for (; place < order.length && score(order[place] as number) === value; place++) {
        const index = order[place] as number;
        if (labels[index]) found += times[index] as number;
        else alarms += times[index] as number;
      }
      if (found / positives >= sensitivity) return (negatives - alarms) / negatives;
    }
    return Number.NaN;
  };
}
