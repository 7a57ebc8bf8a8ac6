import type { Command } from "commander";
import type { StopReason } from "../../slurm/work-as-task.js";
import type { Meeting } from "../../study/run/meeting.js";
import type { CellAnswer } from "../../study/run/run-cell.js";
import { amongRanks } from "../among-ranks.js";
import { type Answer, answer } from "../answer.js";
import { examples } from "../examples.js";
import { duration, number, printable } from "../format.js";
import { abortOnInterrupt } from "../interrupt.js";
import { createProgressView } from "../progress-view.js";

/** `cell FOLDER ID...`: works on cells of a prepared study, each alone. */
export function addCell(program: Command): void {
  program
    .command("cell")
    .description("work on one cell of a study that was prepared, as tasks of a cluster do")
    .argument("<folder>", "the study's folder (execution.output), on a disk that all tasks share")
    .argument("<id...>", "the cells, worked on one after the other: `plan` lists them")
    .option("--device <device>", "cpu or cuda:N, instead of the study's")
    .option("--slurm", "as a task of a Slurm array: stop at its signals and go back into its queue")
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("cell results profound--pretraining"))
    .addHelpText(
      "after",
      "\nA cell that is done is not done again. One that another process works on is left to it (BUSY); one whose\n" +
        "pretraining is not done says what to run first (NOT_READY). Afterwards `run` gathers the results.\n" +
        "Started by torchrun or srun as several processes (execution.ranks), they train each cell together.",
    )
    .action((folder: string, ids: string[], { slurm, ...options }: Options) =>
      amongRanks((meeting) => {
        const asked = { ...options, meeting: meeting ?? undefined };
        return answer(options, () => (slurm ? workInSlurm(folder, ids, asked) : workOn(folder, ids, asked)));
      }),
    );
}

interface Options {
  device?: string;
  slurm?: boolean;
  json?: boolean;
}
type Asked = Omit<Options, "slurm"> & { meeting: Meeting | undefined };

async function workOn(folder: string, ids: readonly string[], { device, meeting }: Asked): Promise<Answer> {
  const { runCell } = await import("../../study/run/run-cell.js");
  const { signal, dispose } = abortOnInterrupt();
  const view = createProgressView(process.stderr);
  const results: CellAnswer[] = [];
  try {
    for (const id of ids)
      results.push(
        await runCell(folder, id, {
          signal,
          onProgress: view.show,
          meeting,
          ...(device === undefined ? {} : { device }),
        }),
      );
  } finally {
    view.close();
    dispose();
  }
  return {
    value: results.length === 1 ? results[0] : { cells: results },
    text: results.map(inWords).join("\n"),
    failed: results.some(({ status }) => status === "failed"),
  };
}

async function workInSlurm(
  folder: string,
  ids: readonly string[],
  { device, meeting }: Asked,
): Promise<Answer> {
  const { signal, dispose } = stopOnSignals();
  const { workAsTask } = await import("../../slurm/work-as-task.js");
  const view = createProgressView(process.stderr);
  try {
    const { cells, left, requeued } = await workAsTask(folder, ids, {
      signal,
      onProgress: view.show,
      meeting,
      say: (words) => process.stderr.write(`${printable(words)}\n`),
      ...(device === undefined ? {} : { device }),
    });
    return {
      value: { cells, left, requeued },
      text: [...cells.map(inWords), ...left.map((id) => `${printable(id)} is left`)].join("\n"),
      failed: left.length > 0 || cells.some(({ status }) => status === "failed"),
    };
  } finally {
    view.close();
    dispose();
  }
}

/** A signal that those of Slurm abort, with what they mean: nothing else happens at once. */
function stopOnSignals(): { signal: AbortSignal; dispose: () => void } {
  const controller = new AbortController();
  const time = () => controller.abort("time" satisfies StopReason);
  const ended = () => controller.abort("ended" satisfies StopReason);
  process.on("SIGUSR1", time).on("SIGTERM", ended).on("SIGINT", ended);
  return {
    signal: controller.signal,
    dispose: () => {
      process.off("SIGUSR1", time).off("SIGTERM", ended).off("SIGINT", ended);
    },
  };
}

function inWords(result: CellAnswer): string {
  const metric = result.metric ?? null;
  const words =
    result.status === "failed"
      ? `failed: ${result.reason}`
      : `done in ${duration(result.seconds)}` +
        (metric === null ? "" : `, ${metric.name} ${metric.value === null ? "–" : number(metric.value)}`);
  return printable(`${result.id} ${words}`);
}
