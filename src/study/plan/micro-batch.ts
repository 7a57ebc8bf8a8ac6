import { describe } from "../../common/errors.js";
import type { Fault } from "../../common/validation.js";
import { batchNormStrideOf, specialisedArchitectureOf } from "../../models/architectures/index.js";
import { headHasBatchNorm } from "../../models/heads/index.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import type { Study, StudyConfig } from "../config/schema.js";
import type { PlannedCell, StudyPlan, Trains } from "./plan.js";
import { placeOf } from "./training-field.js";

/**
 * What trains batch norm in a network; null where nothing does. Batch norm takes its statistics from all cases of a step
 * at once: parts of a batch give other ones.
 */
export function batchNormOf(network: NetworkSpec | null, trains: Trains): string | null {
  if (trains === "nothing" || network === null) return null;
  if ("model" in network)
    return specialisedArchitectureOf(network.model).batchNorm
      ? `a specialised model of the family ${network.model.family}`
      : null;
  const { encoder, head } = network;
  const inEncoder = batchNormStrideOf(encoder) !== null;
  if (inEncoder && trains !== "head") return `an encoder of the family ${encoder.family}`;
  return head && headHasBatchNorm(head, encoder) ? `the head ${head.kind} on a ${encoder.family}` : null;
}

/**
 * How many cases go through a cell's network at once when it is tried again, as its memory was exhausted: one, as there
 * is no third try. Null where that changes nothing: where nothing is trained, a batch has no parts, or has one case.
 */
export function smallerMicroBatch(study: Pick<Study, "models">, cell: PlannedCell): number | null {
  const pretrain = study.models.find(({ name }) => name === cell.model)?.pretrain;
  const settings = cell.kind === "pretraining" ? pretrain : cell.training;
  if (!settings || cell.trains === "nothing" || batchNormOf(cell.network, cell.trains) !== null) return null;
  if (cell.kind === "pretraining" && pretrain?.method !== "masked-autoencoder") return null;
  return Math.min(settings.batchSize, settings.microBatch ?? settings.batchSize) > 1 ? 1 : null;
}

/** Faults of a study that asks for micro-batches where a batch has no parts: one for each field that says so. */
export function microBatchFaults(config: StudyConfig, study: Study, { cells }: StudyPlan): Fault[] {
  const faults = new Map<string, Fault>();
  const refuse = (path: PropertyKey[], value: number, why: string) => {
    const message = `expected null, ${why}, but received ${describe(value)}`;
    if (!faults.has(path.join("."))) faults.set(path.join("."), { path, message, unknownKey: null });
  };
  study.models.forEach(({ pretrain }, index) => {
    if (!pretrain || pretrain.microBatch === null || pretrain.microBatch >= pretrain.batchSize) return;
    const path = ["models", index, "pretrain", "microBatch"];
    if (pretrain.method !== "masked-autoencoder") {
      refuse(path, pretrain.microBatch, `as ${pretrain.method} compares the cases of a whole batch`);
    }
  });
  for (const cell of cells) {
    const { microBatch = null, batchSize = 1 } =
      cell.training ?? study.models.find(({ name }) => name === cell.model)?.pretrain ?? {};
    const normed = batchNormOf(cell.network, cell.trains);
    if (microBatch === null || microBatch >= batchSize || normed === null) continue;
    if (cell.kind === "pretraining" && normed.includes("contrastive")) continue; // said above
    const model = config.models.findIndex(({ name }) => name === cell.model);
    refuse(
      cell.kind === "pretraining"
        ? ["models", model, "pretrain", "microBatch"]
        : placeOf(cell, "microBatch", config),
      microBatch,
      `as ${normed} (cell ${cell.id}) has batch norm, which takes its statistics from a whole batch`,
    );
  }
  return [...faults.values()];
}
