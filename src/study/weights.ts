import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { writeJson } from "../common/atomic-file.js";
import { TransferLimitsError } from "../common/errors.js";
import { seedFor } from "../common/random.js";
import { openCheckpoint } from "../models/checkpoints/checkpoint-file.js";
import { WeightsRefused } from "../models/checkpoints/load.js";
import type { LoadReport } from "../models/checkpoints/load-report.js";
import { encoderOf } from "../models/specification.js";
import { loadEncoder } from "../models/weights.js";
import { Network } from "../native/network.js";
import { readJson, studyPaths } from "./cell-folder.js";
import type { PlannedCell, StudyPlan } from "./plan.js";
import type { ModelConfig, Study } from "./schema.js";

/**
 * Loads the weights of each model that brings its own, before any cell runs, and keeps the report of what happened to
 * every tensor in the study's folder. A report that is there already is believed where the file is still the same.
 *
 * @param done ids of cells whose results lie in the folder
 * @throws `BAD_CHECKPOINT` with the report's words where a file is refused; `BAD_CONFIG` where a file is no longer the
 *   one whose results lie in the folder
 */
export async function checkWeights(study: Study, plan: StudyPlan, done: ReadonlySet<string>): Promise<void> {
  for (const model of study.models) {
    const cells = plan.cells.filter(
      (cell) => cell.kind === "cell" && cell.model === model.name && cell.startsFrom === "pretrained",
    );
    if (model.weights !== undefined && cells.length > 0)
      await checkModel(study, { ...model, weights: model.weights }, cells, done);
  }
}

/** How the file of a model's weights is read, as the study says. */
export const readingOf = ({ keyMap, weightsState }: Pick<ModelConfig, "keyMap" | "weightsState">) => ({
  keyMap,
  weightsState,
});

async function checkModel(
  study: Study,
  model: ModelConfig & { weights: string },
  cells: readonly PlannedCell[],
  done: ReadonlySet<string>,
): Promise<void> {
  const kept = studyPaths(study.execution.output).weights(model.name);
  const before = await readJson<LoadReport>(kept);
  if (before !== null && before.refusal === null) {
    const sha256 = await (await openCheckpoint(model.weights)).sha256();
    const isSame = sha256 === before.file.sha256;
    const { weightsState = before.file.state } = model;
    if (isSame && weightsState === before.file.state) return;
    if (!isSame && cells.some(({ id }) => done.has(id))) {
      throw new TransferLimitsError(
        "BAD_CONFIG",
        `The weights of ${model.name} are not those whose results lie in ${study.execution.output}: ${model.weights} was ` +
          "changed. Choose another execution.output, or put the file back as it was",
      );
    }
  }
  await mkdir(dirname(kept), { recursive: true });
  const seed = seedFor(study.seed, "weights", model.name, "load report");
  using network = await Network.build({ encoder: encoderOf(model.encoder) }, { seed });
  try {
    await writeJson(kept, await loadEncoder(network, model.weights, { ...readingOf(model), fresh: true }));
  } catch (error) {
    if (error instanceof WeightsRefused) await writeJson(kept, error.report);
    throw error;
  }
}
