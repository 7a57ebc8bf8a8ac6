import { createHash } from "node:crypto";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** A stream of random draws. The same seed and name give the same draws on every machine. */
export interface RandomStream {
  /** A number in [0, 1), with 53 random bits. */
  uniform(): number;
  /** A number in [low, high). */
  between(low: number, high: number): number;
  /** A whole number in [low, high], both included. */
  integer(low: number, high: number): number;
  /** A draw from the normal distribution (Box-Muller). */
  normal(mean?: number, standardDeviation?: number): number;
  /** One of `items`, each equally likely. */
  pick<T>(items: readonly T[]): T;
  /** `items` in random order (Fisher-Yates), as a new array. */
  shuffle<T>(items: readonly T[]): T[];
}

/**
 * A seed for a native generator: the first 32 bits of SHA-256 over the study's seed and the stream's name.
 * Names are paths such as `("split", "profound", "epoch", 3)`: what a stream is for, never when it is drawn.
 */
export function seedFor(seed: number, ...name: (string | number)[]): number {
  return createHash("sha256")
    .update(JSON.stringify([seed, ...name]))
    .digest()
    .readUInt32LE(0);
}

/** Opens the random stream of that name under `seed`. */
export function randomStream(seed: number, ...name: (string | number)[]): RandomStream {
  const generator = xoroshiro128plus(seedFor(seed, ...name) | 0);
  const uniform = () => uniformFloat64(generator);
  const integer = (low: number, high: number) => uniformInt(generator, low, high);
  const shuffle = <T>(items: readonly T[]): T[] => {
    const result = [...items];
    for (let last = result.length - 1; last > 0; last--) {
      const other = integer(0, last);
      [result[last], result[other]] = [result[other] as T, result[last] as T];
    }
    return result;
  };
  return {
    uniform,
    integer,
    shuffle,
    between: (low, high) => low + (high - low) * uniform(),
    normal: (mean = 0, standardDeviation = 1) =>
      mean + standardDeviation * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    pick: (items) => items[integer(0, items.length - 1)] as (typeof items)[number],
  };
}
