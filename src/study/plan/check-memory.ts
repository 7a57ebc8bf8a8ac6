import { totalmem } from "node:os";
import { TransferLimitsError } from "../../common/errors.js";
import { buildInfo } from "../../native/runtime.js";
import type { Study } from "../config/schema.js";
import { freeMemoryOf, memoryWith, type Placeable } from "./devices.js";

/** Estimates are right within about this factor: a cell estimated at so many times the memory cannot fit. */
export const uncertainty = 2;

/** A cell whose estimated memory is more than its device has. */
export interface LargeCell {
  id: string;
  device: string;
  /** Estimated peak, on a GPU with the volumes that stay there. */
  memoryBytes: number;
  /** Memory of the device: all of it, or what is free. */
  deviceBytes: number;
  /** Even where the estimate is as far off as it ever is. */
  certain: boolean;
}

/** All the memory of a device, within the limit of a container; null where it is not known, as of a GPU elsewhere. */
export function totalMemoryOf(device: string): number | null {
  if (device === "cpu") {
    const limit = process.constrainedMemory();
    return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  }
  try {
    const name = device === "cuda" ? "cuda:0" : device;
    return buildInfo().devices.find(({ id }) => id === name)?.memoryBytes ?? null;
  } catch {
    return null; // without LibTorch there is no GPU to ask
  }
}

/** What a cell may take of a device now: all of a CPU's memory, and of a GPU's what its driver says is free. */
export const memoryNowOf = (device: string): number | null =>
  device === "cpu" ? totalMemoryOf(device) : freeMemoryOf(device);

/** The cells that are estimated at more than the largest of the study's devices has, the largest first. */
export function largeCells(
  { execution: { device, devices = [device] } }: Pick<Study, "execution">,
  cells: readonly Placeable[],
  memoryOf: (device: string) => number | null = totalMemoryOf,
): LargeCell[] {
  const known = devices.map((name) => ({ device: name, deviceBytes: memoryOf(name) }));
  const largest = known.reduce((best, other) =>
    (other.deviceBytes ?? 0) > (best.deviceBytes ?? 0) ? other : best,
  );
  const { deviceBytes } = largest;
  if (deviceBytes === null || known.some((one) => one.deviceBytes === null)) return [];
  return cells
    .map((cell) => ({ id: cell.id, memoryBytes: memoryWith(cell, deviceBytes) }))
    .filter(({ memoryBytes }) => memoryBytes > deviceBytes)
    .map(({ id, memoryBytes }) => ({
      id,
      memoryBytes,
      device: largest.device,
      deviceBytes,
      certain: memoryBytes >= uncertainty * deviceBytes,
    }))
    .sort((a, b) => b.memoryBytes - a.memoryBytes);
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** What is too large, where, and what makes it smaller. */
export function largeCellsInWords(large: readonly [LargeCell, ...LargeCell[]]): string {
  const [{ id, device, memoryBytes, deviceBytes }, ...others] = large;
  const more = others.length > 0 ? `, and ${others.length} more are too large` : "";
  return (
    `the cell ${id} is estimated at ${gigabytes(memoryBytes)}, but ${device === "cpu" ? "this machine" : device} has ` +
    `${gigabytes(deviceBytes)}${more}. What makes it smaller: fewer cohort.voxels, a smaller training.batchSize or ` +
    "training.microBatch, execution.checkpointing: true, a smaller model (models, specialised); or run it where there is " +
    "more memory, on a GPU by execution.device: cuda"
  );
}

/**
 * Refuses a study with a cell that cannot fit into its device's memory, whatever runs beside it.
 *
 * @throws `BAD_CONFIG` naming the largest cell, its estimate and what makes it smaller
 */
export function refuseTooLarge(
  study: Pick<Study, "execution">,
  cells: readonly Placeable[],
  memoryOf: (device: string) => number | null = totalMemoryOf,
): void {
  const [first, ...others] = largeCells(study, cells, memoryOf).filter(({ certain }) => certain);
  if (first === undefined) return;
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `The study does not fit: ${largeCellsInWords([first, ...others])}`,
  );
}
