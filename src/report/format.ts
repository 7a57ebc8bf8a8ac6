import { first, limits } from "./limits.js";

/** Numbers as the report writes them. What is not finite becomes an em dash. */

const missing = "\u2014";

/** Fixed decimals, with an ASCII minus, so that it pastes into a spreadsheet as a number. */
export function fixed(value: number | null | undefined, digits: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return missing;
  const text = value.toFixed(digits);
  return /^-0\.?0*$/.test(text) ? text.slice(1) : text; // never -0.00
}

/** As `fixed`, with a sign before what is above zero as well. */
export function signed(value: number | null | undefined, digits: number): string {
  const text = fixed(value, digits);
  return typeof value === "number" && Number(text) > 0 ? `+${text}` : text;
}

/** A gain in percent for prose: `+12.3 %`, with a true minus sign; no decimals from 100 % on. */
export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return missing;
  return `${signed(value, Math.abs(value) >= 100 ? 0 : 1).replace("-", "\u2212")}\u00a0%`;
}

/** Up to three significant digits, for prose: `0.853`, `12.4`, `0.00071`. */
export function significant(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return missing;
  if (value === 0) return "0";
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  if (magnitude < -5) return value.toExponential(digits - 1).replace("-", "\u2212");
  return fixed(value, Math.max(0, digits - 1 - magnitude)).replace("-", "\u2212");
}

/** `p` as papers write it: three decimals, or `< 0.001`. */
export function pValue(p: number): string {
  if (!Number.isFinite(p)) return `p ${missing}`;
  return p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
}

/** A length of time for prose: `8.2 s`, `4 min 05 s`, `3 h 20 min`. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return missing;
  if (seconds < 60) return `${fixed(seconds, seconds < 10 ? 1 : 0)}\u00a0s`;
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}\u00a0min ${two(whole % 60)}\u00a0s`;
  return `${Math.floor(whole / 3600)}\u00a0h ${two(Math.floor((whole % 3600) / 60))}\u00a0min`;
}

/** A moment as a reader anywhere takes it: `28 November 2026, 07:31 UTC`; other text as it is. */
export function when(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const day = date.toLocaleDateString("en-GB", { dateStyle: "long", timeZone: "UTC" });
  return `${day}, ${date.toISOString().slice(11, 16)} UTC`;
}

export interface TimeUnit {
  name: "seconds" | "minutes" | "hours";
  short: "s" | "min" | "h";
  seconds: number;
}

/** The one unit in which a whole column of times reads best. */
export function timeUnit(times: readonly number[]): TimeUnit {
  const largest = Math.max(0, ...times.filter(Number.isFinite));
  if (largest < 600) return { name: "seconds", short: "s", seconds: 1 };
  if (largest < 2 * 3600) return { name: "minutes", short: "min", seconds: 60 };
  return { name: "hours", short: "h", seconds: 3600 };
}

/** A list as a sentence has it: `a`, `a and b`, `a, b and c`. */
export function listing(items: readonly string[]): string {
  if (items.length < 2) return items.join("");
  return `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

/** A list of names as a sentence has it, long ones cut: `a, b, c, d, e and 2,995 more`. */
export function names(items: readonly string[]): string {
  const { shown, more } = first(items, limits.names);
  return listing(more === 0 ? shown : [...shown, `${grouped(more)} more`]);
}

/** A whole number with its thousands apart. */
export const grouped = (number: number): string =>
  number < 1000 ? String(number) : number.toLocaleString("en");

/** `1 case`, `3 cases`, `100,000 cases`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${grouped(number)} ${number === 1 ? one : many}`;
}
