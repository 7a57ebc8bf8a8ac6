import type { Command } from "commander";
import { answer } from "../answer.js";
import { count, printable, table } from "../format.js";

/** `plan STUDY`: the cells that `run` would run, without running any. */
export function addPlan(program: Command): void {
  program
    .command("plan")
    .description("check a study and list its cells, without running any")
    .argument("<study>", "the study file (YAML)")
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", "\nExample:\n  transfer-limits plan study.yaml")
    .action((path: string, options: { json?: boolean }) =>
      answer(options, async () => {
        const { loadStudy } = await import("../../study/load.js");
        const { planStudy } = await import("../../study/plan.js");
        const study = await loadStudy(path);
        const plan = planStudy(study);
        const total = plan.cells.reduce((sum, { cost }) => sum + cost, 0);
        const rows = plan.cells.map((cell) => [
          printable(cell.id),
          cell.trains,
          cell.startsFrom,
          String(cell.epochs),
          `${((100 * cell.cost) / total).toFixed(1)} %`,
        ]);
        return {
          value: { ...plan, output: study.execution.output },
          text: [
            `${printable(plan.name)}: ${count(plan.cells.length, "cell")}, to ${printable(study.execution.output)}`,
            table(["cell", "trains", "starts from", "epochs", "share of the work"], rows),
          ].join("\n"),
        };
      }),
    );
}
