import type { CellState, FolderStates } from "../study/run/cell-states.js";
import { count, printable } from "./format.js";

/** What a plan says of the cells that lie in a study's folder, for a program. */
export interface FolderSummary {
  /** How many cells the study keeps as they are, computes anew, or for the first time. */
  kept: number;
  new: number;
  changed: number;
  damaged: number;
  /** Finished cells that the study does not ask for: `run` moves them away. */
  noLongerBelong: string[];
  /** Those that were moved away before and stay there: how many of each id. */
  movedAway: Record<string, number>;
}

export function summaryOfFolder({ cells, others, movedAway }: FolderStates): FolderSummary {
  const of = (...kinds: CellState["kind"][]) =>
    [...cells.values()].filter(({ kind }) => kinds.includes(kind)).length;
  return {
    kept: of("kept", "returns"),
    new: of("new"),
    changed: of("changed"),
    damaged: of("damaged"),
    noLongerBelong: others,
    movedAway: Object.fromEntries(movedAway),
  };
}

/** The state of a cell, for a program: where it lies is nobody's business. */
export const stateForPrograms = (state: CellState): { kind: CellState["kind"]; reason?: string } => ({
  kind: state.kind,
  ...("reason" in state ? { reason: state.reason } : {}),
});

/** A state in the words of a plan's table. */
export function stateInWords(state: CellState): string {
  switch (state.kind) {
    case "returns":
      return "kept (moved back)";
    case "changed":
    case "damaged":
      return `${state.kind}: ${printable(state.reason)}`;
    default:
      return state.kind;
  }
}

/** So many ids are named; of the rest, how many there are. */
const mostNamed = 10;

/** What lies in a study's folder, as seen from the study; nothing where nothing does. */
export function folderLines(states: FolderStates, folder: string): string[] {
  const { kept, changed, damaged, noLongerBelong, movedAway, ...rest } = summaryOfFolder(states);
  const away = Object.values(movedAway).reduce((sum, one) => sum + one, 0);
  if (kept + changed + damaged + noLongerBelong.length + away === 0) return [];
  const counts = [
    `${kept} kept`,
    `${rest.new} new`,
    ...(changed > 0 ? [`${changed} changed`] : []),
    ...(damaged > 0 ? [`${damaged} damaged`] : []),
    ...(noLongerBelong.length > 0 ? [`${noLongerBelong.length} no longer belonging`] : []),
  ];
  const named = noLongerBelong.slice(0, mostNamed).map(printable).join(", ");
  const more = noLongerBelong.length - mostNamed;
  return [
    `cells as ${printable(folder)} holds them: ${counts.join(", ")}`,
    ...(noLongerBelong.length > 0
      ? [`  no longer belongs: ${named}${more > 0 ? ` and ${more} more` : ""}`]
      : []),
    ...(changed + noLongerBelong.length > 0
      ? [
          "  what is changed or no longer belongs is moved to no-longer-belongs, and comes back if the study is changed back",
        ]
      : []),
    ...(away > 0 ? [`  ${count(away, "cell")} of what the study was before in no-longer-belongs`] : []),
  ];
}
