import { groupBy } from "../common/group-by.js";

/** A cell with what it asks of a cluster, as far as that is estimated. */
export interface SizedCell {
  id: string;
  /** Cells that must be done before it, of which those that are done already are left out. */
  dependsOn: readonly string[];
  seconds: number;
  memoryMegabytes: number;
}

/** A task of an array: of one that is submitted now, or of a job that waits or runs already, by its id in Slurm. */
export type TaskOf = { array: string; task: number } | { job: string };

/** Tasks that are submitted at once, alike in what they ask for and in what they wait for. */
export interface ArrayJob {
  /** Also of its script. */
  name: string;
  /** The cells of each task, in the order in which it works on them. */
  tasks: string[][];
  memoryMegabytes: number;
  /** Estimated, of its longest task. */
  seconds: number;
  /** It starts once each of these has ended well. */
  after: TaskOf[];
}

export interface Layout {
  arrays: ArrayJob[];
  /** Cells for which there is no room in the queue. */
  left: string[];
}

export interface LayoutOptions {
  /** The largest array of the cluster. */
  arraySize: number;
  /** Short cells are packed until a task is estimated at about so many seconds; longer, where the queue has less room. */
  packedSeconds: number;
  /** So many tasks may be submitted. */
  tasks: number;
  /** Jobs that wait or run, by the cell that they work on. */
  live: ReadonlyMap<string, string>;
}

/**
 * Lays out arrays of tasks for cells: those first that others start from, each a task of its own, so that what starts from
 * it waits for nothing else; the others packed, by estimated time, with those that ask for about as much memory.
 */
export function layOut(cells: readonly SizedCell[], options: LayoutOptions): Layout {
  let layout: Layout = { arrays: [], left: [] };
  for (let packed = options.packedSeconds, before = Number.POSITIVE_INFINITY; ; packed *= 2) {
    layout = packedLayout(cells, packed, options);
    const now = countTasks(layout);
    if (now <= options.tasks) return layout;
    if (now >= before && packed > 1e9) return shortened(layout, options.tasks);
    before = now;
  }
}

const countTasks = ({ arrays }: Layout): number => arrays.reduce((sum, { tasks }) => sum + tasks.length, 0);

function packedLayout(
  cells: readonly SizedCell[],
  packed: number,
  { arraySize, live }: LayoutOptions,
): Layout {
  const known = new Map(cells.map((cell) => [cell.id, cell]));
  const startedFrom = new Set(cells.flatMap(({ dependsOn }) => dependsOn));
  const placed = new Map<string, TaskOf>();
  const arrays: ArrayJob[] = [];
  for (const ofDepth of byDepth(cells, known)) {
    for (const isStart of [true, false]) {
      const some = ofDepth.filter(({ id }) => startedFrom.has(id) === isStart);
      const groups = groupBy(some, (cell) =>
        JSON.stringify([afterOf(cell), powerOfTwo(cell.memoryMegabytes)]),
      );
      const tasks = [...groups.values()].flatMap((group) =>
        (isStart ? group.map((cell) => [cell]) : pack(group, packed)).map((task) => ({
          cells: task,
          after: afterOf(task[0] as SizedCell),
          seconds: task.reduce((sum, { seconds }) => sum + seconds, 0),
          memory: Math.max(...task.map(({ memoryMegabytes }) => memoryMegabytes)),
        })),
      );
      const alike = groupBy(tasks, ({ after, memory, seconds }) =>
        JSON.stringify([after, powerOfTwo(memory), powerOfTwo(Math.max(packed, seconds))]),
      );
      for (const group of alike.values()) {
        const longestFirst = [...group].sort((a, b) => b.seconds - a.seconds);
        for (let first = 0; first < longestFirst.length; first += arraySize) {
          const part = longestFirst.slice(first, first + arraySize);
          const kind = isStart ? "pretraining" : "cells";
          const name = `${kind}-${arrays.filter((one) => one.name.startsWith(`${kind}-`)).length + 1}`;
          part.forEach((task, index) => {
            for (const { id } of task.cells) placed.set(id, { array: name, task: index });
          });
          arrays.push({
            name,
            tasks: part.map((task) => task.cells.map(({ id }) => id)),
            memoryMegabytes: Math.max(...part.map(({ memory }) => memory)),
            seconds: Math.max(...part.map(({ seconds }) => seconds)),
            after: part[0]?.after ?? [],
          });
        }
      }
    }
  }
  return { arrays, left: [] };

  function afterOf({ id, dependsOn }: SizedCell): TaskOf[] {
    return dependsOn.map((start) => {
      const job = live.get(start);
      const task = placed.get(start) ?? (job === undefined ? undefined : { job });
      if (task === undefined) throw new Error(`${id} starts from ${start}, which nothing works on`);
      return task;
    });
  }
}

/** Cells that start from nothing, then those that start from them, and so on. */
function byDepth(cells: readonly SizedCell[], known: ReadonlyMap<string, SizedCell>): SizedCell[][] {
  const depths = new Map<string, number>();
  const depthOf = (cell: SizedCell): number => {
    const before = depths.get(cell.id);
    if (before !== undefined) return before;
    const starts = cell.dependsOn.flatMap((id) => known.get(id) ?? []);
    const depth = starts.length === 0 ? 0 : 1 + Math.max(...starts.map(depthOf));
    depths.set(cell.id, depth);
    return depth;
  };
  const layers: SizedCell[][] = [];
  for (const cell of cells) {
    const depth = depthOf(cell);
    while (layers.length <= depth) layers.push([]);
    layers[depth]?.push(cell);
  }
  return layers;
}

/** The longest first, each to the task that has the least to do, of as few tasks as the whole needs. */
function pack(cells: readonly SizedCell[], packed: number): SizedCell[][] {
  const long = cells.filter(({ seconds }) => seconds >= packed);
  const short = cells
    .filter(({ seconds }) => seconds < packed)
    .sort((a, b) => b.seconds - a.seconds || (a.id < b.id ? -1 : 1));
  const total = short.reduce((sum, { seconds }) => sum + seconds, 0);
  const tasks = Array.from({ length: Math.ceil(total / packed) || (short.length > 0 ? 1 : 0) }, () => ({
    cells: [] as SizedCell[],
    seconds: 0,
  }));
  for (const cell of short) {
    const least = tasks.reduce((best, other) => (other.seconds < best.seconds ? other : best));
    least.cells.push(cell);
    least.seconds += cell.seconds;
  }
  return [
    ...long.map((cell) => [cell]),
    ...tasks.filter((task) => task.cells.length > 0).map((task) => task.cells),
  ];
}

/** As much of a layout as so many tasks are. Arrays come after what they wait for, so that none waits for what is left. */
function shortened({ arrays }: Layout, most: number): Layout {
  const kept: ArrayJob[] = [];
  let room = Math.max(0, most);
  for (const array of arrays) {
    const isThere = array.after.every(
      (one) => "job" in one || kept.some(({ name, tasks }) => name === one.array && one.task < tasks.length),
    );
    const tasks = isThere ? array.tasks.slice(0, room) : [];
    if (tasks.length > 0) kept.push({ ...array, tasks });
    room -= tasks.length;
  }
  const submitted = new Set(kept.flatMap(({ tasks }) => tasks.flat()));
  const left = arrays.flatMap(({ tasks }) => tasks.flat()).filter((id) => !submitted.has(id));
  return { arrays: kept, left };
}

const powerOfTwo = (value: number): number => Math.ceil(Math.log2(Math.max(1, value)));
