import type { Command } from "commander";
import { masksInWords } from "../../cohort/mask-counts.js";
import { seedsMayBeRaised } from "../../common/more-seeds.js";
import type { Claim } from "../../results/claims.js";
import type { OpenClaim, PlannedClaim } from "../../statistics/planned-claims.js";
import type { Probe } from "../../study/cell/probe.js";
import type { Study } from "../../study/config/schema.js";
import type { PlannedFidelity } from "../../study/plan/fidelity-ahead.js";
import type { StudyPlan } from "../../study/plan/plan.js";
import type { CohortPreview } from "../../study/plan/preview.js";
import type { CellState } from "../../study/run/cell-states.js";
import type { Augmentation } from "../../tasks/augmentation.js";
import { variantName } from "../../tasks/index.js";
import { answer } from "../answer.js";
import { devicesOption } from "../devices-option.js";
import { examples } from "../examples.js";
import { folderLines, stateForPrograms, stateInWords, summaryOfFolder } from "../folder-states.js";
import { bytes, count, duration, number, printable, table } from "../format.js";
import { plannedCells } from "../planned-cells.js";
import { bindingInWords, diskLine, timeLines, totalSeconds } from "../time-lines.js";

interface Options {
  probe?: boolean;
  devices?: string[];
  earlier?: string;
  json?: boolean;
}

