import type { BuildInfo } from "./addon.js";
import { addon, call, nativeWork, settle } from "./load-addon.js";

export type { BuildInfo } from "./addon.js";

/** What the loaded addon was built with, and which devices it sees. */
export const buildInfo = (): BuildInfo => addon().buildInfo();

/** Sets how many threads an operation on the CPU uses. Results depend on it, in the last bits. */
export const setThreads = (count: number): void => call(() => addon().setThreads(count));

export const threads = (): number => addon().threads();

/**
 * Whether work on a GPU gives the same numbers to the bit each time: LibTorch then takes deterministic algorithms, and
 * refuses what has none. To be set before anything is computed there; a CPU's numbers are the same in any case.
 */
export const setDeterministic = (on: boolean): void => call(() => addon().setDeterministic(on));

/**
 * How long a device has worked for this process so far: a GPU by events on the device itself, around each piece of work;
 * a CPU as long as native work was under way.
 */
export const deviceSeconds = async (device: string): Promise<number> =>
  device === "cpu" ? nativeSeconds() : (await settle(addon().deviceMilliseconds(device))) / 1000;

/** Bytes that the driver says are free on a GPU, whoever holds the rest. @throws `BAD_INPUT` for a CPU */
export const freeMemory = (device: string): number => call(() => addon().freeMemory(device));

/** The most memory in bytes that the process (a CPU) or LibTorch's allocator (CUDA) has held so far. */
export const peakMemory = (device: string): number => call(() => addon().peakMemory(device));

/** `peakMemory` is from now on the most since now. */
export const resetPeakMemory = (device: string): void => call(() => addon().resetPeakMemory(device));

/** How long this process has had native work under way so far: work side by side counts once. */
export const nativeSeconds = (): number => nativeWork.seconds;
