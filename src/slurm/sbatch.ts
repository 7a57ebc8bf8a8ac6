import { describe, TransferLimitsError } from "../common/errors.js";
import type { SlurmSettings } from "../study/config/slurm-settings.js";
import { askSlurm } from "./client.js";
import { noteJob } from "./record.js";
import type { Dependency } from "./scripts.js";

/** Runs one `sbatch`, and notes the job's id. */
export async function submitScript(
  folder: string,
  script: string,
  dependency: string | null,
  settings: SlurmSettings,
): Promise<string> {
  const words = ["--parsable", ...(dependency === null ? [] : [dependency]), `${folder}/${script}.sh`];
  const printed = await askSlurm("sbatch", words, withoutOverrides(process.env, settings));
  const [, id] = /^(\d+)(?:;.*)?$/m.exec(printed.trim()) ?? [];
  if (id === undefined)
    throw new TransferLimitsError("SLURM", `sbatch answered ${describe(printed)} where an id was expected`);
  await noteJob(`${folder}/submitted.tsv`, script, id);
  return id;
}

/** Variables of the environment go before what a script says: those that would speak against it are left out. */
function withoutOverrides(environment: NodeJS.ProcessEnv, settings: SlurmSettings) {
  const own = ["ARRAY_INX", "JOB_NAME", "NO_REQUEUE", "REQUEUE", "OPEN_MODE", "OUTPUT", "ERROR", "SIGNAL"];
  const more = ["TIMELIMIT", "MEM_PER_NODE", "MEM_PER_CPU", "MEM_PER_GPU", "GRES", "CPUS_PER_TASK", "WAIT"];
  const given = (["partition", "account", "qos"] as const).filter((field) => settings[field] !== null);
  const names = [...own, ...more, ...given.map((field) => field.toUpperCase())];
  const left = new Set(names.map((name) => `SBATCH_${name}`));
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !left.has(name)));
}

/** What a job waits for, with the ids of the jobs that were submitted in place of their names. */
export const withIds = ({ ok, any }: Dependency, ids: ReadonlyMap<string, string>): Dependency => {
  const idOf = (one: string): string => {
    const known = ids.get(one);
    if (known !== undefined) return known;
    const [, script = "", task = ""] = /^(.*)(_\d+)$/.exec(one) ?? [];
    const array = ids.get(script);
    return array === undefined ? one : `${array}${task}`;
  };
  return { ok: ok.map(idOf), any: any.map(idOf) };
};
