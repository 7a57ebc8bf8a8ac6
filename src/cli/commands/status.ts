import type { Command } from "commander";
import type { CellState, StudyStatus } from "../../slurm/status.js";
import { answer } from "../answer.js";
import { examples } from "../examples.js";
import { count, printable, table } from "../format.js";

/** `status FOLDER`: what became of a study's cells, and of their jobs in Slurm. */
export function addStatus(program: Command): void {
  program
    .command("status")
    .description("say which cells of a study are done, run, wait or failed, with their jobs in Slurm")
    .argument("<folder>", "the study's folder (execution.output)")
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("status results"))
    .action((folder: string, options: { json?: boolean }) =>
      answer(options, async () => {
        const { statusOf } = await import("../../slurm/status.js");
        const status = await statusOf(folder);
        return { value: { folder, counts: countsOf(status.cells), ...status }, text: inWords(status) };
      }),
    );
}

const states = ["done", "failed", "running", "waiting", "pending"] as const;

const countsOf = (cells: readonly CellState[]): Record<CellState["state"], number> =>
  Object.fromEntries(
    states.map((state) => [state, cells.filter((cell) => cell.state === state).length]),
  ) as Record<CellState["state"], number>;

function inWords({ name, cells, beside, notAsked }: StudyStatus): string {
  const counts = countsOf(cells);
  const rows = [
    ...beside.map(({ script, job, state, timeLeft, reason }) => [
      script,
      job,
      state,
      timeLeft,
      because(reason),
    ]),
    ...cells.map(({ id, job, state, slurm, reason }) => [
      printable(id),
      job ?? "–",
      state,
      slurm?.timeLeft ?? "–",
      reason === undefined ? because(slurm?.reason ?? "") : printable(reason.slice(0, 100)),
    ]),
  ];
  return [
    `${printable(name)}: ${count(cells.length, "cell")}; ${states.map((state) => `${counts[state]} ${state}`).join(", ")}`,
    ...(notAsked === null ? [] : [`This is what the folder says. ${printable(notAsked)}`]),
    table(["cell", "job", "state", "time left", ""], rows),
  ].join("\n");
}

/** Slurm says `None` of what runs. */
const because = (reason: string): string => (reason === "None" ? "" : printable(reason));
