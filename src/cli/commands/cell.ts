import type { Command } from "commander";
import { answer } from "../answer.js";
import { examples } from "../examples.js";
import { duration, number, printable } from "../format.js";
import { abortOnInterrupt } from "../interrupt.js";
import { createProgressView } from "../progress-view.js";

/** `cell FOLDER ID`: works on one cell of a prepared study, alone. */
export function addCell(program: Command): void {
  program
    .command("cell")
    .description("work on one cell of a study that was prepared, as tasks of a cluster do")
    .argument("<folder>", "the study's folder (execution.output), on a disk that all tasks share")
    .argument("<id>", "the cell: `plan` lists them")
    .option("--device <device>", "cpu or cuda:N, instead of the study's")
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("cell results profound--pretraining"))
    .addHelpText(
      "after",
      "\nA cell that is done is not done again. One that another process works on is left to it (BUSY); one whose\n" +
        "pretraining is not done says what to run first (NOT_READY). Afterwards `run` gathers the results.",
    )
    .action((folder: string, id: string, { device, ...options }: { device?: string; json?: boolean }) =>
      answer(options, async () => {
        const { runCell } = await import("../../study/run-cell.js");
        const { signal, dispose } = abortOnInterrupt();
        const view = createProgressView(process.stderr);
        try {
          const result = await runCell(folder, id, {
            signal,
            onProgress: view.show,
            ...(device === undefined ? {} : { device }),
          });
          const metric = result.metric ?? null;
          const words =
            result.status === "failed"
              ? `failed: ${result.reason}`
              : `done in ${duration(result.seconds)}` +
                (metric === null
                  ? ""
                  : `, ${metric.name} ${metric.value === null ? "–" : number(metric.value)}`);
          return {
            value: result,
            text: `${printable(id)} ${printable(words)}`,
            failed: result.status === "failed",
          };
        } finally {
          view.close();
          dispose();
        }
      }),
    );
}
