import { freemem } from "node:os";
import { roomForVolumes } from "../../cohort/volume-bank.js";
import { TransferLimitsError } from "../../common/errors.js";
import { buildCommand, ownCommand } from "../../common/own-commands.js";
import { buildInfo, freeMemory } from "../../native/runtime.js";
import { type CheckedStudy, withExecution } from "./checked-study.js";

/** Part of the memory that is free that estimates may fill: they are rough. */
const usable = 0.9;

/** What the pool needs to know of a cell. */
export interface Placeable {
  id: string;
  /** Estimated peak, without the volumes that stay on a GPU. */
  memoryBytes: number;
  /** Of all its volumes, which stay on a GPU as far as there is room; absent on a CPU. */
  volumeBytes?: number | undefined;
}

/** What a cell holds on a device with so much memory: its estimated peak, and the volumes that stay there. */
export const memoryWith = (
  { memoryBytes, volumeBytes = 0 }: Omit<Placeable, "id">,
  deviceBytes: number,
): number => memoryBytes + Math.min(volumeBytes, roomForVolumes(deviceBytes));

/** The memory of a device in bytes that cells may use, as it is now; null where it is not known. */
export type FreeMemory = (device: string) => number | null;

/**
 * Which device a cell runs on, and whether it may start yet. Cells on one device share its memory: one that would not
 * fit beside those that run there waits, but a cell alone on a device always runs, as its estimate may be wrong and
 * waiting would not help. Results do not depend on any of it.
 */
export class DevicePool {
  readonly #running = new Map<string, Omit<Placeable, "id"> & { device: string }>();
  /** What was free on a device when nothing ran there. */
  readonly #idle = new Map<string, number | null>();

  constructor(
    readonly devices: readonly string[],
    private readonly freeMemory: FreeMemory = freeMemoryOf,
  ) {}

  /** Gives a cell the device with the fewest cells, of those where it fits; null where it must wait. */
  take({ id, memoryBytes, volumeBytes }: Placeable): string | null {
    const load = (device: string) => [...this.#running.values()].filter((one) => one.device === device);
    const byLoad = [...this.devices].sort((a, b) => load(a).length - load(b).length);
    const device = byLoad.find((candidate) =>
      this.#fits(candidate, load(candidate), { memoryBytes, volumeBytes }),
    );
    if (device === undefined) return null;
    this.#running.set(id, { device, memoryBytes, volumeBytes });
    return device;
  }

  /** The cell has ended. */
  release(id: string): void {
    this.#running.delete(id);
  }

  #fits(device: string, beside: readonly Omit<Placeable, "id">[], one: Omit<Placeable, "id">): boolean {
    const now = this.freeMemory(device);
    if (beside.length === 0) {
      this.#idle.set(device, now);
      return true;
    }
    const idle = this.#idle.get(device) ?? null;
    if (idle === null || now === null) return true;
    // Those that have just started do not hold yet what they will, so their estimates count, not what they hold now.
    const promised = beside.reduce((total, other) => total + memoryWith(other, idle), 0);
    return promised + memoryWith(one, now) <= usable * idle && memoryWith(one, now) <= usable * now;
  }
}

/**
 * Of the CPU: what the system could give without swapping (MemAvailable), within the limit of a container. Of a GPU: what
 * its driver says, whoever holds the rest.
 */
export function freeMemoryOf(device: string, ofGpu: (device: string) => number = freeMemory): number | null {
  if (device !== "cpu") {
    try {
      return ofGpu(nameOf(device));
    } catch {
      return null; // it is not here, or there is no LibTorch to ask it
    }
  }
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, freemem()) : freemem();
}

const nameOf = (device: string): string => (device === "cuda" ? "cuda:0" : device);

/**
 * @throws `BAD_CONFIG` where a device is not there, stands twice, or is of another kind than the first: numbers depend
 *   on the kind, and must not depend on which cell runs where
 */
export function checkDevices(devices: readonly string[]): void {
  const bad = (what: string, received: string) =>
    new TransferLimitsError("BAD_CONFIG", `Expected ${what} for the devices but received ${received}`);
  const list = devices.join(", ");
  if (devices.length === 0) throw bad("at least one", "none");
  for (const device of devices) {
    if (!/^(cpu|cuda(:\d+)?)$/.test(device)) throw bad('"cpu", "cuda" or "cuda:N"', JSON.stringify(device));
  }
  if (new Set(devices.map(nameOf)).size < devices.length) throw bad("each device once", list);
  if (devices.includes("cpu")) {
    if (devices.length > 1)
      throw bad("the CPU alone or GPUs alone (numbers depend on the kind of device)", list);
    return;
  }
  const absent = absentDevice(devices);
  if (absent !== null) throw new TransferLimitsError("BAD_CONFIG", absentInWords(absent));
}

/** The first of the devices that this machine doesn't have; null where it has all. @throws `LIBTORCH_MISSING` */
export function absentDevice(devices: readonly string[]): string | null {
  const gpus = devices.filter((device) => device !== "cpu");
  if (gpus.length === 0) return null;
  const there = buildInfo().devices.map(({ id }) => id);
  return gpus.find((device) => !there.includes(nameOf(device))) ?? null;
}

/** That a device isn't there, what there is, and what to do about it. */
export function absentInWords(device: string): string {
  const { cuda, devices } = buildInfo();
  const known = ["cpu", ...devices.map(({ id }) => id)].join(", ");
  const build = cuda
    ? ""
    : ` The addon that was loaded is the one for the CPU: where there is an NVIDIA GPU, build it with CUDA by ${buildCommand("cuda")}.`;
  return (
    `Expected devices that this machine has (${known}) but received ${device}. Use one of them, or a machine that has ` +
    `${device}; ${ownCommand("doctor")} says what was found here.${build}`
  );
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

/** The study, on the devices that were asked for. @throws `BAD_CONFIG` where they are not there, or do not go together */
export function withDevices(checked: CheckedStudy, asked: readonly string[] | undefined): CheckedStudy {
  const chosen = onDevices(checked, asked);
  checkDevices(chosen.study.execution.devices as string[]);
  return chosen;
}

/** The same where the devices are another machine's. */
export function onDevices(checked: CheckedStudy, asked?: readonly string[]): CheckedStudy {
  const { device, devices = [device] } = checked.study.execution;
  const chosen = asked ?? devices;
  return withExecution(checked, { device: chosen[0] as string, devices: [...chosen] });
}
