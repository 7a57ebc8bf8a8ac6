import type { Command } from "commander";
import { answer } from "../answer.js";
import { devicesOption } from "../devices-option.js";
import { examples } from "../examples.js";
import { printable } from "../format.js";
import { abortOnInterrupt } from "../interrupt.js";
import { createProgressView } from "../progress-view.js";

/** `check STUDY`: whether pretrained encoders are loaded right and shown what they know, before any is trained. */
export function addCheck(program: Command): void {
  program
    .command("check")
    .description(
      "look at a study's pretrained encoders and at what they are shown, from a few cases, as run does before it trains them",
    )
    .argument("<study>", "the study file (YAML)")
    .addOption(devicesOption())
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("check study.yaml"))
    .addHelpText("after", "\nAn encoder that run would refuse: exit status 1.")
    .action((path: string, { devices, ...options }: { devices?: string[]; json?: boolean }) =>
      answer(options, async () => {
        const { loadChecked } = await import("../../study/plan/load-study.js");
        const { checkEncoders } = await import("../../study/run/check-encoders.js");
        const study = await loadChecked(path);
        const { signal, dispose } = abortOnInterrupt();
        const view = createProgressView(process.stderr);
        try {
          const encoders = await checkEncoders(study, { signal, devices, onProgress: view.show });
          const failed = encoders.some(
            ({ status, found }) => status === "refused" || found?.checks.some(({ severe }) => severe),
          );
          const text = encoders
            .map(({ encoder, found, reason }) =>
              [
                printable(encoder),
                ...(found
                  ? found.checks.map(
                      ({ check, verdict, words }) =>
                        `  ${check.padEnd(12)} ${verdict.padEnd(15)} ${printable(words)}`,
                    )
                  : [`  ${printable(reason ?? "")}`]),
              ].join("\n"),
            )
            .join("\n\n");
          return {
            value: { encoders },
            text: text || "No cell of the study starts from a pretrained encoder.",
            failed,
          };
        } finally {
          view.close();
          dispose();
        }
      }),
    );
}
