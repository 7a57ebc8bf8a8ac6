import type { Command } from "commander";
import { answer } from "../answer.js";
import { prepareDemo } from "../demo-study.js";
import { examples } from "../examples.js";
import { wholeNumber } from "../numbers.js";
import { runWithProgress } from "../run-with-progress.js";

/** `demo`: a whole study on phantoms, without any input. */
export function addDemo(program: Command): void {
  program
    .command("demo")
    .description(
      "make two phantom cohorts, pretrain on one, run a whole study on the other, and write its report",
    )
    .option("--out <folder>", "where the cohorts, the study and its results go", "transfer-limits-demo")
    .option("--seed <number>", "seeds the phantoms and the study", wholeNumber(0), 1)
    .option(
      "--trainings <number>",
      "of each network: from three on, claims can be settled",
      wholeNumber(1),
      1,
    )
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("demo --out my-demo"))
    .addHelpText("after", "\nIn a folder with a demo that was interrupted, it goes on.")
    .action((options: { out: string; seed: number; trainings: number; json?: boolean }) =>
      answer(options, async () => {
        const { loadChecked } = await import("../../study/plan/load-study.js");
        const path = await prepareDemo(options.out, options, (text) => process.stderr.write(`${text}\n`));
        return runWithProgress(await loadChecked(path));
      }),
    );
}
