import type { Command } from "commander";
import { answer } from "../answer.js";
import { examples } from "../examples.js";
import { printable } from "../format.js";

/** `cancel FOLDER`: ends all jobs of a study in Slurm. */
export function addCancel(program: Command): void {
  program
    .command("cancel")
    .description("cancel all jobs of a study that wait or run in Slurm; what is finished stays")
    .argument("<folder>", "the study's folder (execution.output)")
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("cancel results"))
    .addHelpText(
      "after",
      "\nCells that run stop after their step; `run --slurm` goes on from their last epochs.",
    )
    .action((folder: string, options: { json?: boolean }) =>
      answer(options, async () => {
        const { cancelStudy } = await import("../../slurm/cancel.js");
        const jobs = await cancelStudy(folder);
        return {
          value: { folder, jobs },
          text:
            jobs.length === 0
              ? `No job of ${printable(folder)} waits or runs`
              : `Cancelled: ${jobs.map(printable).join(", ")}`,
        };
      }),
    );
}
