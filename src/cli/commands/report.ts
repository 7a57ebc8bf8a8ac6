import type { Command } from "commander";
import { answer } from "../answer.js";
import { examples } from "../examples.js";

/** `report DIR`: writes the report of a study's results, finished or not. */
export function addReport(program: Command): void {
  program
    .command("report")
    .description("write the report of a study, from what has been finished of it so far")
    .argument("<folder>", "the folder with the study's results")
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("report my-study-results"))
    .action((folder: string, options: { json?: boolean }) =>
      answer(options, async () => {
        const { writeReport } = await import("../../report/index.js");
        const report = await writeReport(folder);
        return { value: { report }, text: `Report: ${report}` };
      }),
    );
}
