import { describe } from "../../common/errors.js";
import { pathName } from "../../common/validation.js";
import type { Basis } from "../../results/cell.js";
import type { Study } from "../config/schema.js";
import type { CellBasis } from "./basis.js";

/** So many changes are named; of the rest, how many there are. */
const mostNamed = 3;

/** Why a cell no longer is what a study asks for, such as `training.epochs 6 -> 8`; null where it is. */
export function changesOf(before: Basis, now: CellBasis): string | null {
  if (before.hash === now.hash) return null;
  const sets = [...new Set([...Object.keys(before.cases), ...Object.keys(now.cases)])];
  const changes = [
    ...(before.numbers === now.numbers ? [] : ["this version of the package gives other numbers"]),
    ...differences(before.study, now.study),
    ...sets.flatMap((set) => {
      const [was, is] = [before.cases[set], now.cases[set]];
      if (was?.sha256 === is?.sha256) return [];
      const counts = was?.count === is?.count ? "" : ` ${was?.count ?? 0} -> ${is?.count ?? 0} cases,`;
      return [`the ${set} set:${counts} other voxels, labels, patients or order`];
    }),
  ];
  // That of a pretraining follows from what stands with the pretraining itself.
  if (before.startsFrom !== now.startsFrom || changes.length === 0)
    changes.push("the weights that it starts from");
  const more = changes.length - mostNamed;
  return [...changes.slice(0, mostNamed), ...(more > 0 ? [`and ${more} more`] : [])].join("; ");
}

/** A study without how it is executed: of two that differ in it, one is to be prepared anew. */
export const comparable = ({
  execution: { precision },
  cohort: { manifestLimits: _, ...cohort },
  leftOut: __,
  ...rest
}: Study): object => ({ ...rest, cohort, execution: { precision } });

/** `field was -> is` for every leaf that differs. */
export function differences(before: unknown, now: unknown, path: PropertyKey[] = []): string[] {
  if (isContainer(before) && isContainer(now) && Array.isArray(before) === Array.isArray(now)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    return keys.flatMap((key) =>
      differences(before[key], now[key], [...path, Array.isArray(before) ? Number(key) : key]),
    );
  }
  if (before === now) return [];
  const words = (value: unknown) => (value === undefined ? "absent" : describe(value));
  return [`${pathName(path)} ${words(before)} -> ${words(now)}`];
}

const isContainer = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
