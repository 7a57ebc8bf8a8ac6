import type { Command } from "commander";
import { TransferLimitsError } from "../../common/errors.js";
import { answer } from "../answer.js";
import { runWithProgress } from "../run-with-progress.js";

/** `pretrain STUDY`: only the pretraining cells of a study; `run` goes on from there. */
export function addPretrain(program: Command): void {
  program
    .command("pretrain")
    .description("run only the pretraining of a study's models; `run` then goes on with the rest")
    .argument("<study>", "the study file (YAML); at least one of its models has `pretrain`")
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", "\nExample:\n  transfer-limits pretrain study.yaml")
    .action((path: string, options: { json?: boolean }) =>
      answer(options, async () => {
        const { loadStudy } = await import("../../study/load.js");
        const study = await loadStudy(path);
        if (!study.models.some(({ pretrain }) => pretrain)) {
          throw new TransferLimitsError(
            "BAD_CONFIG",
            `Expected a model with "pretrain" in ${path} but found none: there is nothing to pretrain.`,
          );
        }
        return runWithProgress(study, `transfer-limits pretrain ${path}`, { only: "pretraining" });
      }),
    );
}
