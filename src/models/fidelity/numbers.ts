import { average } from "../../common/numbers.js";
/** Pearson's; 0 where one of both does not vary. */
export function correlation(a: readonly number[], b: readonly number[]): number {
  const [centreA, centreB] = [average(a), average(b)];
  let [both, squareA, squareB] = [0, 0, 0];
  for (let index = 0; index < a.length; index++) {
    const [x, y] = [(a[index] as number) - centreA, (b[index] as number) - centreB];
    both += x * y;
    squareA += x * x;
    squareB += y * y;
  }
  return squareA > 0 && squareB > 0 ? both / Math.sqrt(squareA * squareB) : 0;
}

/** The length of a vector. */
export const lengthOf = (values: ArrayLike<number>): number => {
  let square = 0;
  for (let index = 0; index < values.length; index++) square += (values[index] as number) ** 2;
  return Math.sqrt(square);
};

/** Three digits, for words. */
export const short = (value: number): string => String(Number(value.toPrecision(3)));

/** Every order of so many things. */
export function* permutations(count: number): Generator<number[]> {
  if (count === 0) {
    yield [];
    return;
  }
  for (const rest of permutations(count - 1))
    for (let place = 0; place < count; place++)
      yield [...rest.slice(0, place), count - 1, ...rest.slice(place)];
}
