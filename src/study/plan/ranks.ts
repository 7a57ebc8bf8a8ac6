import { TransferLimitsError } from "../../common/errors.js";
import type { Study } from "../config/schema.js";
import { absentDevice } from "./devices.js";
import type { PlannedCell } from "./plan.js";

/**
 * How many processes train a cell together: as the study says, or one, where nothing is trained, or by a method that compares
 * the cases of a whole batch with each other.
 */
export function ranksOf(
  { execution, models }: Pick<Study, "execution" | "models">,
  cell: PlannedCell,
): number {
  if (cell.trains === "nothing" || cell.network === null) return 1;
  const method = models.find(({ name }) => name === cell.model)?.pretrain?.method;
  return cell.kind === "pretraining" && method !== "masked-autoencoder" ? 1 : execution.ranks;
}

/** The device of a rank, where rank 0 has that one: the GPU that lies so many after it. */
export function deviceOfRank(device: string, rank: number): string {
  if (device === "cpu") return device;
  const [, first = "0"] = /^cuda:(\d+)$/.exec(device) ?? [];
  return `cuda:${Number(first) + rank}`;
}

/**
 * @param devices of rank 0 of each cell
 * @throws `BAD_CONFIG` where those that follow are not there, or belong to two cells
 */
export function checkDevicesOfRanks(ranks: number, devices: readonly string[]): void {
  const all = devices.flatMap((device) =>
    Array.from({ length: ranks }, (_, rank) => deviceOfRank(device, rank)),
  );
  if (ranks === 1 || devices.includes("cpu")) return;
  const twice = all.find((device, index) => all.indexOf(device) < index);
  const absent = absentDevice(all);
  if (twice === undefined && absent === null) return;
  const why = twice === undefined ? `this machine has no ${absent}` : `${twice} would belong to two of them`;
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `Expected ${ranks} GPUs (execution.ranks) from each of the devices ${devices.join(", ")} on, but ${why}`,
  );
}
