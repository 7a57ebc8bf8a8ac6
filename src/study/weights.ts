import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { TransferLimitsError } from "../common/errors.js";
import { seedFor } from "../common/random.js";
import { writeSealedJson } from "../common/sealed-json.js";
import type { OnDamage } from "../common/set-aside.js";
import { openCheckpoint } from "../models/checkpoints/checkpoint-file.js";
import { WeightsRefused } from "../models/checkpoints/load.js";
import type { LoadReport } from "../models/checkpoints/load-report.js";
import { encoderOf } from "../models/specification.js";
import { loadEncoder } from "../models/weights.js";
import { Network } from "../native/network.js";
import type { Basis } from "../results/cell.js";
import { studyPaths } from "../results/paths.js";
import { readOwn } from "./cell-folder.js";
import type { StudyPlan } from "./plan.js";
import type { ModelConfig, Study } from "./schema.js";

/**
 * Loads the weights of each model that brings its own, before any cell runs, and keeps the report of what happened to
 * every tensor in the study's folder. A report that is there already is believed where the file is still the same.
 *
 * @param finished ids of cells whose results lie in the folder, and what each rests on
 * @returns by model, SHA-256 of its file
 * @throws `BAD_CHECKPOINT` with the report's words where a file is refused; `BAD_CONFIG` where a file is no longer the
 *   one whose results lie in the folder
 */
export async function checkWeights(
  study: Study,
  plan: StudyPlan,
  finished: ReadonlyMap<string, Basis | undefined>,
  onDamage: OnDamage,
): Promise<Map<string, string>> {
  const checksums = new Map<string, string>();
  for (const model of study.models) {
    const cells = plan.cells.filter(
      (cell) => cell.kind === "cell" && cell.model === model.name && cell.startsFrom === "pretrained",
    );
    if (model.weights === undefined || cells.length === 0) continue;
    const started = cells.flatMap(({ id }) => finished.get(id)?.weights ?? []);
    checksums.set(
      model.name,
      await checkModel(study, { ...model, weights: model.weights }, started, onDamage),
    );
  }
  return checksums;
}

/** How the file of a model's weights is read, as the study says. */
export const readingOf = ({ keyMap, weightsState }: Pick<ModelConfig, "keyMap" | "weightsState">) => ({
  keyMap,
  weightsState,
});

/** @param started checksums of the files that finished cells of the model started from */
async function checkModel(
  study: Study,
  model: ModelConfig & { weights: string },
  started: readonly string[],
  onDamage: OnDamage,
): Promise<string> {
  const { output } = study.execution;
  const sha256 = await (await openCheckpoint(model.weights)).sha256();
  if (started.some((before) => before !== sha256)) {
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `The weights of ${model.name} are not those whose results lie in ${output}: ${model.weights} was changed. Choose ` +
        "another execution.output, or put the file back as it was",
    );
  }
  const kept = studyPaths(output).weights(model.name);
  const before = await readOwn<LoadReport>(output, kept, onDamage);
  const { weightsState = before?.file.state } = model;
  const isKnown = before !== null && before.refusal === null && before.file.sha256 === sha256;
  if (isKnown && weightsState === before.file.state) return sha256;
  await mkdir(dirname(kept), { recursive: true });
  const seed = seedFor(study.seed, "weights", model.name, "load report");
  using network = await Network.build({ encoder: encoderOf(model.encoder) }, { seed });
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
