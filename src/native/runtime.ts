import type { BuildInfo } from "./addon.js";
import { addon, call, nativeWork } from "./load.js";

export type { BuildInfo } from "./addon.js";

/** What the loaded addon was built with, and which devices it sees. */
export const buildInfo = (): BuildInfo => addon().buildInfo();

/** Sets how many threads an operation on the CPU uses. Results depend on it, in the last bits. */
export const setThreads = (count: number): void => call(() => addon().setThreads(count));

export const threads = (): number => addon().threads();

/** Bytes that are free on a GPU. @throws `BAD_INPUT` for a CPU */
export const freeMemory = (device: string): number => call(() => addon().freeMemory(device));

/** The most memory in bytes that the process (a CPU) or LibTorch's allocator (CUDA) has held so far. */
export const peakMemory = (device: string): number => call(() => addon().peakMemory(device));

/** How long this process has had native work under way so far: work side by side counts once. */
export const nativeSeconds = (): number => nativeWork.seconds;
