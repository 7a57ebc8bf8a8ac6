import { expected } from "./errors.js";

/*
 * What a public function looks at before it uses an argument, for those who call it without types. Each check throws
 * `BAD_INPUT` with the argument's name and what came.
 */

/** An object with options; nothing else that has properties. */
export function requireOptions(value: unknown, name = "options"): asserts value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value) || ArrayBuffer.isView(value))
    throw expected("an object with options", name, value);
}

/** A text with at least one character: a path, a name. */
export function requireText(value: unknown, name: string, what = "a string"): asserts value is string {
  if (typeof value !== "string" || value === "") throw expected(what, name, value);
}

/** A path of the file system, which holds no NUL. */
export function requirePath(value: unknown, name: string): asserts value is string {
  if (typeof value !== "string" || value === "" || value.includes("\0"))
    throw expected("the path of a file or folder, as a string,", name, value);
}

export function requireFinite(value: unknown, name: string): asserts value is number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw expected("a finite number", name, value);
}

/** A whole number that a double holds exactly, from `least` on. */
export function requireWhole(value: unknown, name: string, least?: number): asserts value is number {
  if (Number.isSafeInteger(value) && (least === undefined || (value as number) >= least)) return;
  throw expected(least === undefined ? "a whole number" : `a whole number >= ${least}`, name, value);
}

export function requireBoolean(value: unknown, name: string): asserts value is boolean {
  if (typeof value !== "boolean") throw expected("true or false", name, value);
}

/** A function, or undefined. */
export function requireCallback(value: unknown, name: string): void {
  if (value !== undefined && typeof value !== "function") throw expected("a function", name, value);
}

/** An `AbortSignal`, or undefined. */
export function requireSignal(value: unknown, name = "signal"): asserts value is AbortSignal | undefined {
  if (value !== undefined && !(value instanceof AbortSignal)) throw expected("an AbortSignal", name, value);
}

/** A list, whatever it is of. */
export function requireList(value: unknown, name: string, what = "an array"): asserts value is unknown[] {
  if (!Array.isArray(value)) throw expected(what, name, value);
}

/** An array, a typed array, or what has their length and elements. */
export function requireArrayLike(
  value: unknown,
  name: string,
  what = "an array",
): asserts value is ArrayLike<unknown> {
  const length =
    typeof value === "object" && value !== null ? (value as ArrayLike<unknown>).length : undefined;
  if (!Number.isSafeInteger(length) || (length as number) < 0) throw expected(what, name, value);
}

/** As `requireArrayLike`, where all elements are numbers, and none of them is NaN. */
export function requireNumbers(value: unknown, name: string): asserts value is ArrayLike<number> {
  requireArrayLike(value, name, "an array of numbers");
  const values: ArrayLike<unknown> = value;
  for (let i = 0; i < values.length; i++) {
    const number = values[i];
    // NaN alone differs from itself.
    // biome-ignore lint/suspicious/noSelfCompare: over millions of voxels, several times faster than Number.isNaN
    if (typeof number !== "number" || number !== number) throw expected("a number", `${name}[${i}]`, number);
  }
}

/** As many as the format of safetensors knows. */
const mostAxes = 16;
/** Bytes and strides are counted in 64 bits. */
const mostElements = 2 ** 53;
const isSize = (size: unknown): boolean => Number.isSafeInteger(size) && (size as number) >= 0;

/** The sizes of an array's axes; also of one without elements. */
export function requireShape(value: unknown, name = "shape"): asserts value is readonly number[] {
  if (!Array.isArray(value) || value.length > mostAxes || !value.every(isSize))
    throw expected(`an array of at most ${mostAxes} whole numbers >= 0`, name, value);
  if (value.reduce((product: number, size: number) => product * Math.max(1, size), 1) > mostElements)
    throw expected("sizes whose product can be counted", name, value);
}

/** Text under names, as files of weights keep it beside their tensors. */
export function requireTexts(value: unknown, name: string): asserts value is Record<string, string> {
  requireOptions(value, name);
  for (const [key, text] of Object.entries(value))
    if (typeof text !== "string") throw expected("a string", `${name}.${key}`, text);
}
