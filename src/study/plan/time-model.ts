import { availableParallelism } from "node:os";
import type { Study } from "../config/schema.js";
import type { CheckedStudy } from "./checked-study.js";
import { DevicePool } from "./devices.js";
import type { PlannedCell } from "./plan.js";
import { add, type Rates, type Spent, totalOf } from "./time-rates.js";
import { type SimulatedSchedule, simulate, type Timed } from "./time-schedule.js";
import { type CellParts, casesOf, partsOf } from "./time-work.js";

/** What most of a cell's time is spent on. */
export type Binding = keyof Spent;

/** About how long a cell takes by itself. */
export interface CellTime {
  seconds: number;
  /** Seconds of each part. */
  parts: Record<keyof CellParts, number>;
  binds: Binding;
}

/** How long a study takes, and what it waits for. */
export interface StudyTime {
  /** By the cell's id; those that are done count nothing. */
  cells: Record<string, CellTime>;
  /** How the rates were come by, and of which device. */
  rates: Pick<Rates, "device" | "source">;
  /** Cells of this very study that are done, by whose times the others were corrected, and by which factor; null: none. */
  corrected: { cells: number; factor: number } | null;
  /** With the devices and jobs of the study. */
  schedule: SimulatedSchedule;
  /** The same with one device more, or one more machine like this one, and as many jobs there. */
  withAnother: { device: string; seconds: number };
}

/** Of one thread of those that the study's cells have: what is left of the cores by its jobs, unless it says. */
export const threadsOf = ({ execution: { threads, jobs, ranks } }: Pick<Study, "execution">): number =>
  threads ?? Math.max(1, Math.floor(availableParallelism() / (jobs * ranks)));

/** The times of a study's cells by themselves, from their work and the rates of their device. */
export function timesOf(checked: CheckedStudy, rates: Rates): Map<string, CellTime> {
  const { study, plan } = checked;
  const ranks = study.execution.ranks;
  return new Map(
    plan.cells.map((cell) => {
      const parts = partsOf(study, cell, casesOf(checked, cell), rates);
      const training = totalOf(parts.training);
      const all = add(...Object.values(parts));
      // Ranks share each batch; all else one of them does.
      const seconds = totalOf(all) - training * (1 - 1 / ranks);
      const binds = (Object.keys(all) as Binding[]).reduce((most, one) =>
        all[one] > all[most] ? one : most,
      );
      const named = Object.entries(parts).map(([part, spent]) => [part, totalOf(spent)]);
      return [cell.id, { seconds, parts: Object.fromEntries(named) as CellTime["parts"], binds }];
    }),
  );
}

/**
 * How long the rest of a study takes.
 *
 * @param done seconds that finished cells took; null of those of which that is not known, or was on another device
 * @param probed seconds of cells by steps that were timed here (`plan --probe`); null or absent of a network that was not
 */
export function studyTime(
  checked: CheckedStudy,
  rates: Rates,
  done: ReadonlyMap<string, number | null> = new Map(),
  probed: Readonly<Record<string, number | null>> = {},
): StudyTime {
  const { study, plan } = checked;
  const predicted = new Map(
    [...timesOf(checked, rates)].map(([id, time]) => [id, byProbe(time, probed[id] ?? null)]),
  );
  const corrected = correctionBy(plan.cells, predicted, done);
  const factor = corrected?.factor ?? 1;
  const cells: Record<string, CellTime> = {};
  for (const { id } of plan.cells) {
    const time = predicted.get(id) as CellTime;
    cells[id] = done.has(id) ? { ...time, seconds: 0 } : { ...time, seconds: factor * time.seconds };
  }
  const timed = plan.cells
    .filter(({ id }) => !done.has(id))
    .map(({ id, dependsOn, memoryBytes, volumeBytes }): Timed => {
      const { seconds } = cells[id] as CellTime;
      return { id, dependsOn, memoryBytes, volumeBytes, seconds };
    });
  const { device, devices = [device] } = study.execution;
  const jobs = Math.max(study.execution.jobs, devices.length);
  const another = device === "cpu" ? "another machine like this one" : `another GPU like ${devices[0]}`;
  const perDevice = Math.ceil(jobs / devices.length);
  return {
    cells,
    rates: { device: rates.device, source: rates.source },
    corrected,
    schedule: simulate(timed, jobs, new DevicePool(devices, () => null)),
    withAnother: {
      device: another,
      seconds: simulate(timed, jobs + perDevice, new DevicePool([...devices, another], () => null)).seconds,
    },
  };
}

/** A cell whose steps were timed: what is left of the model is the start of its process. */
const byProbe = (time: CellTime, probed: number | null): CellTime =>
  probed === null || probed === 0 ? time : { ...time, seconds: time.parts.start + probed };

/** By how much cells that are done took longer than was predicted: of all of them together. */
function correctionBy(
  cells: readonly PlannedCell[],
  predicted: ReadonlyMap<string, CellTime>,
  done: ReadonlyMap<string, number | null>,
): StudyTime["corrected"] {
  let [count, took, expected] = [0, 0, 0];
  for (const { id, network } of cells) {
    const seconds = done.get(id) ?? null;
    if (seconds === null || network === null) continue;
    count++;
    took += seconds;
    expected += (predicted.get(id) as CellTime).seconds;
  }
  return count === 0 || !(took > 0 && expected > 0) ? null : { cells: count, factor: took / expected };
}
