import { expected } from "../common/errors.js";
import { randomStream } from "../common/random.js";

/** Up to so many points every order of them is gone through: 9! = 362,880. */
export const mostEnumerated = 9;

/** Orders drawn where there are too many to go through. */
const defaultResamples = 9_999;
const mostResamples = 10_000_000;

/** An |r| that falls short of the given one by rounding only counts as reaching it. */
export const roundingShare = 1 - 1e-12;

/** How orders are drawn where there are too many to go through. */
export interface PermutationOptions {
  /** Of the orders drawn for more than nine points; default 0. */
  seed?: number;
  /** How many; default 9,999, at most 10,000,000. */
  resamples?: number;
}

/**
 * The share of orders whose statistic reaches each of the given ones: exact over all orders of up to nine points, and of
 * more (k + 1) / (B + 1) over B drawn ones. `statistic` sees an order: position i holds the point whose y goes to x_i.
 */
export function shareReaching(
  n: number,
  given: readonly number[],
  statistic: (order: readonly number[]) => number,
  options: PermutationOptions = {},
): number[] {
  const reached = given.map((): number => 0);
  const { orders, exact } = seeOrders(
    n,
    (order) => {
      const value = statistic(order);
      for (let k = 0; k < given.length; k++) {
        if (value >= (given[k] as number) * roundingShare) reached[k] = (reached[k] as number) + 1;
      }
    },
    options,
  );
  return reached.map((count) => shareOf(count, orders, exact));
}

/** The share of orders that reached something: of drawn ones with the given order among them, which they may leave out. */
export const shareOf = (count: number, orders: number, exact: boolean): number =>
  exact ? count / orders : (count + 1) / (orders + 1);

/**
 * Shows `see` every order of up to `mostExact` points (default nine), and of more those that are drawn.
 *
 * @returns how many it saw, and whether they were all
 */
export function seeOrders(
  n: number,
  see: (order: readonly number[]) => void,
  options: PermutationOptions = {},
  mostExact = mostEnumerated,
): { orders: number; exact: boolean } {
  const { seed = 0, resamples = defaultResamples } = options;
  if (!Number.isSafeInteger(seed)) throw expected("a whole number", "seed", seed);
  if (!(Number.isSafeInteger(resamples) && resamples >= 1 && resamples <= mostResamples))
    throw expected(`a whole number from 1 to ${mostResamples}`, "resamples", resamples);
  const order = Array.from({ length: n }, (_, i) => i);
  if (n <= mostExact) {
    let orders = 0;
    everyOrder(order, n, (one) => {
      orders++;
      see(one);
    });
    return { orders, exact: true };
  }
  const random = randomStream(seed, "permutation");
  for (let b = 0; b < resamples; b++) see(random.shuffle(order));
  return { orders: resamples, exact: false };
}

/** Heap's algorithm: each order once, by one swap from the one before. */
function everyOrder(order: number[], length: number, see: (order: readonly number[]) => void): void {
  if (length <= 1) {
    see(order);
    return;
  }
  for (let i = 0; i < length; i++) {
    everyOrder(order, length - 1, see);
    const other = length % 2 === 0 ? i : 0;
    if (i < length - 1)
      [order[other], order[length - 1]] = [order[length - 1] as number, order[other] as number];
  }
}

/** |r| between two columns of deviations of length 1, the second in an order. */
export function absoluteProduct(
  x: readonly number[],
  y: readonly number[],
  order: readonly number[],
): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i] as number) * (y[order[i] as number] as number);
  return Math.abs(sum);
}
