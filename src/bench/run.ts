import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf, TransferLimitsError, throwIfAborted } from "../common/errors.js";
import { setThreads } from "../native/runtime.js";
import type { BenchCase, BenchResult } from "./case.js";
import { benchCases } from "./cases/index.js";
import { describeMachine, load } from "./machine.js";
import { PeerHost } from "./peer-host.js";
import type { BenchReport } from "./report.js";

export interface BenchOptions {
  /** Which cases; everything that is not only on demand where none is named. */
  names: readonly string[];
  runs: number;
  threads: number;
  device: string;
  quick: boolean;
  /** The Python that runs the peers; null: none. */
  python: string | null;
  say: (text: string) => void;
  signal?: AbortSignal;
}

/** Times what was asked for, each beside its peers, and says on what machine. */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const { runs, threads, device, quick, python, say, signal } = options;
  const chosen = choose(options.names, device);
  setThreads(threads);
  say("measuring the machine's rates");
  const machine = await describeMachine(threads, device, quick ? 1 : 5);
  const peers = python === null ? null : new PeerHost(python, threads);
  const results: BenchResult[] = [];
  for (const one of chosen) {
    throwIfAborted(signal);
    const folder = await mkdtemp(join(tmpdir(), "transfer-limits-bench-"));
    try {
      results.push(
        await one.measure({ runs, threads, device, quick, peers, folder, say, ...(signal && { signal }) }),
      );
    } catch (error) {
      throwIfAborted(signal);
      results.push(failed(one, error));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    format: "transfer-limits/bench@1",
    date: new Date().toISOString(),
    runs,
    quick,
    machine: { ...machine, loadAfter: load() },
    peers: Object.assign({}, ...results.map(({ versions }) => versions)) as Record<string, string>,
    results,
  };
}

/** What failed is said in its place, so that it does not take with it what was measured before. */
const failed = ({ name, summary }: BenchCase, error: unknown): BenchResult => ({
  name,
  title: summary,
  ours: null,
  unavailable: messageOf(error),
  failed: true,
  comparisons: [],
  figures: [],
  error: null,
  tolerance: null,
  floor: null,
  versions: {},
});

function choose(names: readonly string[], device: string): BenchCase[] {
  if (names.length === 0) {
    return benchCases.filter(({ onDemand, cpuOnly }) => !onDemand && (!cpuOnly || device === "cpu"));
  }
  for (const name of names) {
    if (benchCases.some((known) => known.name === name)) continue;
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected names of ${benchCases.map((known) => known.name).join(", ")} but received "${name}"`,
    );
  }
  return benchCases.filter(({ name }) => names.includes(name));
}
