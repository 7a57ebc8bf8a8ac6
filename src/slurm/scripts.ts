import { ownProgram, wordInShell } from "../common/own-commands.js";
import type { SlurmSettings } from "../study/config/slurm-settings.js";
import type { ArrayJob, TaskOf } from "./layout.js";

/** What all scripts of a submission have in common. */
export interface ScriptContext {
  /** Of the study. */
  name: string;
  /** The study's folder. */
  output: string;
  settings: SlurmSettings;
  cpus: number;
  /** Of each task. */
  gres: string | null;
  /** Where a task computes, as it sees it; null: where the study says. */
  device: string | null;
  /** The longest that the partition lets a job take; null: any time. */
  mostMinutes: number | null;
  paths: { folder: string; study: string; setup: string; logs: string };
  jobNameOf(script: string): string;
}

/** Where a script starts in a list of jobs: once all of `ok` have ended well, and all of `any` have ended. */
export interface Dependency {
  ok: readonly string[];
  any: readonly string[];
}

/** `--dependency=...`; null where there is nothing to wait for. */
export function dependencyOption({ ok, any }: Dependency): string | null {
  const parts = [
    ...(ok.length > 0 ? [`afterok:${ok.join(":")}`] : []),
    ...(any.length > 0 ? [`afterany:${any.join(":")}`] : []),
  ];
  return parts.length === 0 ? null : `--dependency=${parts.join(",")}`;
}

/** A value as it stands in an `#SBATCH` line: sbatch knows quotes and escapes, and takes # for a comment. */
const inSbatch = (value: string): string =>
  /^[\w./:=,@%+-]*$/.test(value) ? value : `"${value.replaceAll(/["'\\]/g, "\\$&")}"`;

/** In the name of a log, % begins what Slurm fills in. */
const withoutPatterns = (path: string): string => path.replaceAll("%", "%%");

interface Asked {
  script: string;
  minutes: number;
  memory: string;
  gres: string | null;
  /** Further options, each as `--name=value`. */
  more: readonly string[];
  log: string;
}

function head({ settings, cpus, paths, jobNameOf }: ScriptContext, asked: Asked): string[] {
  const { partition, account, qos } = settings;
  const given = { partition, account, qos };
  const options = [
    ["job-name", jobNameOf(asked.script)],
    ...Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== null),
    ["time", String(settings.time ?? asked.minutes)],
    ["nodes", "1"],
    ["ntasks", "1"],
    ["cpus-per-task", String(cpus)],
    ["mem", asked.memory],
    ...(asked.gres === null ? [] : [["gres", asked.gres]]),
    ["chdir", paths.folder],
    ["output", `${withoutPatterns(paths.logs)}/${asked.log}`],
    ["open-mode", "append"],
    ["kill-on-invalid-dep", "yes"],
  ] as [string, string][];
  return [
    "#!/bin/bash",
    ...options.map(([name, value]) => `#SBATCH --${name}=${inSbatch(value)}`),
    ...asked.more.map((option) => `#SBATCH ${optionInSbatch(option)}`),
    ...settings.options.map((option) => `#SBATCH ${optionInSbatch(option)}`),
  ];
}

function optionInSbatch(option: string): string {
  const [, name = option, value] = /^(--[a-z-]+)=(.*)$/s.exec(option) ?? [];
  return value === undefined ? name : `${name}=${inSbatch(value)}`;
}

/** The setup runs from a file of its own: what is left open there, such as a here-document, ends with it. */
const setUp = ({ paths: { setup } }: ScriptContext): string[] => [
  "trap 'echo \"The setup ended the script: nothing was done\" >&2; exit 1' EXIT",
  `. ${wordInShell(setup)}`,
  "trap - EXIT",
];

const call = (...words: string[]): string => `exec ${[...ownProgram(), ...words].map(wordInShell).join(" ")}`;

const script = (lines: readonly string[]): string => `${lines.join("\n")}\n`;

/** `setup.sh`: the study's own lines. */
export const setupScript = ({ setup }: SlurmSettings): string =>
  script(["# What each job does before its work: execution.slurm.setup of the study.", ...setup]);

/** A job that computes no cell: one that ended before its end would hold up all others. */
function besideCells(context: ScriptContext, name: string, what: string, ...words: string[]): string {
  const { settings, mostMinutes } = context;
  return script([
    ...head(context, {
      script: name,
      minutes: Math.min(besideMinutes, mostMinutes ?? besideMinutes),
      memory: settings.memory ?? besideMemory,
      gres: null,
      more: ["--requeue"],
      log: `${name}.log`,
    }),
    "",
    `# ${what}`,
    "set -e",
    ...setUp(context),
    call(...words),
  ]);
}

