import type { Command } from "commander";
import { answer } from "../answer.js";
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
    .option(
      "--devices <list>",
      "devices that cells are handed out to, such as cuda:0,cuda:1, instead of the study's",
      (list: string) => list.split(",").map((device) => device.trim()),
    )
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", "\nExample:\n  transfer-limits run study.yaml")
    .action(
      (path: string, { jobs, devices, ...options }: { jobs?: number; devices?: string[]; json?: boolean }) =>
        answer(options, async () => {
          const { loadStudy } = await import("../../study/load.js");
          const { planStudy } = await import("../../study/plan.js");
          const { planWarnings } = await import("../../study/plan-warnings.js");
          const study = await loadStudy(path);
          const on = devices ?? study.execution.devices ?? [study.execution.device];
          const here = { ...study, execution: { ...study.execution, device: on[0] ?? "cpu", devices: on } };
          for (const warning of planWarnings(here, planStudy(here), null))
            process.stderr.write(`warning: ${printable(warning)}\n`);
          return runWithProgress(study, `transfer-limits run ${path}`, {
            ...(jobs === undefined ? {} : { jobs }),
            ...(devices === undefined ? {} : { devices }),
          });
        }),
    );
}
