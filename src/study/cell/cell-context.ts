import type { CellLabel, StudyEvent } from "../../common/progress.js";
import type { OnDamage } from "../../common/set-aside.js";
import type { Ranks } from "../../native/ranks.js";
import type { TrainerOptions } from "../../native/trainer.js";
import type { Retry } from "../../results/cell.js";
import type { Study } from "../config/schema.js";
import type { CellBasis } from "../plan/basis.js";
import type { StudyCohort } from "../plan/cohort-file.js";
import type { PlannedCell } from "../plan/plan.js";
import type { CellClaim } from "./cell-claim.js";

/** Everything that working on one cell needs. */
export interface CellJob {
  study: Study;
  cell: PlannedCell;
  cohort: StudyCohort;
  /** What its numbers rest on. */
  basis: CellBasis;
  threads: number;
  /** SHA-256 of the file of weights that the cell's model brings, as it was when the study began; null: it brings none. */
  weights: string | null;
  /** Why it is tried a second time, and how; null at the first try. */
  retry: Retry | null;
}

export interface CellContext extends CellJob {
  /** Null in a process that only trains along with the one that holds it. */
  claim: CellClaim | null;
  /** Where the state of the cell's training is kept. */
  progress: string;
  /** The processes that train the cell together; null where there is one. */
  ranks: Ranks | null;
  signal: AbortSignal;
  tell(
    event: Extract<
      StudyEvent,
      { kind: "cell-started" | "epoch" | "set-aside" | "encoder-checked" | "cell-moved-away" }
    >,
  ): void;
}

/** Tells of what a cell found damaged in its folder of progress. */
export const onDamageOf =
  ({ tell }: CellContext): OnDamage =>
  (damage) =>
    tell({ kind: "set-aside", ...damage });

/** What stands in an event about a cell. */
export const labelOf = ({
  id,
  kind,
  task,
  strategy,
  model,
  comparator,
  seed,
  patients,
}: CellLabel): CellLabel => ({
  ...(patients === undefined ? {} : { patients }),
  id,
  kind,
  task,
  strategy,
  model,
  comparator,
  seed,
});

/** How a study's trainings are computed. */
export const executionOf = ({ execution }: Study, microBatch: number | null): Partial<TrainerOptions> => ({
  precision: execution.precision,
  checkpointing: execution.checkpointing,
  cudaGraphs: execution.cudaGraphs,
  ...(microBatch === null ? {} : { microBatch }),
});

/** What a training tells about a cell. */
export function listeners({ cell, tell }: CellContext, metric: string | null) {
  const label = labelOf(cell);
  return {
    onStart: (startEpoch: number) =>
      tell({ kind: "cell-started", cell: label, epochs: cell.epochs, startEpoch }),
    onEpoch: (
      record: { epoch: number; trainingLoss: number; validationMetric: number | null },
      secondsLeft: number,
    ) =>
      tell({
        kind: "epoch",
        cell: label,
        epoch: record.epoch,
        epochs: cell.epochs,
        loss: record.trainingLoss,
        metric:
          metric !== null && record.validationMetric !== null
            ? { name: metric, value: record.validationMetric }
            : null,
        secondsLeft,
      }),
  };
}