const besideMinutes = 8 * 60;
const besideMemory = "8192M";

export const prepareScript = (context: ScriptContext): string =>
  besideCells(
    context,
    "prepare",
    `Prepares the cases of ${inComment(context.name)}, and writes what there is to do for each cell.`,
    ...["prepare", context.paths.study],
  );

export const collectScript = (context: ScriptContext): string =>
  besideCells(
    context,
    "collect",
    `Gathers what the cells of ${inComment(context.name)} left: results.json, and the report.`,
    ...["collect", context.paths.study],
  );

/** So many seconds before its time is over a task hears of it: a step, and its state on disk, are done by then. */
const warning = 120;

export function arrayScript(context: ScriptContext, array: ArrayJob, minutes: number): string {
  const { settings, gres, device, output } = context;
  const { tasks, memoryMegabytes } = array;
  const limit = settings.arrayLimit === null ? "" : `%${settings.arrayLimit}`;
  const mostMinutes = settings.time === null ? minutes : minutesOfTime(settings.time);
  const cells = tasks.reduce((sum, task) => sum + task.length, 0);
  return script([
    ...head(context, {
      script: array.name,
      minutes,
      memory: settings.memory ?? `${memoryMegabytes}M`,
      gres,
      more: [
        `--array=0-${tasks.length - 1}${limit}`,
        "--requeue",
        `--signal=B:USR1@${Math.min(warning, Math.floor((mostMinutes * 60) / 3))}`,
      ],
      log: `${array.name}.%a.log`,
    }),
    "",
    `# ${cells} cell${cells === 1 ? "" : "s"} of ${inComment(context.name)}, one after the other in each task. What is done is not done again.`,
    "set -e",
    'case "$SLURM_ARRAY_TASK_ID" in',
    ...tasks.map((task, index) => `${index}) cells=(${task.map(wordInShell).join(" ")}) ;;`),
    '*) echo "This is a script for sbatch: see submit.sh" >&2; exit 2 ;;',
    "esac",
    ...setUp(context),
    `${call("cell", output)} "\${cells[@]}" --slurm${device === null ? "" : ` --device ${wordInShell(device)}`}`,
  ]);
}

/** One job of a submission, in the order in which they are submitted. */
export interface JobToSubmit {
  script: string;
  /** Scripts of this submission, tasks of their arrays as `script_4`, and ids of earlier jobs. */
  after: Dependency;
}

/** `submit.sh`: what `run --slurm` does, to be done by hand. */
export function submitAllScript(jobs: readonly JobToSubmit[], context: ScriptContext): string {
  const scripts = new Set(jobs.map(({ script }) => script));
  const idOf = (one: string): string => {
    const [, name = one, task = ""] = /^(.*?)((?:_\d+)?)$/.exec(one) ?? [];
    return scripts.has(name) ? `\${${variable(name)}}${task}` : one;
  };
  return script([
    "#!/bin/bash",
    `# Submits the jobs of ${inComment(context.name)} that are described in this folder, each after those it waits for, and notes`,
    "# their ids in submitted.tsv, where status and run --slurm look for them.",
    "set -e",
    `cd ${wordInShell(context.paths.folder)}`,
    "submit() {",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the shell's
    '  id=$(sbatch --parsable "${@:2}" "$1.sh")',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the shell's
    "  id=${id%%;*}",
    '  printf "%s\\t%s\\n" "$1" "$id" >> submitted.tsv',
    '  echo "$1: job $id"',
    "}",
    ...jobs.map(({ script: name, after }) => {
      const option = dependencyOption({ ok: after.ok.map(idOf), any: after.any.map(idOf) });
      return `submit ${name}${option === null ? "" : ` "${option}"`}; ${variable(name)}=$id`;
    }),
  ]);
}

const variable = (name: string): string => name.replaceAll("-", "_");

const inComment = (name: string): string => `the study ${JSON.stringify(name)}`;

export const referenceTo = (one: TaskOf): string => ("job" in one ? one.job : `${one.array}_${one.task}`);

/** Megabytes of a memory as the schema takes it. */
export const megabytesOfMemory = (memory: string): number =>
  Number(memory.slice(0, -1)) * ({ M: 1, G: 1024, T: 1024 ** 2 }[memory.slice(-1)] ?? 1);

/** Minutes of a time as the schema takes it. */
export function minutesOfTime(time: number | string): number {
  if (typeof time === "number") return time;
  const [, days = "0", rest = ""] = /^(?:(\d+)-)?(.*)$/.exec(time) ?? [];
  const [hours = 0, minutes = 0, seconds = 0] = rest.split(":").map(Number);
  return Number(days) * 1440 + hours * 60 + minutes + Math.ceil(seconds / 60);
}
