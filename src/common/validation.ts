import { z } from "zod";
import { describe, TransferLimitsError } from "./errors.js";

/**
 * A strict object of a study file: a key that it does not know is an error that names the nearest known one.
 * Defaults belong to the fields.
 */
export const section = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys" ? unknownKeys(issue.keys, Object.keys(shape)) : undefined,
  });

/** So many unknown keys are named, each with what may have been meant; of the rest, how many there are. */
const mostNamed = 10;

function unknownKeys(keys: readonly string[], known: readonly string[]): string {
  const words = keys
    .slice(0, mostNamed)
    .map((key) => `unknown key ${describe(key)}${suggestion(key, known)}`);
  if (keys.length > mostNamed) words.push(`and ${keys.length - mostNamed} more unknown keys`);
  return words.join("; ");
}

/** `. Did you mean "x"?` for the nearest of `known`; all of them where none is near. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  if (near !== null) return `. Did you mean ${describe(near)}?`;
  return `. Known: ${known.map((name) => describe(name)).join(", ")}`;
}

/** The one of `known` that differs from `word` by the fewest edits, if at most about a third of it differs. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let fewest = Math.max(2, Math.floor(word.length / 3)) + 1;
  const wanted = word.toLowerCase();
  for (const candidate of known) {
    // At least as many edits as the lengths differ by: a word of megabytes is compared with nothing.
    if (Math.abs(candidate.length - word.length) >= fewest) continue;
    const edits = editDistance(wanted, candidate.toLowerCase());
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best;
}

/** Levenshtein's distance: insertions, deletions and substitutions from `a` to `b`. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = (previous[column - 1] as number) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(
        Math.min(substitution, (previous[column] as number) + 1, (current[column - 1] as number) + 1),
      );
    }
    previous = current;
  }
  return previous[b.length] as number;
}

/** One thing wrong with a value that a schema refused. */
export interface Fault {
  path: PropertyKey[];
  /** What was expected and what came, without the field's name. */
  message: string;
  /** The field in question is a key that should not be there. */
  unknownKey: string | null;
}

/** What a schema found wrong with `input`, each fault with its path and in words. */
export const faultsOf = (error: z.core.$ZodError, input: unknown): Fault[] =>
  error.issues.flatMap((issue) => faultsOfIssue(issue, input, []));

/** `models[0].encoder`, as a person writes the path; `the study` style names for the root are the caller's. */
export const pathName = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (name, part) =>
      typeof part === "number" ? `${name}[${part}]` : name ? `${name}.${String(part)}` : String(part),
    "",
  );

/**
 * An argument of a public function, as a schema takes it.
 *
 * @throws `BAD_INPUT` with every fault, each with the name of its field
 */
export function checked<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  name: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = faultsOf(result.error, value).map(({ path, message, unknownKey }) => {
    const came = unknownKey === null ? "" : `; received ${describe(valueAt(value, path))}`;
    return `${pathName([name, ...path])}: ${message}${came}`;
  });
  throw new TransferLimitsError("BAD_INPUT", faults.join("\n"));
}

function faultsOfIssue(issue: z.core.$ZodIssue, input: unknown, above: PropertyKey[]): Fault[] {
  const path = [...above, ...issue.path];
  if (issue.code === "invalid_union" && issue.errors.length > 0) return faultsOfUnion(issue, input, path);
  const value = valueAt(input, path);
  return [{ path, message: wordsOf(issue, value), unknownKey: unknownKeyOf(issue) }];
}

const unknownKeyOf = (issue: z.core.$ZodIssue): string | null =>
  issue.code === "unrecognized_keys" ? (issue.keys[0] ?? null) : null;

/** Of a union, the branch that the value comes nearest to: one that got past the value's own type. */
function faultsOfUnion(issue: z.core.$ZodIssueInvalidUnion, input: unknown, path: PropertyKey[]): Fault[] {
  const isOfOtherType = (branch: z.core.$ZodIssue[]) =>
    branch.some(
      (inner) => inner.path.length === 0 && (inner.code === "invalid_type" || inner.code === "invalid_value"),
    );
  const fitting = issue.errors.filter((branch) => !isOfOtherType(branch));
  const value = valueAt(input, path);
  if (fitting.length > 0) {
    const branch = fitting.reduce((best, other) => (other.length < best.length ? other : best));
    return branch.flatMap((inner) => faultsOfIssue(inner, input, path));
  }
  const wanted = [...new Set(issue.errors.flatMap((branch) => branch.slice(0, 1)).map(expectationOf))].join(
    " or ",
  );
  const words = typeof value === "string" ? issue.errors.flatMap((branch) => branch.flatMap(choicesOf)) : [];
  const hint = typeof value === "string" && words.length > 0 ? nearest(value, words) : null;
  const message = `expected ${wanted} but received ${received(value)}`;
  return [
    {
      path,
      message: hint === null ? message : `${message}. Did you mean ${describe(hint)}?`,
      unknownKey: null,
    },
  ];
}

const choicesOf = (issue: z.core.$ZodIssue): string[] =>
  issue.code === "invalid_value" ? issue.values.filter((value) => typeof value === "string") : [];

function expectationOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_value":
      return issue.values.length === 1
        ? describe(issue.values[0])
        : `one of ${issue.values.map((value) => describe(value)).join(", ")}`;
    case "invalid_type":
      return article(issue.expected);
    case "too_small":
      return bound(
        issue.origin,
        issue.inclusive === false ? "more than" : "at least",
        issue.minimum,
        issue.exact,
      );
    case "too_big":
      return bound(
        issue.origin,
        issue.inclusive === false ? "less than" : "at most",
        issue.maximum,
        issue.exact,
      );
    case "not_multiple_of":
      return `a multiple of ${issue.divisor}`;
    default:
      return issue.message;
  }
}

function wordsOf(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === "unrecognized_keys" || issue.code === "custom" || issue.code === "invalid_format") {
    return issue.message;
  }
  const words = `expected ${expectationOf(issue)} but received ${received(value)}`;
  const choices = choicesOf(issue);
  if (typeof value !== "string" || choices.length === 0) return words;
  const near = nearest(value, choices);
  return near === null ? words : `${words}. Did you mean ${describe(near)}?`;
}

const received = (value: unknown): string => (value === undefined ? "nothing" : describe(value));

const article = (type: string): string =>
  ({
    int: "a whole number",
    array: "a list",
    object: "a table of keys",
    record: "a table of keys",
    tuple: "a list",
  })[type] ?? `a ${type}`;

function bound(origin: string, relation: string, limit: number | bigint, exact: boolean | undefined): string {
  const count = exact ? String(limit) : `${relation} ${limit}`;
  if (origin === "string") return `${count} characters`;
  if (origin === "array" || origin === "set") return `${count} ${limit === 1 ? "entry" : "entries"}`;
  return origin === "int" ? `a whole number of ${count}` : `a number of ${count}`;
}

const valueAt = (input: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (value, part) =>
      typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[part] : undefined,
    input,
  );
