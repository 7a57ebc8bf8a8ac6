import type { PlacedNetwork } from "../../native/placed-network.js";
import { type FidelityCheckName, fidelityChecks } from "./check.js";
import type { Expectation } from "./expectation.js";
import { channelsOf } from "./gate.js";
import { oneImageAlone, tooFewInCommon, untold } from "./input.js";
import { learntPositions, noPositions } from "./positions.js";
import { stemNamesOf } from "./stem-statistics.js";

/** What a check goes by: the encoder alone, the record of its pretraining, the study's words, its first batch norm. */
export type CheckedBy = "itself" | "record" | "expects" | "batch norm";

/** What the gate will be able to say of one thing, known before anything is measured. */
export interface CheckAhead {
  check: FidelityCheckName;
  /** null: nothing tells, and the gate will call it not measurable. */
  by: CheckedBy | null;
  /** How far, or why not and what to state. */
  words: string;
}

/** An encoder that will be looked at, as far as it is known before. */
export interface EncoderAhead {
  network: Pick<PlacedNetwork, "spec" | "parameters">;
  /** The columns of images that the record of its pretraining has; null where there is no record. */
  recorded: readonly string[] | null;
  expects: Expectation | null;
  /** The cohort's columns of images, the reference first. */
  images: readonly [string, ...string[]];
}

type Said = Omit<CheckAhead, "check">;
const by = (source: CheckedBy, words: string): Said => ({ by: source, words });
const notTold = (words: string): Said => ({ by: null, words });

const asRecorded = "against what its file records of its pretraining";
const byItsNorm = "by the statistics that its first batch norm kept, where those tell";

/** What the gate can check of an encoder, and what it cannot, and why: as `measureFidelity` will find. */
export function fidelityAhead({ network, recorded, expects, images }: EncoderAhead): CheckAhead[] {
  const { spec } = network;
  const hasNorm = recorded === null && stemNamesOf(network) !== null;
  const shown = channelsOf(network, images);
  const common = recorded?.filter((column) => images.includes(column)) ?? [];
  const said: Record<FidelityCheckName, () => Said> = {
    weights: () =>
      by("itself", "whether its tensors bear the marks of training, and loading changed what it answers"),
    features: () => by("itself", "whether its features of a few training cases collapse or explode"),
    intensities() {
      if (recorded !== null) return by("record", asRecorded);
      if (expects?.intensities !== undefined) return by("expects", "against the scale that the study states");
      return hasNorm ? by("batch norm", byItsNorm) : notTold(untold("intensities"));
    },
    channels() {
      if (recorded !== null) return common.length < 2 ? notTold(tooFewInCommon) : by("record", asRecorded);
      if (expects?.channels?.some((column) => shown.includes(column)))
        return by("expects", "the study's words with its columns, by their names alone");
      if (new Set(shown).size < 2) return notTold(oneImageAlone);
      return hasNorm ? by("batch norm", byItsNorm) : notTold(untold("channels"));
    },
    axes() {
      if (recorded !== null)
        return by("record", `${asRecorded}; turns that leave its images alike cannot be told`);
      if (expects?.axes !== undefined)
        return by("expects", "the study's words with our axes; by its word alone");
      return hasNorm
        ? by("batch norm", `${byItsNorm}; never flips, which leave them as they are`)
        : notTold(untold("axes"));
    },
    positions() {
      if (!("encoder" in spec) || !learntPositions(spec.encoder, network.parameters))
        return by("itself", noPositions);
      if (recorded !== null) return by("record", asRecorded);
      return expects?.voxels === undefined
        ? notTold(untold("voxels"))
        : by("expects", "the size that the study states with that of its volumes");
    },
  };
  return fidelityChecks.map((check) => ({ check, ...said[check]() }));
}
