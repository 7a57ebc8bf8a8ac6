import type { Command } from "commander";
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
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("run study.yaml"))
    .action(
      (path: string, { jobs, devices, ...options }: { jobs?: number; devices?: string[]; json?: boolean }) =>
        answer(options, async () => {
          const { loadStudy } = await import("../../study/load.js");
          const { planStudy } = await import("../../study/plan.js");
          const { planWarnings } = await import("../../study/plan-warnings.js");
          const { withDevices } = await import("../../study/devices.js");
          const study = withDevices(await loadStudy(path), devices);
          for (const warning of planWarnings(study, planStudy(study), null))
            process.stderr.write(`warning: ${printable(warning)}\n`);
          return runWithProgress(study, jobs === undefined ? {} : { jobs });
        }),
    );
}
