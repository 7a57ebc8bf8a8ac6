// node scripts/loopback-slurm.mjs start FOLDER | stop FOLDER
// A whole Slurm on this machine's loopback, for tests: one node that says it has 8 CPUs, 64 GB and two GPUs (device files of
// /dev/null's kind). It needs root and Debian's slurmctld, slurmd, slurm-client and munge. Everything lies in FOLDER; `start`
// prints the line that makes a shell use it. `--port N` takes other ports than 16901 and the next.
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { hostname, setPriority } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const programs = ["slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol", "scancel", "mknod"];

/** Why no Slurm can be started here; null where one can. */
export function reasonAgainst() {
  if (process.getuid?.() !== 0) return "it needs root";
  const missing = programs.filter((name) => findProgram(name) === null);
  return missing.length === 0
    ? null
    : `${missing.join(", ")} missing: apt-get install slurmctld slurmd slurm-client munge`;
}

function findProgram(name) {
  for (const folder of [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"]) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Elsewhere.
    }
  }
  return null;
}

/** Whether it came true in time. */
async function untilTrue(isTrue, seconds) {
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; await sleep(200))
    if (isTrue()) return true;
  return false;
}

/** How a loopback Slurm is reached, and what the daemons of it are. */
export class LoopbackSlurm {
  /** @param folder absolute, as the daemons change their working folder */
  constructor(folder, { port = 16901 } = {}) {
    this.folder = resolve(folder);
    this.port = port;
    this.configuration = join(this.folder, "slurm.conf");
    this.environment = { ...process.env, SLURM_CONF: this.configuration };
  }

  async start({ more = [], nice = 10 } = {}) {
    const { folder } = this;
    for (const name of ["state", "spool", "log"]) mkdirSync(join(folder, name), { recursive: true });
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, "munge.key"), randomBytes(1024), { mode: 0o400 });
    for (const gpu of ["gpu0", "gpu1"])
      if (!existsSync(join(folder, gpu))) execFileSync("mknod", [join(folder, gpu), "c", "1", "3"]);
    const host = hostname().split(".")[0];
    writeFileSync(this.configuration, `${[...this.#lines(host), ...more].join("\n")}\n`);
    writeFileSync(join(folder, "gres.conf"), `NodeName=${host} Name=gpu Count=2 File=${folder}/gpu[0-1]\n`);
    writeFileSync(join(folder, "cgroup.conf"), "CgroupPlugin=cgroup/v1\n");
    setPriority(nice); // what is started inherits it, the jobs too
    this.#munge();
    this.#daemon("slurmctld");
    this.startNode();
    const isIdle = () => {
      const { stdout } = spawnSync("sinfo", ["-h", "-o", "%T"], { env: this.environment, encoding: "utf8" });
      return stdout?.trim() === "idle";
    };
    if (await untilTrue(isIdle, 240)) return;
    const log = readFileSync(join(folder, "log", "slurmctld"), "utf8").slice(-2000);
    await this.stop();
    throw new Error(`Slurm's node did not become idle: ${log}`);
  }

  #munge() {
    const at = (name) => join(this.folder, name);
    const words = [`--key-file=${at("munge.key")}`, `--socket=${at("munge.socket")}`];
    const more = [`--pid-file=${at("munged.pid")}`, `--log-file=${at("log/munged")}`];
    execFileSync(findProgram("munged"), ["--force", ...words, ...more, `--seed-file=${at("munge.seed")}`]);
  }

  #daemon(name) {
    execFileSync(findProgram(name), ["-f", this.configuration], { env: this.environment });
  }

  /** Starts the daemon of the node, also after it was killed. */
  startNode() {
    this.#daemon("slurmd");
  }

  /** The process of a daemon; null where it doesn't run. */
  pidOf(name) {
    try {
      const pid = Number(readFileSync(join(this.folder, `${name}.pid`), "utf8"));
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      const [, command, state] = /^Name:\s*(\S+)[\s\S]*?^State:\s*(\S)/m.exec(status) ?? [];
      // A dead one may lie there for as long as nobody asks what became of it.
      return command !== undefined && name.startsWith(command) && state !== "Z" ? pid : null;
    } catch {
      return null;
    }
  }

  /** Ends all jobs, and then the daemons: without them nobody would end a job. */
  async stop() {
    const ask = (program, ...words) =>
      spawnSync(program, words, { env: this.environment, timeout: 10_000, encoding: "utf8" });
    ask("scancel", "--user", String(process.getuid()));
    await untilTrue(() => ask("squeue", "--noheader").stdout?.trim() === "", 120);
    for (const name of ["slurmd", "slurmctld", "munged"]) {
      const pid = this.pidOf(name);
      if (pid === null) continue;
      process.kill(pid, "SIGTERM");
      if (!(await untilTrue(() => this.pidOf(name) === null, 30))) process.kill(pid, "SIGKILL");
    }
  }

  #lines(host) {
    const { folder, port } = this;
    return [
      "ClusterName=loopback",
      `SlurmctldHost=${host}(127.0.0.1)`,
      `SlurmctldPort=${port}`,
      `SlurmdPort=${port + 1}`,
      "SlurmUser=root",
      "SlurmdUser=root",
      // A task that goes back into the queue waits for as long as its credential holds.
      `AuthInfo=socket=${folder}/munge.socket,cred_expire=5`,
      `StateSaveLocation=${folder}/state`,
      `SlurmdSpoolDir=${folder}/spool`,
      `SlurmctldLogFile=${folder}/log/slurmctld`,
      `SlurmdLogFile=${folder}/log/slurmd`,
      `SlurmctldPidFile=${folder}/slurmctld.pid`,
      `SlurmdPidFile=${folder}/slurmd.pid`,
      "ProctrackType=proctrack/linuxproc",
      "TaskPlugin=task/none",
      "SelectType=select/cons_tres",
      "SelectTypeParameters=CR_Core_Memory",
      "JobAcctGatherType=jobacct_gather/none",
      "MpiDefault=none",
      "MailProg=/bin/true",
      // A task that goes back into the queue is looked at again within seconds, not within sched_interval's minute.
      "SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0,batch_sched_delay=0",
      "KillWait=30",
      "MinJobAge=300",
      "ReturnToService=2",
      "GresTypes=gpu",
      "SlurmdParameters=config_overrides",
      `NodeName=${host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=65536 Gres=gpu:2`,
      `PartitionName=main Nodes=${host} Default=YES MaxTime=2-00:00:00 State=UP`,
    ];
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { port: { type: "string", default: "16901" } },
  });
  const [verb, folder] = positionals;
  const against = reasonAgainst();
  if (folder === undefined || (verb !== "start" && verb !== "stop") || against !== null) {
    console.error(against ?? "start FOLDER or stop FOLDER");
    process.exit(2);
  }
  const slurm = new LoopbackSlurm(folder, { port: Number(values.port) });
  if (verb === "stop") await slurm.stop();
  else {
    await slurm.start();
    console.log(`export SLURM_CONF=${slurm.configuration}`);
  }
}
