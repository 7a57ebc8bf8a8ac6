import type { BenchResult, Comparison, Floor } from "./case.js";
import type { Machine, Rates } from "./machine.js";
import type { Timing } from "./timing.js";

/** What `bench --json` writes. */
export interface BenchReport {
  format: "transfer-limits/bench@1";
  /** When it ended, ISO 8601. */
  date: string;
  runs: number;
  /** Small sizes: the numbers mean nothing. */
  quick: boolean;
  machine: Machine;
  /** Versions of the peers' libraries. */
  peers: Record<string, string>;
  results: BenchResult[];
}

/** The rows of a table, as words. */
export interface Table {
  heading: string[];
  rows: string[][];
}

/** Milliseconds with three significant digits. */
export const milliseconds = (seconds: number): string => {
  const value = 1000 * seconds;
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 10 ? 1 : 2);
};

const spread = (timing: Timing | null): string[] =>
  timing === null
    ? ["–", "–", "–"]
    : [
        milliseconds(timing.median),
        milliseconds(timing.minimum),
        `${milliseconds(timing.lowerQuartile)}–${milliseconds(timing.upperQuartile)}`,
      ];

/** The least time that a run can take at these rates: its arithmetic's, or its memory traffic's, whichever is longer. */
export const floorSeconds = (floor: Floor, rates: Rates): number =>
  Math.max(floor.operations / rates.operationsPerSecond, floor.bytes / rates.bytesPerSecond);

/** The fastest peer of each group: the others do the same by other means. A group without any has its first. */
export function fastestOfGroups(comparisons: readonly Comparison[]): Comparison[] {
  const groups = new Map<string, Comparison>();
  for (const comparison of comparisons) {
    const known = groups.get(comparison.group);
    const faster =
      known === undefined ||
      (comparison.timing !== null &&
        (known.timing === null || comparison.timing.median < known.timing.median));
    if (faster) groups.set(comparison.group, comparison);
  }
  return [...groups.values()];
}

const error = (value: number | null): string =>
  value === null ? "–" : Number.isNaN(value) ? "not a number" : value === 0 ? "0" : value.toExponential(1);

const ratio = ({ ratio: value }: Comparison): string => (value === null ? "–" : `${value.toFixed(2)}x`);
const least = ({ atLeast }: Comparison): string => (atLeast === null ? "–" : `${atLeast}x`);

/** One row for each kind of peer: ours, the fastest of that kind, and how many times as long it takes. */
export function comparisonTable({ results, machine }: BenchReport): Table {
  const heading = [
    "work",
    "ours, ms",
    "min",
    "quartiles",
    "peer",
    "peer, ms",
    "min",
    "quartiles",
    "ratio",
    "at least",
    "floor, ms",
  ];
  const rows = results.flatMap((result) => {
    const ours = [result.title, ...spread(result.ours)];
    const floor = result.floor ? milliseconds(floorSeconds(result.floor, machine.rates)) : "–";
    const groups = fastestOfGroups(result.comparisons);
    if (groups.length === 0) return [[...ours, "–", "–", "–", "–", "–", "–", floor]];
    return groups.map((peer) => [
      ...ours,
      peer.peer,
      ...spread(peer.timing),
      ratio(peer),
      least(peer),
      floor,
    ]);
  });
  return { heading, rows };
}

/** One row for each peer, also those that another of their kind outruns: times, and how well the answers agree. */
export function agreementTable({ results }: BenchReport): Table {
  return {
    heading: [
      "work",
      "peer",
      "ms",
      "min",
      "quartiles",
      "ours differs from it by",
      "its error",
      "our error",
      "it may be",
    ],
    rows: results.flatMap((result) =>
      result.comparisons
        .filter(({ timing, difference, error: own }) => timing !== null && (difference ?? own) !== null)
        .map((peer) => [
          result.title,
          peer.peer,
          ...spread(peer.timing),
          error(peer.difference),
          error(peer.error),
          error(result.error),
          error(result.tolerance),
        ]),
    ),
  };
}

/** What could not be timed, and why. */
export const notTimed = ({ results }: BenchReport): string[] =>
  results.flatMap((result) => [
    ...(result.unavailable === undefined ? [] : [`${result.title}, ours: ${result.unavailable}`]),
    ...result.comparisons.flatMap(({ peer, unavailable }) =>
      unavailable === undefined ? [] : [`${result.title}, ${peer}: ${unavailable}`],
    ),
  ]);

/** The numbers beside the times. */
export const figureLines = ({ results }: BenchReport): string[] =>
  results.flatMap(({ title, figures }) =>
    figures.map(
      ({ what, value, unit, target }) =>
        `${title}: ${value.toPrecision(3)} ${unit} ${what}${target === null ? "" : ` (${target})`}`,
    ),
  );

/** On what was measured, a line each. */
export function machineLines({ machine, peers, runs, quick, date }: BenchReport): string[] {
  const { processor, cores, memoryBytes, device, threads, loadBefore, loadAfter, versions, rates } = machine;
  const list = (of: Record<string, string>) =>
    Object.entries(of)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ");
  return [
    `${processor}, ${cores} cores, ${(memoryBytes / 1e9).toFixed(0)} GB; device ${device}, ${threads} threads`,
    list(versions),
    ...(Object.keys(peers).length > 0 ? [`peers: ${list(peers)}`] : []),
    `measured rates: ${(rates.operationsPerSecond / 1e9).toFixed(0)} GFLOP/s of float32 matrix products, ` +
      `${(rates.bytesPerSecond / 1e9).toFixed(1)} GB/s of reading`,
    `load of the machine: ${loadBefore} before, ${loadAfter} after; ${runs} alternating runs; ${date.slice(0, 10)}`,
    ...(quick ? ["small sizes (--quick): these numbers mean nothing"] : []),
    ...(Math.max(loadBefore, 0) > 0.5 * cores
      ? ["the machine was not quiet: other processes ran, and times are too long"]
      : []),
  ];
}

export function markdownOf(report: BenchReport): string {
  const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
  const rendered = ({ heading, rows }: Table) =>
    [heading, heading.map(() => "---"), ...rows].map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n");
  const list = (lines: string[]) => lines.map((line) => `- ${line.replaceAll("\n", " ")}`).join("\n");
  const agreement = agreementTable(report);
  const parts: [string, string][] = [
    ["", list(machineLines(report))],
    ["", rendered(comparisonTable(report))],
    ["Beside the times", list(figureLines(report))],
    ["Every peer, and how well the answers agree", agreement.rows.length > 0 ? rendered(agreement) : ""],
    ["Not timed", list(notTimed(report))],
  ];
  return `${parts
    .filter(([, body]) => body !== "")
    .map(([title, body]) => (title === "" ? body : `### ${title}\n\n${body}`))
    .join("\n\n")}\n`;
}
