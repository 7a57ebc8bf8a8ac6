import type { Command } from "commander";
import { TransferLimitsError } from "../../common/errors.js";
import { answer } from "../answer.js";
import { devicesOption } from "../devices-option.js";
import { examples } from "../examples.js";
import { printable } from "../format.js";
import { wholeNumber } from "../numbers.js";
import { runWithProgress } from "../run-with-progress.js";

/** `run STUDY`: runs what is not there yet, and writes the report. */
export function addRun(program: Command): void {
  program
    .command("run")
    .description("run a study, or go on with one that was interrupted, and write its report")
    .argument("<study>", "the study file (YAML)")
    .option(
      "--jobs <number>",
      "cells that run side by side, instead of the study's execution.jobs",
      wholeNumber(1),
    )
    .addOption(devicesOption())
    .option("--slurm", "submit what is missing to Slurm, and return; as execution.engine: slurm does")
    .option("--no-slurm", "run it here, whatever execution.engine says")
    .option("--dry-run", "with Slurm: write the scripts, and submit nothing")
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("run study.yaml", "run study.yaml --slurm --dry-run"))
    .action((path: string, { jobs, devices, slurm, dryRun, ...options }: Options) =>
      answer(options, async () => {
        const { loadChecked } = await import("../../study/plan/load-study.js");
        const { planWarnings } = await import("../../study/plan/plan-warnings.js");
        const { onDevices, withDevices } = await import("../../study/plan/devices.js");
        const loaded = await loadChecked(path);
        const onSlurm = slurm ?? loaded.study.execution.engine === "slurm";
        refuseTogether({ jobs, devices, dryRun }, onSlurm);
        const checked = onSlurm ? onDevices(loaded) : withDevices(loaded, devices);
        for (const warning of onSlurm ? [] : planWarnings(checked.study, checked.plan, null))
          process.stderr.write(`warning: ${printable(warning)}\n`);
        if (!onSlurm) return runWithProgress(checked, jobs === undefined ? {} : { jobs });
        const { submitWithSummary } = await import("../submit-summary.js");
        return submitWithSummary(checked, dryRun ?? false);
      }),
    );
}

interface Options {
  jobs?: number;
  devices?: string[];
  slurm?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

/** Slurm says how many jobs run, and on which devices. */
function refuseTogether(
  { jobs, devices, dryRun }: { jobs?: unknown; devices?: unknown; dryRun?: boolean | undefined },
  onSlurm: boolean,
): void {
  const spare = jobs !== undefined ? "--jobs" : devices !== undefined ? "--devices" : null;
  if (onSlurm && spare !== null)
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected ${spare} without Slurm, which says itself how many jobs run and where: see execution.slurm, or add --no-slurm`,
    );
  if (!onSlurm && dryRun)
    throw new TransferLimitsError(
      "BAD_CONFIG",
      "Expected --slurm, or execution.engine: slurm, beside --dry-run, which writes its scripts; `plan` lists what would run",
    );
}
