import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { seedFor } from "../../common/random.js";
import { writeSealedJson } from "../../common/sealed-json.js";
import type { OnDamage } from "../../common/set-aside.js";
import { openCheckpoint } from "../../models/checkpoints/checkpoint-file.js";
import type { LoadReport } from "../../models/checkpoints/load-report.js";
import { loadEncoder, WeightsRefused } from "../../models/checkpoints/load-weights.js";
import { encoderOf } from "../../models/specification.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import { studyPaths } from "../../results/paths.js";
import { readOwn } from "../../results/read-own.js";
import type { ModelConfig, Study } from "../config/schema.js";
import type { StudyPlan } from "./plan.js";

/**
 * Loads the weights of each model that brings its own, before any cell runs, and keeps the report of what happened to
 * every tensor in the study's folder. A report that is there already is believed where the file is still the same.
 *
 * @returns by model, SHA-256 of its file
 * @throws `BAD_CHECKPOINT` with the report's words where a file is refused
 */
export async function checkWeights(
  study: Study,
  plan: StudyPlan,
  onDamage: OnDamage,
): Promise<Map<string, string>> {
  const checksums = new Map<string, string>();
  for (const model of modelsWithWeights(study, plan))
    checksums.set(model.name, await checkModel(study, model, onDamage));
  return checksums;
}

type WithWeights = ModelConfig & { weights: string };

/** Models that bring weights from which cells start. */
const modelsWithWeights = ({ models }: Study, { cells }: Pick<StudyPlan, "cells">): WithWeights[] =>
  models.filter(
    (model): model is WithWeights =>
      model.weights !== undefined &&
      cells.some(
        ({ kind, model: of, startsFrom }) =>
          kind === "cell" && of === model.name && startsFrom === "pretrained",
      ),
  );

/** By model that brings weights, SHA-256 of their file, which is not loaded. */
export async function checksumsOfWeights(
  study: Study,
  plan: Pick<StudyPlan, "cells">,
): Promise<Map<string, string>> {
  const checksums = new Map<string, string>();
  for (const { name, weights } of modelsWithWeights(study, plan))
    checksums.set(name, await (await openCheckpoint(weights)).sha256());
  return checksums;
}

/** How the file of a model's weights is read, as the study says. */
export const readingOf = ({ keyMap, weightsState }: Pick<ModelConfig, "keyMap" | "weightsState">) => ({
  keyMap,
  weightsState,
});

async function checkModel(study: Study, model: WithWeights, onDamage: OnDamage): Promise<string> {
  const { output } = study.execution;
  const sha256 = await (await openCheckpoint(model.weights)).sha256();
  const kept = studyPaths(output).weights(model.name);
  const before = await readOwn<LoadReport>(output, kept, onDamage);
  const { weightsState = before?.file.state, keyMap } = model;
  const isKnown = before !== null && before.refusal === null && before.file.sha256 === sha256;
  const isReadAlike = isKnown && (keyMap ?? before.keyMap.name) === before.keyMap.name;
  if (isReadAlike && weightsState === before.file.state) return sha256;
  await mkdir(dirname(kept), { recursive: true });
  const seed = seedFor(study.seed, "weights", model.name, "load report");
  using network = await PlacedNetwork.build({ encoder: encoderOf(model.encoder) }, { seed });
  try {
    await writeSealedJson(
      kept,
      await loadEncoder(network, model.weights, { ...readingOf(model), fresh: true }),
    );
    return sha256;
  } catch (error) {
    if (error instanceof WeightsRefused) await writeSealedJson(kept, error.report);
    throw error;
  }
}
