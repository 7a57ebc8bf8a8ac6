import { ownCommand } from "../common/own-commands.js";
import type { SubmittedJob, SubmittedStudy } from "../slurm/submit.js";
import type { Study } from "../study/config/schema.js";
import type { CheckedStudy } from "../study/plan/checked-study.js";
import type { Answer } from "./answer.js";
import { count, printable, table } from "./format.js";

/** Submits a study to Slurm, or writes its scripts, and says what was done. */
export async function submitWithSummary(checked: CheckedStudy, dryRun: boolean): Promise<Answer> {
  const { submitStudy } = await import("../slurm/submit.js");
  const submitted = await submitStudy(checked, { dryRun });
  const { study } = checked;
  const { output } = study.execution;
  return { value: { output, dryRun, ...submitted }, text: summaryOf(study, submitted, dryRun) };
}

function summaryOf(
  { name, execution: { output } }: Study,
  { folder, jobs, done, underWay, left, warnings }: SubmittedStudy,
  dryRun: boolean,
): string {
  const cells = jobs.reduce((sum, job) => sum + job.cells, 0);
  const lines = warnings.map((warning) => `warning: ${printable(warning)}`);
  const before = `${count(done, "cell")} done, ${underWay} waiting or running already`;
  if (folder === null) lines.push(`${printable(name)}: nothing is missing; ${before}`);
  else
    lines.push(
      `${printable(name)}: ${count(cells, "cell")} ${dryRun ? "to submit" : "submitted"}; ${before}`,
      table(
        ["job", "script", "tasks", "cells", "memory", "minutes", "after"],
        jobs.map((job) => rowOf(job)),
      ),
      dryRun
        ? `Nothing was submitted. To do it by hand: bash ${printable(folder)}/submit.sh`
        : `Scripts and logs: ${printable(folder)}`,
    );
  if (left.length > 0)
    lines.push(`The queue has no room for ${count(left.length, "cell")} more: run it again later`);
  if (!dryRun)
    lines.push(`State: ${ownCommand("status", output)}   End all of it: ${ownCommand("cancel", output)}`);
  return lines.join("\n");
}

const rowOf = ({
  job,
  script,
  tasks,
  cells,
  memoryMegabytes,
  minutes,
  dependency,
}: SubmittedJob): string[] => [
  job ?? "–",
  script,
  tasks === null ? "–" : String(tasks),
  cells === 0 ? "–" : String(cells),
  memoryMegabytes === null ? "–" : `${memoryMegabytes} MB`,
  minutes === null ? "–" : String(minutes),
  dependency?.replace("--dependency=", "") ?? "",
];
