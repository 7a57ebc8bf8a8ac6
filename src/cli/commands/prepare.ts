import type { Command } from "commander";
import { answer } from "../answer.js";
import { devicesOption } from "../devices-option.js";
import { examples } from "../examples.js";
import { count, printable } from "../format.js";

/** `prepare STUDY`: everything that `run` does before the first cell. */
export function addPrepare(program: Command): void {
  program
    .command("prepare")
    .description("prepare a study's cases and write what there is to do for each cell, without running any")
    .argument("<study>", "the study file (YAML)")
    .addOption(devicesOption())
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("prepare study.yaml"))
    .action((path: string, { devices, ...options }: { devices?: string[]; json?: boolean }) =>
      answer(options, async () => {
        const { loadChecked } = await import("../../study/plan/load-study.js");
        const { onDevices, withDevices } = await import("../../study/plan/devices.js");
        const { runChecked } = await import("../../study/run/run.js");
        const { abortOnInterrupt } = await import("../interrupt.js");
        const { createProgressView } = await import("../progress-view.js");
        const { plannedCells } = await import("../planned-cells.js");
        // A study's own devices may be another machine's.
        const loaded = await loadChecked(path);
        const checked = devices === undefined ? onDevices(loaded) : withDevices(loaded, devices);
        const { signal, dispose } = abortOnInterrupt();
        const view = createProgressView(process.stderr);
        try {
          await runChecked(checked, { only: "preparation", signal, onProgress: view.show });
        } finally {
          view.close();
          dispose();
        }
        const { study, plan } = checked;
        const { output } = study.execution;
        const { plannedStates } = await import("../../study/run/cell-states.js");
        const { finishedIn, plannedTime } = await import("../../study/run/planned-time.js");
        const time = await plannedTime(checked, finishedIn(await plannedStates(checked)));
        const cells = plannedCells(plan.cells, output, time.cells);
        return {
          value: { output, cells },
          text: [
            `${count(cells.length, "cell")} of ${printable(study.name)} can be worked on in ${printable(output)}:`,
            ...cells.map(({ command }) => `  ${printable(command)}`),
          ].join("\n"),
        };
      }),
    );
}
