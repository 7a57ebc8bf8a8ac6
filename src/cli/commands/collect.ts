import type { Command } from "commander";
import { answer } from "../answer.js";
import { examples } from "../examples.js";
import { runWithProgress } from "../run-with-progress.js";

/** `collect STUDY`: everything that `run` does after the last cell. */
export function addCollect(program: Command): void {
  program
    .command("collect")
    .description("gather what the cells of a study left, and write its report, without working on any")
    .argument("<study>", "the study file (YAML)")
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("collect study.yaml"))
    .action((path: string, options: { json?: boolean }) =>
      answer(options, async () => {
        const { loadChecked } = await import("../../study/plan/load-study.js");
        return runWithProgress(await loadChecked(path), { only: "collection" });
      }),
    );
}
