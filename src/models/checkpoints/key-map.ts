import type { EncoderSpec } from "../../native/network-spec.js";
import type { Layout } from "./layouts.js";

/**
 * How the names and the layout of a source's checkpoints become ours: data, one file a source in `key-maps/`.
 * Patterns are regular expressions on names without the wrappers of training programs (`module.` and the like).
 */
export interface KeyMap {
  /** What a study file and a report call it. */
  readonly name: string;
  /** What it is, for a person. */
  readonly title: string;
  /** null: any. */
  readonly family: EncoderSpec["family"] | null;
  /** What tells such a file: for each sign it has a tensor whose name matches, of that many axes and that shape. */
  readonly signs: readonly Sign[];
  /** The first rule whose pattern matches a name says what we call it. A name that none matches stays as it is. */
  readonly rules: readonly Rule[];
  /** Parameters of ours that such files never hold, as patterns: they keep the values that they have. */
  readonly absent?: readonly string[];
  /** Names that only another network than the family's has: what is left of such a file would not be its encoder. */
  readonly foreign?: readonly Foreign[];
}

export interface Foreign {
  /** A pattern. */
  readonly name: string;
  /** What network has such tensors, in words. */
  readonly means: string;
}

export interface Sign {
  readonly name: string;
  readonly axes?: number;
  /** The last extents of its shape, where only those tell it from another source's. */
  readonly ends?: readonly number[];
}

export interface Rule {
  readonly from: string;
  /** With `$1`, `$2` for what the groups of the pattern matched. */
  readonly to: string;
  /** Default: as our own tensors lie. */
  readonly layout?: Layout;
}

/** How our name for a tensor begins that stands in the file under another name already. */
export const again = "again.";
