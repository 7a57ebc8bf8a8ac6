import { sha256OfText } from "../common/checksums.js";
import { TransferLimitsError } from "../common/errors.js";
import { packageVersion } from "../common/package-version.js";
import type { Basis } from "../results/cell.js";
import { comparable } from "./changes.js";
import { fingerprints, type StudyCohort } from "./cohort-file.js";
import type { Study } from "./schema.js";

/** What every cell of a study rests on. */
export const basisOf = (study: Study, cohort: StudyCohort): Omit<Basis, "weights"> => ({
  configuration: digest(comparable(study)),
  cohort: digest([...fingerprints(cohort)].sort(([a], [b]) => (a < b ? -1 : 1))),
  package: packageVersion,
});

/** The hash of anything that JSON can hold, whatever order the entries of its objects have. */
export const digest = (value: unknown): string => sha256OfText(JSON.stringify(value, inOrder));

const inOrder = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value;

/**
 * Refuses to mix a study's results with those of another configuration, cohort or version.
 *
 * @param finished ids of the cells whose results lie in the folder, with what each rests on
 * @throws `BAD_CONFIG` naming the cells and what differs
 */
export function refuseOtherBasis(
  folder: string,
  finished: ReadonlyMap<string, Basis | undefined>,
  now: Omit<Basis, "weights">,
): void {
  for (const [part, words] of [
    ["package", "were made by another version of this package"],
    ["configuration", "rest on another configuration"],
    ["cohort", "rest on other cases"],
  ] as const) {
    const others = [...finished].filter(([, basis]) => basis?.[part] !== now[part]);
    if (others.length === 0) continue;
    const ids = others.map(([id]) => id);
    const shown = ids.slice(0, 5).join(", ") + (ids.length > 5 ? ` and ${ids.length - 5} more` : "");
    const versions =
      part === "package"
        ? ` (${[...new Set(others.map(([, basis]) => basis?.package ?? "unknown"))].join(", ")}; this is ${now.package})`
        : "";
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Results in ${folder} ${words}${versions}: ${shown}. Choose another execution.output` +
        (part === "package"
          ? ", or go on with the version that made them"
          : ", or put things back as they were"),
    );
  }
}
