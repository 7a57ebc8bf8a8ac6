import { average } from "../../common/numbers.js";
import type { EpochRecord } from "../../results/cell.js";
import { betterOf, ownStrategy } from "../../tasks/index.js";
import { progressOf } from "../cell/cell-claim.js";
import { readCellOf } from "../cell/cell-folder.js";
import { CheckpointFolder } from "../cell/checkpoint.js";
import type { TaskConfig } from "../config/schema.js";
import type { CellBasis } from "../plan/basis.js";
import type { PlannedCell, StudyPlan } from "../plan/plan.js";

/** What the first 5 % of a training came to. */
export interface EarlyTraining {
  /** The validation metric where there is one by then, else the training loss; errors and losses with their sign turned: greater is better. */
  of: "validation metric" | "training loss";
  epoch: number;
  epochs: number;
  fineTuned: number;
  /** Null where training from scratch has not come as far. */
  fromScratch: number | null;
}

/** The share of a training by whose end its early value is taken. */
const earlyShare = 0.05;

/** The cells that are trained on all patients. */
export const wholeCells = (plan: StudyPlan): PlannedCell[] =>
  plan.cells.filter(({ kind, patients }) => kind === "cell" && patients === undefined);

/** The first 5 % of the trainings of a model on a task, the mean over seeds; of trainings that are still going on too. */
export async function earlyTraining(
  folder: string,
  plan: StudyPlan,
  bases: ReadonlyMap<string, CellBasis>,
  config: TaskConfig,
  model: string,
): Promise<EarlyTraining | null> {
  const { name: task } = config;
  const turn = betterOf(config) === "higher" ? 1 : -1;
  const found: {
    side: "fineTuned" | "fromScratch";
    epochs: number;
    epoch: number;
    loss: number;
    metric: number | null;
  }[] = [];
  for (const cell of wholeCells(plan)) {
    const side = ({ "fine-tuned": "fineTuned", "from-scratch": "fromScratch" } as const)[
      cell.comparator as string
    ];
    if (!side || cell.task !== task || cell.model !== model || cell.strategy !== ownStrategy(task)) continue;
    const epoch = Math.max(1, Math.ceil(earlyShare * cell.epochs));
    const basis = bases.get(cell.id) as CellBasis;
    const curve =
      (await readCellOf(folder, cell.id, basis))?.curve ?? (await curveSoFar(folder, cell.id, basis));
    const until = curve.filter((record) => record.epoch <= epoch);
    const last = until.at(-1);
    if (last?.epoch !== epoch) continue;
    const metric = until.flatMap(({ validationMetric }) => validationMetric ?? []).at(-1) ?? null;
    found.push({ side, epochs: cell.epochs, epoch, loss: last.trainingLoss, metric });
  }
  const [first] = found.filter(({ side }) => side === "fineTuned");
  if (!first) return null;
  const validated = found.every(({ metric }) => metric !== null);
  const mean = (side: string) => {
    const own = found
      .filter((one) => one.side === side)
      .map(({ metric, loss }) => (validated ? turn * (metric as number) : -loss));
    return own.length === 0 ? null : average(own);
  };
  return {
    of: validated ? "validation metric" : "training loss",
    epoch: first.epoch,
    epochs: first.epochs,
    fineTuned: mean("fineTuned") as number,
    fromScratch: mean("fromScratch"),
  };
}

/** Of a training that is not finished. */
async function curveSoFar(folder: string, id: string, basis: CellBasis): Promise<EpochRecord[]> {
  const state = await new CheckpointFolder(await progressOf(folder, id)).readOf(basis);
  return state?.curve ?? [];
}
