import type { DiskUse } from "../study/plan/disk.js";
import type { Binding, StudyTime } from "../study/plan/time-model.js";
import { bytes, count, duration, printable } from "./format.js";

/** What a cell's time is spent on. */
export const bindingInWords: Record<Binding, string> = {
  arithmetic: "arithmetic",
  memory: "memory traffic",
  fixed: "fixed costs",
};

const sourceInWords: Record<StudyTime["rates"]["source"], string> = {
  measured: "rates measured on this machine",
  published: "published rates and an assumed utilisation, not measured",
  assumed: "assumed rates, as nothing could be measured here",
};

export const totalSeconds = ({ cells }: Pick<StudyTime, "cells">): number =>
  Object.values(cells).reduce((sum, { seconds }) => sum + seconds, 0);

/** How long a study takes, on what, and what would make it faster. */
export function timeLines({ cells, rates, corrected, schedule, withAnother }: StudyTime): string[] {
  const seconds = totalSeconds({ cells });
  if (seconds === 0) return [];
  const share = (binding: Binding) =>
    Object.values(cells).reduce((sum, one) => sum + (one.binds === binding ? one.seconds : 0), 0) / seconds;
  const bound = (["arithmetic", "memory", "fixed"] as const)
    .filter((binding) => share(binding) >= 0.005)
    .map((binding) => `${(100 * share(binding)).toFixed(0)} % in cells bound by ${bindingInWords[binding]}`);
  const devices = schedule.devices
    .filter(({ workSeconds }) => workSeconds > 0)
    .map(
      ({ device, workSeconds, busySeconds }) =>
        `${printable(device)} ${duration(busySeconds)} for ${duration(workSeconds)} of cells`,
    );
  const gained = schedule.seconds - withAnother.seconds;
  return [
    `About ${duration(schedule.seconds)} until the study is done (${devices.join("; ")}): ${bound.join(", ")}`,
    `  by ${sourceInWords[rates.source]}: ${printable(rates.device)}` +
      (corrected === null
        ? ""
        : `; times ${corrected.factor.toPrecision(2)}, as ${count(corrected.cells, "cell")} that are done took`),
    gained < 0.01 * schedule.seconds
      ? `  ${withAnother.device} would make it no faster: the longest chain of cells takes ${duration(schedule.chainSeconds)}`
      : `  with ${withAnother.device}: ${duration(withAnother.seconds)}`,
    "  estimates: cells side by side share a memory's bandwidth, and what else a machine does makes them longer",
  ];
}

/** What a study takes on the disk in all. */
export const diskLine = ({ cacheBytes, resultsBytes, progressBytes }: DiskUse): string =>
  `Disk (estimate): ${bytes(cacheBytes)} of prepared volumes, ${bytes(resultsBytes)} of results, and while it runs up to ` +
  `${bytes(progressBytes)} of trainings' states and kept features`;