/** `plan STUDY`: the cells that `run` would run, without running any. */
export function addPlan(program: Command): void {
  program
    .command("plan")
    .description("check a study, list its cells and say which gains it can find, without running any")
    .argument("<study>", "the study file (YAML)")
    .option("--probe", "time a few training steps of each network here, and estimate the hours of every cell")
    .option("--earlier <folder>", "results of a study of the same kind: plan by what scattered there")
    .addOption(devicesOption())
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("plan study.yaml", "plan study.yaml --earlier earlier-results"))
    .action((path: string, { probe: probing, devices, earlier, ...options }: Options) =>
      answer(options, async () => {
        const { loadChecked } = await import("../../study/plan/load-study.js");
        const { previewCohorts } = await import("../../study/plan/preview.js");
        const { memoryWith, withDevices } = await import("../../study/plan/devices.js");
        const loaded = await loadChecked(path);
        // A study's own devices may be another machine's; those that are named here are meant here.
        const checked = devices === undefined ? loaded : withDevices(loaded, devices);
        const { study, plan } = checked;
        const { refuseTooLarge, totalMemoryOf } = await import("../../study/plan/check-memory.js");
        refuseTooLarge(study, plan.cells);
        const { varies } = await import("../../study/config/seeds.js");
        const { planWarnings } = await import("../../study/plan/plan-warnings.js");
        const cohorts = await previewCohorts(checked);
        const { openClaims, plannedClaims } = await import("../../statistics/planned-claims.js");
        const before = earlier === undefined ? [] : await claimsOf(earlier, study);
        const claims = plannedClaims(study, plan, cohorts, before);
        const open = earlier === undefined ? null : openClaims(before);
        const { augmentationInWords } = await import("../../tasks/augmentation.js");
        const { probePlan } = await import("../../study/cell/probe.js");
        if (probing) process.stderr.write("Timing a training step of each network; this can take minutes\n");
        const probe = probing ? await probePlan(study, plan) : null;
        const { plannedFidelity } = await import("../../study/plan/fidelity-ahead.js");
        const fidelity = await plannedFidelity(study, plan);
        const { plannedStates } = await import("../../study/run/cell-states.js");
        const states = await plannedStates(checked);
        const { finishedIn, plannedTime } = await import("../../study/run/planned-time.js");
        const time = await plannedTime(checked, finishedIn(states), probe);
        const { diskUseOf } = await import("../../study/plan/disk.js");
        const disk = diskUseOf(checked);
        const warnings = planWarnings(study, plan, totalSeconds(time) / 3600);
        const inFolder = states === null ? [] : folderLines(states, study.execution.output);
        const stateOf = (id: string) => states?.cells.get(id) as CellState;
        const total = plan.cells.reduce((sum, { cost }) => sum + cost, 0);
        const rows = plan.cells.map((cell) => [
          printable(cell.id),
          cell.trains,
          cell.startsFrom,
          String(cell.epochs),
          `${((100 * cell.cost) / total).toFixed(1)} %`,
          bytes(memoryWith(cell, totalMemoryOf(study.execution.device) ?? Number.POSITIVE_INFINITY)),
          estimated(time.cells[cell.id]?.seconds ?? 0),
          bindingInWords[time.cells[cell.id]?.binds ?? "fixed"],
          ...(inFolder.length > 0 ? [stateInWords(stateOf(cell.id))] : []),
        ]);
        const scheduled = plannedCells(plan.cells, study.execution.output, time.cells);
        return {
          value: {
            ...(study.leftOut === undefined ? {} : { leftOut: study.leftOut }),
            ...plan,
            cells: scheduled.map((cell) => ({
              ...cell,
              state: states && stateForPrograms(stateOf(cell.id)),
            })),
            inFolder: states && summaryOfFolder(states),
            ...{ cohorts, warnings, output: study.execution.output, claims, fidelity },
            ...(open ? { earlier: { folder: earlier, open } } : {}),
            ...(probe ? { probe } : {}),
            ...{ time, disk },
          },
          text: [
            `${printable(plan.name)}: ${count(plan.cells.length, "cell")}, to ${printable(study.execution.output)}`,
            ...cohorts.flatMap(cohortLines),
            ...(study.leftOut ?? []).map(
              ({ task, reason }) => `left out: ${printable(task)}, as ${printable(reason)}`,
            ),
            ...(varies(study, "split")
              ? ["each seed divides the patients anew: the sets above are those of the first"]
              : []),
            ...augmentationLines(plan, augmentationInWords),
            table(
              [
                "cell",
                "trains",
                "starts from",
                "epochs",
                "share of the work",
                "memory (estimate)",
                ...["time (estimate)", "bound by"],
                ...(inFolder.length > 0 ? ["state"] : []),
              ],
              rows,
            ),
            ...inFolder,
            ...timeLines(time),
            diskLine(disk),
            ...(probe ? probeLines(probe) : []),
            ...fidelityLines(fidelity),
            ...claimLines(claims),
            ...(open ? openLines(open) : []),
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

/** What the gate will check of each pretrained encoder, by what, and what it cannot and why. */
function fidelityLines(planned: readonly PlannedFidelity[]): string[] {
  const [first] = planned;
  if (first === undefined) return [];
  const rows = planned.map(({ encoder, checks }) => [
    printable(encoder),
    ...checks.map(({ by }) => (by === null ? "–" : by === "itself" ? "yes" : `by ${by}`)),
  ]);
  const untold = planned.flatMap(({ encoder, checks }) =>
    checks.flatMap(({ check, by, words }) =>
      by === null ? [`  – ${printable(encoder)}, ${check}: not measurable. ${words}`] : [],
    ),
  );
  return [
    "What is checked of each pretrained encoder before the first training (check does so by itself)",
    table(["encoder", ...first.checks.map(({ check }) => check)], rows),
    ...untold,
  ];
}

/** The claims of another study, under this one's margins. */
async function claimsOf(folder: string, study: Study): Promise<Claim[]> {
  const { readStudyFolder } = await import("../../results/read-study.js");
  const { computeClaims } = await import("../../statistics/claims.js");
  const { marginsOf } = await import("../../study/config/schema.js");
  const { cells, claims = [] } = (await readStudyFolder(folder)).results;
  // Of tasks that this study does not have, its own.
  const own = Object.fromEntries(claims.map(({ task, equivalence }) => [task, equivalence.margin]));
  return computeClaims(
    cells.flatMap(({ result }) => result ?? []),
    { margins: { ...own, ...marginsOf(study) } },
  );
}

const spreadFrom: Record<PlannedClaim["spreadFrom"], string> = {
  study: "the study file",
  earlier: "the earlier study",
  default: "a default",
};

/** Which gain each comparison finds. */
function claimLines(claims: readonly PlannedClaim[]): string[] {
  if (claims.length === 0) return [];
  const known = (value: number | null, mark = "") => (value === null ? "–" : `${mark}${number(value)}`);
  const rows = claims.map((claim) => {
    const { seed, patient, interaction } = claim.spread;
    return [
      variantName(claim),
      claim.reference,
      String(claim.seeds),
      String(claim.patients),
      known(claim.halfWidth, "±"),
      known(claim.detectable),
      String(claim.margin),
      [seed, patient, interaction].map(number).join(" / "),
      spreadFrom[claim.spreadFrom],
    ];
  });
  const reasons = [...new Set(claims.flatMap(({ reason }) => reason ?? []))];
  return [
    "What the study can find, in the metric's unit: gains as large as `finds` in 8 of 10 studies, if each is the only claim",
    table(
      [
        ...["task", "over", "seeds", "patients", "95 % interval", "finds", "margin"],
        ...["SD of seeds / patients / rest", "from"],
      ],
      rows,
    ),
    ...reasons.map((reason) => `  – ${reason}`),
    ...(reasons.some((reason) => /\bseeds?\b/.test(reason)) ? [`  ${seedsMayBeRaised}`] : []),
    ...(claims.some((claim) => claim.spreadFrom === "default")
      ? [
          "  a default is an order of magnitude: name your own in claims.expected, or an earlier study's folder with --earlier",
        ]
      : []),
  ];
}

/** What would settle the claims that an earlier study left open. */
function openLines(open: readonly OpenClaim[]): string[] {
  if (open.length === 0) return ["The earlier study left no claim open."];
  const signed = (value: number) => `${value < 0 ? "" : "+"}${number(value)}`;
  const rows = open.map((claim) => {
    const { estimate, low, high, wouldSettle, seeds, patients } = claim;
    const ways = [
      ...(wouldSettle?.seeds ? [`${wouldSettle.seeds} seeds with ${count(patients, "patient")}`] : []),
      ...(wouldSettle?.patients ? [`${wouldSettle.patients} patients with ${count(seeds, "seed")}`] : []),
    ];
    return [
      printable(claim.model),
      variantName(claim),
      claim.reference,
      low === null || high === null
        ? signed(estimate)
        : `${signed(estimate)} (${signed(low)} to ${signed(high)})`,
      ways.length > 0 ? ways.join(", or ") : wouldSettle ? "both more seeds and more patients" : claim.reason,
    ];
  });
  return [
    "What would settle the claims that the earlier study left open, if each difference truly is the one it saw",
    table(["model", "task", "over", "difference", "would settle it"], rows),
    ...(open.some(({ wouldSettle }) => wouldSettle?.seeds) ? [`  ${seedsMayBeRaised}`] : []),
  ];
}

/** Nothing is left of what is kept. */
const estimated = (seconds: number): string => (seconds === 0 ? "–" : duration(seconds));

function probeLines(probe: Probe): string[] {
  const { device, threads, faults } = probe;
  const where = device === "cpu" ? `the CPU with ${count(threads, "thread")}` : device;
  return [
    `Cells take as long as short steps of their networks at a reduced size on ${where} say, and the start of their processes. ` +
      "Sampling from diffusion models comes on top.",
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
  crop,
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
      `  cropped around the middle of ${crop.reference}, as they have no ${crop.around}: ${count(withoutGland, "case")}`,
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
