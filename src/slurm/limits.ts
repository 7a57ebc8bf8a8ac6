import { stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { z } from "zod";
import { readSealedJson, writeSealedJson } from "../common/sealed-json.js";
import { askSlurm } from "./client.js";
import { slurmPaths } from "./paths.js";

const limitsSchema = z.object({
  /** `MaxArraySize`: so many tasks an array has at most; 0: the cluster has no arrays. */
  arraySize: z.int().min(0),
  /** So many jobs, each task of an array counted, may wait and run at once. */
  jobs: z.int().min(1),
  /** So many minutes a job of the partition may take; null: any time. */
  minutes: z.int().min(1).nullable(),
});
const keptSchema = z.object({ partition: z.string().nullable(), limits: limitsSchema });

/** What a cluster lets be submitted. */
export type Limits = z.infer<typeof limitsSchema>;

/** What Slurm does where nothing is said: for scripts that are written where it cannot be asked. */
export const usualLimits: Limits = { arraySize: 1001, jobs: 10_000, minutes: null };

/** Limits change seldom: they are asked for once a day. In milliseconds. */
const rememberedFor = 24 * 60 * 60 * 1000;

/**
 * Reads the limits of the cluster and of a partition, and of the user's associations where they are accounted for.
 *
 * @param partition null: the one that Slurm takes where none is named
 * @throws `SLURM`
 */
export async function readLimits(
  folder: string,
  partition: string | null,
  now = Date.now(),
): Promise<Limits> {
  const { limits: path } = slurmPaths(folder);
  const written = (await stat(path).catch(() => null))?.mtimeMs ?? 0;
  if (now >= written && now - written < rememberedFor) {
    const found = await readSealedJson(path);
    const kept = found.state === "sound" ? keptSchema.safeParse(found.value).data : undefined;
    if (kept?.partition === partition) return kept.limits;
  }
  const { limits, isAccounted } = limitsIn(await askSlurm("scontrol", ["show", "config"]));
  const submitted = isAccounted ? mostSubmitted(await associations()) : null;
  const partitions = await askSlurm("scontrol", ["--oneliner", "show", "partition"]);
  const known = {
    ...limits,
    jobs: Math.min(limits.jobs, submitted ?? limits.jobs),
    minutes: mostMinutesIn(partitions, partition),
  };
  await writeSealedJson(path, { partition, limits: known });
  return known;
}

/** The longest that a job may take in a partition, or in each of a list; null where any time is allowed, or nothing is known. */
export function mostMinutesIn(partitions: string, partition: string | null): number | null {
  const wanted = partition?.split(",");
  const minutes = partitions.split("\n").flatMap((line) => {
    const fields = new Map(line.split(" ").map((field) => field.split("=", 2) as [string, string]));
    const isMeant = wanted?.includes(fields.get("PartitionName") ?? "") ?? fields.get("Default") === "YES";
    const most = fields.get("MaxTime") ?? "";
    return isMeant && /^(\d+-)?\d+:\d\d:\d\d$/.test(most) ? [Math.floor(secondsOf(most) / 60)] : [];
  });
  return minutes.length === 0 ? null : Math.max(1, Math.min(...minutes));
}

function secondsOf(time: string): number {
  const [days, clock] = time.includes("-") ? (time.split("-", 2) as [string, string]) : ["0", time];
  return clock.split(":").reduce((sum, part) => 60 * sum + Number(part), 0) + 86_400 * Number(days);
}

/** What `scontrol show config` says of limits. */
export function limitsIn(config: string): { limits: Omit<Limits, "minutes">; isAccounted: boolean } {
  const textOf = (name: string) => new RegExp(`^${name}\\s*=\\s*(\\S+)`, "m").exec(config)?.[1];
  const number = (name: string, usual: number) => {
    const value = Number(textOf(name));
    return Number.isSafeInteger(value) && value >= 0 ? value : usual;
  };
  return {
    limits: {
      arraySize: number("MaxArraySize", usualLimits.arraySize),
      jobs: Math.max(1, number("MaxJobCount", usualLimits.jobs)),
    },
    isAccounted: (textOf("AccountingStorageType") ?? "").endsWith("/slurmdbd"),
  };
}

/** The least of the limits that `sacctmgr --parsable2` names; null where it names none. */
export function mostSubmitted(table: string): number | null {
  const numbers = table
    .split(/[\n|]/)
    .map((text) => text.trim())
    .filter((text) => /^[1-9]\d*$/.test(text))
    .map(Number);
  return numbers.length === 0 ? null : Math.min(...numbers);
}

async function associations(): Promise<string> {
  const format = "format=MaxSubmitJobs,GrpSubmitJobs";
  try {
    const words = ["--noheader", "--parsable2", "show", "association", `user=${userInfo().username}`, format];
    return await askSlurm("sacctmgr", words);
  } catch {
    return ""; // where users may not ask, sbatch still says when it is too many
  }
}
