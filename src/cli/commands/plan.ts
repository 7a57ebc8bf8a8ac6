import type { Command } from "commander";
import { masksInWords } from "../../cohort/mask-counts.js";
import { hoursInWords } from "../../study/estimate.js";
import type { StudyPlan } from "../../study/plan.js";
import type { CohortPreview } from "../../study/preview.js";
import type { Probe } from "../../study/probe.js";
import type { Augmentation } from "../../tasks/augmentation.js";
import { answer } from "../answer.js";
import { devicesOption } from "../devices-option.js";
import { examples } from "../examples.js";
import { bytes, count, printable, table } from "../format.js";

interface Options {
  probe?: boolean;
  devices?: string[];
  json?: boolean;
}

/** `plan STUDY`: the cells that `run` would run, without running any. */
export function addPlan(program: Command): void {
  program
    .command("plan")
    .description("check a study and list its cells, without running any")
    .argument("<study>", "the study file (YAML)")
    .option("--probe", "time a few training steps of each network here, and estimate the hours of every cell")
    .addOption(devicesOption())
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("plan study.yaml"))
    .action((path: string, { probe: probing, devices, ...options }: Options) =>
      answer(options, async () => {
        const { loadStudy } = await import("../../study/load.js");
        const { planStudy } = await import("../../study/plan.js");
        const { previewCohorts } = await import("../../study/preview.js");
        const { withDevices } = await import("../../study/devices.js");
        const loaded = await loadStudy(path);
        // A study's own devices may be another machine's; those that are named here are meant here.
        const study = devices === undefined ? loaded : withDevices(loaded, devices);
        const plan = planStudy(study);
        const { refuseTooLarge } = await import("../../study/check-memory.js");
        refuseTooLarge(study, plan.cells);
        const { planWarnings } = await import("../../study/plan-warnings.js");
        const cohorts = await previewCohorts(study);
        const { augmentationInWords } = await import("../../tasks/augmentation.js");
        const { probePlan } = await import("../../study/probe.js");
        if (probing) process.stderr.write("Timing a training step of each network; this can take minutes\n");
        const probe = probing ? await probePlan(study, plan) : null;
        const warnings = planWarnings(study, plan, probe && totalSeconds(probe) / 3600);
        const total = plan.cells.reduce((sum, { cost }) => sum + cost, 0);
        const rows = plan.cells.map((cell) => [
          printable(cell.id),
          cell.trains,
          cell.startsFrom,
          String(cell.epochs),
          `${((100 * cell.cost) / total).toFixed(1)} %`,
          bytes(cell.memoryBytes),
          ...(probe ? [hours(probe.seconds[cell.id] ?? null)] : []),
        ]);
        return {
          value: { ...plan, cohorts, warnings, output: study.execution.output, ...(probe ? { probe } : {}) },
          text: [
            `${printable(plan.name)}: ${count(plan.cells.length, "cell")}, to ${printable(study.execution.output)}`,
            ...cohorts.flatMap(cohortLines),
            ...augmentationLines(plan, augmentationInWords),
            table(
              [
                "cell",
                "trains",
                "starts from",
                "epochs",
                "share of the work",
                "memory (estimate)",
                ...(probe ? ["hours (estimate)"] : []),
              ],
              rows,
            ),
            ...(probe ? probeLines(probe) : []),
            ...warnings.map((warning) => `warning: ${printable(warning)}`),
          ].join("\n"),
        };
      }),
    );
}

/** How the cells' training cases are augmented, where any are. */
function augmentationLines({ cells }: StudyPlan, wordsOf: (settings: Augmentation) => string): string[] {
  const settings = cells.flatMap(({ training, epochs }) =>
    training?.augmentation && epochs > 0 ? [wordsOf(training.augmentation)] : [],
  );
  return [...new Set(settings)].map((words) => {
    const trained = settings.filter((other) => other === words).length;
    return `training cases of ${count(trained, "cell")} augmented: ${words}`;
  });
}

const hours = (seconds: number | null): string => (seconds === null ? "–" : hoursInWords(seconds / 3600));

const totalSeconds = ({ seconds }: Probe): number =>
  Object.values(seconds).reduce<number>((sum, one) => sum + (one ?? 0), 0);

function probeLines(probe: Probe): string[] {
  const { device, threads, faults } = probe;
  const where = device === "cpu" ? `the CPU with ${count(threads, "thread")}` : device;
  return [
    `Estimated from short steps at a reduced size on ${where}: ${hours(totalSeconds(probe))} hours in all, one cell after the other. ` +
      "Reading volumes and sampling from diffusion models come on top.",
    ...faults.map((fault) => `  not timed: ${printable(fault)}`),
  ];
}

function cohortLines({
  manifest,
  tasks,
  cases,
  patients,
  untaken,
  split,
  missing,
  lacking,
  withoutGland,
  undefinedOn,
  prepared,
}: CohortPreview): string[] {
  const { train, validation, test, unused } = split;
  const lines = [
    `${printable(manifest)}: ${count(cases, "case")} of ${count(patients, "patient")}; ` +
      `train ${train}, validation ${validation}, test ${test}, unused ${unused}; ` +
      `for ${tasks.length > 0 ? tasks.join(", ") : "pretraining alone"}`,
  ];
  if (untaken.length > 0) {
    const shown = untaken.slice(0, 20).map(printable).join(", ");
    const more = untaken.length > 20 ? ` and ${untaken.length - 20} more` : "";
    lines.push(`  columns that nothing takes: ${shown}${more}`);
  }
  for (const { task, set, metric, reason } of undefinedOn)
    lines.push(
      `  warning: ${metric} of ${task} is undefined on the ${set} set: ${reason}. Enlarge split.${set}, or choose another seed`,
    );
  if (withoutGland > 0)
    lines.push(
      `  cropped around the middle of T2W, as they have no gland mask: ${count(withoutGland, "case")}`,
    );
  for (const { task, set, cases: number, reason } of lacking)
    lines.push(`  left out of ${task}: ${count(number, "case")} of the ${set} set, because ${reason}`);
  // The others are looked at when they are prepared: nobody shall take a part for the whole.
  const known =
    prepared.cases === prepared.of
      ? `all ${count(prepared.of, "case")}`
      : `${prepared.cases} of ${count(prepared.of, "case")}, those prepared so far`;
  for (const words of masksInWords(prepared.masks)) lines.push(`  masks of ${known}: ${printable(words)}`);
  const [first] = missing;
  if (first === undefined) return lines;
  const without = new Set(missing.map((one) => one.case)).size;
  return [
    ...lines,
    `  warning: ${count(missing.length, "file")} of ${count(without, "case")} cannot be found, the first ` +
      `${printable(first.file)}; run leaves such cases out`,
  ];
}
