import { z } from "zod";
import { section } from "../../common/validation.js";

/** Control characters would end a line of a script, or the script. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const oneLine = /^[^\u0000-\u001f\u007f]*$/;

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const shellLines = /^[^\u0000\r]*$/;

const name = z
  .string()
  .regex(/^[A-Za-z0-9][\w.,@+-]*$/, "expected a name of letters, digits, '_', '-', '.', '@', '+' and ','")
  .max(200)
  .nullable()
  .default(null);

/** What this program says to sbatch itself: its jobs would get lost, or not find each other, with anything else. */
const ownOptions = [
  ...["array", "begin", "chdir", "dependency", "error", "export", "export-file", "help", "hold", "input"],
  ...["job-name", "kill-on-invalid-dep", "no-requeue", "open-mode", "output", "parsable", "quiet", "requeue"],
  ...["signal", "test-only", "usage", "version", "wait", "wrap", "clusters", "uid", "gid", "ignore-pbs"],
];
/** What has a field of its own. */
const fieldOptions: Record<string, string> = {
  ...{ partition: "partition", account: "account", qos: "qos", time: "time", gres: "gres", mem: "memory" },
  "cpus-per-task": "cpus",
};

const option = z
  .string()
  .max(2000)
  .regex(/^--[a-z][a-z-]*(=|$)/, 'expected an option of sbatch in its long form, such as "--constraint=a100"')
  .regex(oneLine, "expected one line without control characters")
  .superRefine((text, context) => {
    // sbatch takes any beginning of an option that is the beginning of no other.
    const [, given = ""] = /^--([a-z-]+)/.exec(text) ?? [];
    const meant = (names: readonly string[]) => names.find((one) => given !== "" && one.startsWith(given));
    const field = meant(Object.keys(fieldOptions));
    const own = meant(ownOptions);
    if (field !== undefined)
      context.addIssue({
        code: "custom",
        message: `expected --${field} as execution.slurm.${fieldOptions[field]}`,
      });
    else if (own !== undefined)
      context.addIssue({
        code: "custom",
        message: `expected another option: --${own} is set by this program`,
      });
  });

/** How Slurm is asked for a study's jobs. What is null, the planner's estimates or the cluster's defaults say. */
export const slurmSchema = section({
  partition: name,
  account: name,
  qos: name,
  /** The longest that a task may take: minutes, or `HH:MM:SS`, `D-HH`, `D-HH:MM`, `D-HH:MM:SS`. */
  time: z
    .union([
      z.int().min(1).max(1_000_000),
      z
        .string()
        .regex(
          /^(\d{1,4}-\d{1,2}(:[0-5]\d){0,2}|\d{1,5}:[0-5]\d:[0-5]\d)$/,
          'expected minutes, or "HH:MM:SS", "D-HH", "D-HH:MM" or "D-HH:MM:SS"',
        ),
    ])
    .nullable()
    .default(null),
  /** Of a task; null: one GPU where the study's device is one. */
  gres: z
    .string()
    .regex(/^[A-Za-z][\w.:,/-]*$/, 'expected generic resources as Slurm names them, such as "gpu:a100:1"')
    .max(200)
    .nullable()
    .default(null),
  /** Of each job. */
  memory: z
    .string()
    .regex(/^[1-9]\d{0,8}[MGT]$/, 'expected a size such as "32G", in M, G or T')
    .nullable()
    .default(null),
  /** Of each job; null: `execution.threads`. */
  cpus: z.int().min(1).max(1024).nullable().default(null),
  /** At most so many tasks of an array run at once; null: as many as the cluster lets. */
  arrayLimit: z.int().min(1).max(1_000_000).nullable().default(null),
  /** Lines of the shell before the work of each job, such as `module load nodejs`. */
  setup: z
    .array(z.string().max(10_000).regex(shellLines, "expected lines of the shell without NUL or CR"))
    .max(1000)
    .default([]),
  /** Further options of sbatch, each as `--name=value`. */
  options: z.array(option).max(100).default([]),
});

export type SlurmSettings = z.output<typeof slurmSchema>;
