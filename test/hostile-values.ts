import { Tensor } from "../dist/index.js";

/** An array that holds itself. */
function cyclic(): unknown[] {
  const array: unknown[] = [1];
  array.push(array);
  return array;
}

const disposed = (): Tensor => {
  const tensor = Tensor.from(new Float32Array(2), [2]);
  tensor.dispose();
  return tensor;
};

/** What no function of the package wants as any argument, or wants as one and not as another; under names. */
export const hostileValues = (): Record<string, unknown> => ({
  null: null,
  undefined: undefined,
  NaN: Number.NaN,
  infinity: Number.POSITIVE_INFINITY,
  "a negative number": -1,
  "a fraction": 1.5,
  "a huge number": 1e18,
  "an empty string": "",
  "a word": "nonsense/of no/kind",
  "a string with NUL": "a\0b",
  true: true,
  "an empty array": [],
  "a mixed array": [1, "x", null],
  "an array of NaN": [Number.NaN, Number.NaN, Number.NaN],
  "an array that holds itself": cyclic(),
  "a huge shape": [2 ** 31, 2 ** 31, 2 ** 31],
  "an empty huge shape": [0, 2 ** 53 - 1, 2 ** 53 - 1],
  "a sparse array": new Array(2 ** 16),
  "an empty object": {},
  "an object without prototype": Object.create(null),
  "an object of impossible length": { length: 2 ** 52 },
  "an object that throws": Object.defineProperty({}, "constructor", {
    get() {
      throw new Error("constructor");
    },
  }),
  "a function": () => undefined,
  "a class": Tensor,
  "a symbol": Symbol("symbol"),
  "a bigint": 10n,
  "a date": new Date(0),
  "a map": new Map([["a", 1]]),
  "a promise": Promise.resolve(1),
  "a Float32Array": new Float32Array(3),
  "a BigInt64Array": new BigInt64Array(3),
  "a Uint16Array": new Uint16Array(3),
  "a tensor of float32": Tensor.from(new Float32Array(8), [1, 1, 2, 2, 2]),
  "a tensor of float64": Tensor.from(new Float64Array(8), [1, 1, 2, 2, 2]),
  "a tensor of int64": Tensor.from(new BigInt64Array(8), [1, 1, 2, 2, 2]),
  "a tensor of uint8": Tensor.from(new Uint8Array(8), [1, 1, 2, 2, 2]),
  "an empty tensor": Tensor.from(new Float32Array(0), [0, 3]),
  "a tensor without axes": Tensor.from(new Float32Array(1), []),
  "a disposed tensor": disposed(),
  "what pretends to be a tensor": Object.create(Tensor.prototype),
});

/** `value` of the same shape in every type but its own, and disposed. */
export function otherTensors(value: Tensor): Record<string, Tensor> {
  const { shape, dtype } = value;
  const count = shape.reduce((product, size) => product * size, 1);
  const types = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array, uint8: Uint8Array };
  const others = Object.entries(types)
    .filter(([name]) => name !== dtype)
    .map(([name, type]) => [`the same shape of ${name}`, Tensor.from(new type(count), shape)] as const);
  const gone = Tensor.from(new Float32Array(count), shape);
  gone.dispose();
  return {
    ...Object.fromEntries(others),
    "one axis more": Tensor.from(new Float32Array(count), [...shape, 1]),
    "one axis of another size": Tensor.from(new Float32Array(2 * count), [
      ...shape.slice(0, -1),
      2 * (shape.at(-1) ?? 1),
    ]),
    "the same shape, disposed": gone,
  };
}
