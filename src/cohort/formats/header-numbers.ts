import { describe } from "../../common/errors.js";
import { badImage } from "./bad-image.js";

// Without two ways to read a run of digits, which would take a time quadratic in its length.
const number = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?$/i;

/** A number as text headers write it; NaN for anything else, which `Number` would often take for one ("", "0x10"). */
export const parseNumber = (text: string): number => (number.test(text) ? Number(text) : Number.NaN);

/** The `count` finite numbers of a field, separated by spaces. */
export function parseNumbers(path: string, field: string, text: string, count: number): number[] {
  const values = text.split(/\s+/).map(parseNumber);
  if (values.length !== count || !values.every(Number.isFinite))
    throw badImage(path, `its field ${field} is ${describe(text)}; expected ${count} numbers`);
  return values;
}

/** The lengths of the axes: whole numbers, one an axis. */
export const parseSizes = (text: string): number[] =>
  text.split(/\s+/).map((length) => (/^\d{1,15}$/.test(length) ? Number(length) : Number.NaN));

/** A whole number, such as a count of bytes; NaN for anything else. */
export const parseWhole = (text: string): number => (/^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN);
