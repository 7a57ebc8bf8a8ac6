import { describe, TransferLimitsError } from "../common/errors.js";
import { pathName } from "../common/validation.js";
import type { Study } from "./schema.js";

/**
 * Refuses to go on with a study whose numbers would be other ones. How it is executed may change, but for the precision.
 *
 * @throws `BAD_CONFIG` naming the fields that differ from what stands in the folder
 */
export function refuseChanges(before: Study, now: Study): void {
  const changes = differences(comparable(before), comparable(now), []);
  if (changes.length === 0) return;
  const shown = changes.slice(0, 10).map((change) => `\n  ${change}`);
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `${now.execution.output} holds results of another study. It differs in:${shown.join("")}` +
      `${changes.length > 10 ? `\n  and ${changes.length - 10} more` : ""}\n` +
      "Choose another execution.output, or put the fields back as they were",
  );
}

/** What of a study changes its numbers, as JSON holds it. */
export const comparable = ({
  execution: { precision = "float32" },
  cohort: { manifestLimits: _, ...cohort },
  claims: { expected: __, ...claims } = {} as Study["claims"],
  leftOut: ___,
  models = [],
  ...rest
}: Study): unknown =>
  JSON.parse(
    JSON.stringify({
      ...rest,
      models: models.map(({ expects: ____, ...model }) => model),
      cohort,
      claims,
      execution: { precision },
    }),
  );

/** `field: was X, is Y` for every leaf that differs. */
export function differences(before: unknown, now: unknown, path: PropertyKey[]): string[] {
  if (isContainer(before) && isContainer(now) && Array.isArray(before) === Array.isArray(now)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    return keys.flatMap((key) =>
      differences(before[key], now[key], [...path, Array.isArray(before) ? Number(key) : key]),
    );
  }
  // A field that came later and is null says what its absence said.
  if ((before ?? null) === (now ?? null)) return [];
  const words = (value: unknown) => (value === undefined ? "absent" : describe(value));
  return [`${pathName(path)}: was ${words(before)}, is ${words(now)}`];
}

const isContainer = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
