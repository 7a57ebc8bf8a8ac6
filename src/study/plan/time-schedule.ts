import type { DevicePool, Placeable } from "./devices.js";

/** What a schedule needs to know of a cell. */
export interface Timed extends Placeable {
  dependsOn: readonly string[];
  /** 0 for one that is done. */
  seconds: number;
}

/** How a study's cells follow one another. */
export interface SimulatedSchedule {
  /** From the first cell's start to the last one's end. */
  seconds: number;
  /** By device, for how long a cell runs there, and how much work all of them are. */
  devices: { device: string; busySeconds: number; workSeconds: number }[];
  /** The longest chain of cells of which each waits for the one before: no number of devices is faster. */
  chainSeconds: number;
}

/**
 * Cells as they are handed out: up to `jobs` at once, each to the device with the fewest, of those that are ready the one
 * first from which the longest chain of work hangs.
 */
export function simulate(cells: readonly Timed[], jobs: number, pool: DevicePool): SimulatedSchedule {
  const first = priorities(cells, ({ seconds }) => seconds);
  const known = new Set(cells.map(({ id }) => id));
  const done = new Set<string>();
  const waiting = [...cells].sort((a, b) => (first.get(b.id) as number) - (first.get(a.id) as number));
  let running: { id: string; ends: number }[] = [];
  const by = new Map(
    pool.devices.map((device) => [device, { device, busySeconds: 0, workSeconds: 0, until: 0 }]),
  );
  let now = 0;
  while (waiting.length > 0 || running.length > 0) {
    for (let index = 0; index < waiting.length && running.length < jobs; ) {
      const cell = waiting[index] as Timed;
      const isReady = cell.dependsOn.every((id) => done.has(id) || !known.has(id));
      const device = isReady ? pool.take(cell) : null;
      if (device === null) {
        index++;
        continue;
      }
      waiting.splice(index, 1);
      const ends = now + cell.seconds;
      running.push({ id: cell.id, ends });
      const one = by.get(device);
      if (one === undefined) continue;
      one.workSeconds += cell.seconds;
      one.busySeconds += Math.max(0, ends - Math.max(now, one.until));
      one.until = Math.max(one.until, ends);
    }
    const next = running.reduce((least, { ends }) => Math.min(least, ends), Number.POSITIVE_INFINITY);
    if (next === Number.POSITIVE_INFINITY) break; // what is left waits for what never comes
    now = next;
    for (const { id } of running.filter(({ ends }) => ends <= now)) {
      done.add(id);
      pool.release(id);
    }
    running = running.filter(({ ends }) => ends > now);
  }
  return {
    seconds: now,
    devices: [...by.values()].map(({ until: _, ...one }) => one),
    chainSeconds: Math.max(0, ...first.values()),
  };
}

/** Of each cell, its own size and that of the largest chain of cells that wait for it. */
export function priorities<Cell extends { id: string; dependsOn: readonly string[] }>(
  cells: readonly Cell[],
  sizeOf: (cell: Cell) => number,
): Map<string, number> {
  const dependents = new Map<string, Cell[]>();
  for (const cell of cells)
    for (const id of cell.dependsOn) dependents.set(id, [...(dependents.get(id) ?? []), cell]);
  const known = new Map<string, number>();
  const of = (cell: Cell): number => {
    const before = known.get(cell.id);
    if (before !== undefined) return before;
    const value = sizeOf(cell) + Math.max(0, ...(dependents.get(cell.id) ?? []).map(of));
    known.set(cell.id, value);
    return value;
  };
  for (const cell of cells) of(cell);
  return known;
}
