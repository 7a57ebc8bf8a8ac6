import { columnsOf } from "../../cohort/own-columns.js";
import { openCheckpoint } from "../../models/checkpoints/checkpoint-file.js";
import { type CheckAhead, fidelityAhead } from "../../models/fidelity/ahead.js";
import { recordIn } from "../../models/fidelity/record.js";
import { seenOf } from "../../models/pretraining/sees.js";
import { encoderOf } from "../../models/specification.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import type { ModelConfig, Study } from "../config/schema.js";
import { readingOf } from "./check-weights.js";
import type { StudyPlan } from "./plan.js";
import { encoderKey, gatedEncoders } from "./pretrained-encoders.js";

/** What the gate can check of one pretrained encoder of a study. */
export interface PlannedFidelity {
  /** The model, or the cell that pretrains it. */
  encoder: string;
  model: string;
  checks: CheckAhead[];
}

/**
 * What the fidelity gate will be able to check of each pretrained encoder that a study starts from, and what not, and why:
 * from files' descriptions and networks' layers alone. No weight is loaded, and no case is read.
 */
export async function plannedFidelity(
  study: Study,
  plan: Pick<StudyPlan, "cells">,
): Promise<PlannedFidelity[]> {
  const { images } = seenOf(columnsOf(study.cohort));
  const planned: PlannedFidelity[] = [];
  for (const gated of gatedEncoders(plan)) {
    const model = study.models.find(({ name }) => name === gated.model) as ModelConfig;
    using network = await PlacedNetwork.build(
      { encoder: encoderOf(model.encoder) },
      { device: "cpu", seed: 0 },
    );
    planned.push({
      encoder: encoderKey(gated),
      model: model.name,
      checks: fidelityAhead({
        ...{ network, images, expects: model.expects ?? null },
        recorded: await recordedColumns(model, images),
      }),
    });
  }
  return planned;
}

/** The columns that are recorded of an encoder's pretraining: the study's own ones where it pretrains it itself. */
async function recordedColumns(
  model: ModelConfig,
  images: readonly string[],
): Promise<readonly string[] | null> {
  if (model.weights === undefined) return model.pretrain === undefined ? null : images;
  const { metadata } = await openCheckpoint(model.weights, readingOf(model));
  const record = recordIn(model.weights, metadata);
  return record === null ? null : Object.keys(record.images);
}
