import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { studyPaths } from "../dist/results/paths.js";
import { firstHost, startedRank } from "../dist/study/run/rank-environment.js";
import { cli, startCli } from "./cli-fixture.js";
import { tinyStudy } from "./study-fixture.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-started-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const pretraining = "profound--pretraining";
const cell = "profound--lesion-segmentation--fine-tuned--seed1";

async function studyFile(output: string, ranks: number): Promise<string> {
  const path = join(folder, `${output}.yaml`);
  const study = tinyStudy(folder, output, {
    tasks: ["lesion-segmentation"],
    comparators: ["fine-tuned"],
    execution: { jobs: 1, ranks },
  });
  await writeFile(path, stringify(study));
  return path;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** As torchrun starts a process. */
const byTorchrun = (rank: number, ranks: number, port: number) => ({
  RANK: String(rank),
  WORLD_SIZE: String(ranks),
  LOCAL_RANK: String(rank),
  MASTER_ADDR: "127.0.0.1",
  MASTER_PORT: String(port),
});

/** As srun does, on this host; it leaves the port to the job's number. */
const bySrun = (rank: number, ranks: number, job: number) => ({
  SLURM_PROCID: String(rank),
  SLURM_NTASKS: String(ranks),
  SLURM_LOCALID: String(rank),
  SLURM_JOB_ID: String(job),
  SLURM_STEP_ID: "0",
  SLURM_JOB_NODELIST: "127.0.0.1,node[02-04]",
});

const start = (environment: object, ...args: string[]) =>
  startCli(args, { ...process.env, ...environment } as NodeJS.ProcessEnv);

const lossesOf = async (output: string, id: string): Promise<number[]> => {
  const paths = studyPaths(join(folder, output));
  const path = id === pretraining ? join(paths.cell(id), "pretraining.json") : paths.cellResult(id);
  const { curve } = JSON.parse(await readFile(path, "utf8"));
  return curve.map(({ trainingLoss }: { trainingLoss: number }) => trainingLoss);
};

describe("processes that a launcher started", () => {
  it("pretrain together as torchrun starts them, and train a cell together as srun does", async () => {
    const alone = await studyFile("alone", 1);
    expect((await cli("pretrain", alone)).status).toBe(0);
    expect((await cli("cell", join(folder, "alone"), cell)).status).toBe(0);

    const study = await studyFile("together", 2);
    const port = await freePort();
    const pretrained = await Promise.all(
      [0, 1].map((rank) => start(byTorchrun(rank, 2, port), "pretrain", study, "--json").finished),
    );
    expect(pretrained.map(({ status, stderr }) => [status, status === 0 ? "" : stderr])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    expect(JSON.parse(pretrained[0]?.stdout as string).encoders).toHaveLength(1);
    expect(pretrained[1]?.stdout).toBe("");
    const trained = await Promise.all(
      [0, 1].map(
        (rank) => start(bySrun(rank, 2, process.pid), "cell", join(folder, "together"), cell).finished,
      ),
    );
    expect(trained.map(({ status, stderr }) => [status, status === 0 ? "" : stderr])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    for (const id of [pretraining, cell]) {
      const [one, two] = [await lossesOf("alone", id), await lossesOf("together", id)];
      expect(two.length).toBe(one.length);
      for (const [index, loss] of one.entries())
        expect(Math.abs((two[index] as number) / loss - 1)).toBeLessThan(1e-5);
    }
  }, 300_000);

  it("fail the cell with the one that was killed, and end", async () => {
    const study = await studyFile("killed", 2);
    expect((await cli("prepare", study)).status).toBe(0);
    const port = await freePort();
    const [first, second] = [0, 1].map((rank) =>
      start(byTorchrun(rank, 2, port), "cell", join(folder, "killed"), pretraining),
    ) as [ReturnType<typeof start>, ReturnType<typeof start>];
    // Its first epoch is told.
    while (!/epoch 1/i.test(first.texts.stderr))
      await once(first.child.stderr as NodeJS.ReadableStream, "data");
    second.child.kill("SIGKILL");
    const { status, stdout } = await first.finished;
    expect(status).toBe(1);
    expect(stdout).toContain(`Rank 1 of 2 (process ${second.child.pid} on ${hostname()}) ended`);
    expect((await second.finished).status).toBeNull();
  }, 300_000);

  it("are refused where the study trains a cell with another number of them", async () => {
    const study = await studyFile("three", 3);
    expect((await cli("prepare", study)).status).toBe(0);
    const port = await freePort();
    const ended = await Promise.all(
      [0, 1].map(
        (rank) => start(byTorchrun(rank, 2, port), "cell", join(folder, "three"), pretraining).finished,
      ),
    );
    expect(ended.map(({ status }) => status)).toEqual([2, 1]);
    expect(ended[0]?.stderr).toContain("execution.ranks: 3, but torchrun started 2");
    expect(ended[1]?.stderr).toContain("Rank 1 of 2: rank 0 did not end well");
  }, 300_000);

  it("are refused with an environment that is not whole", async () => {
    const { MASTER_PORT: _, ...environment } = byTorchrun(1, 2, 1);
    const { status, stderr } = await start(environment, "cell", folder, pretraining).finished;
    expect(status).toBe(2);
    expect(stderr).toContain(
      "Expected a whole number from 1 to 65535 in the environment variable MASTER_PORT",
    );
    expect(stderr).toContain("it is not set");
  });
});

describe("the environment of a process", () => {
  const srun = { ...bySrun(3, 8, 41), SLURM_JOB_NODELIST: "gpu[003-006,9]-ib,login" };

  it("says as which of several it was started, where they meet, and by whom", () => {
    expect(startedRank(byTorchrun(1, 4, 29_500))).toMatchObject({
      ...{
        by: "torchrun",
        rank: 1,
        ranks: 4,
        localRank: 1,
        host: "127.0.0.1",
        port: 29_500,
        isServed: false,
      },
    });
    const elastic = { TORCHELASTIC_USE_AGENT_STORE: "True", TORCHELASTIC_RESTART_COUNT: "2" };
    expect(startedRank({ ...byTorchrun(0, 2, 1), ...elastic })).toMatchObject({
      isServed: true,
      attempt: "2",
    });
    expect(startedRank(srun)).toMatchObject({
      by: "srun",
      rank: 3,
      ranks: 8,
      localRank: 3,
      host: "gpu003-ib",
    });
    const named = { MASTER_ADDR: "head", MASTER_PORT: "7000" };
    expect(startedRank({ ...srun, ...named })).toMatchObject({ host: "head", port: 7000 });
    const ofStep = { SLURM_STEP_NUM_TASKS: "4", SLURM_STEP_NODELIST: "gpu9" };
    expect(startedRank({ ...srun, ...ofStep })).toMatchObject({ ranks: 4, host: "gpu9" });
  });

  it("gives each step of a job another port, below those that systems hand out", () => {
    const ports = [0, 1, 2].map(
      (step) => startedRank({ ...srun, SLURM_STEP_ID: String(step) })?.port as number,
    );
    expect(new Set(ports).size).toBe(3);
    for (const port of ports) expect(port).toBeLessThan(32_768);
  });

  it("says nothing of a process that is alone, or that sbatch started", () => {
    expect(startedRank({})).toBeNull();
    expect(startedRank(byTorchrun(0, 1, 1))).toBeNull();
    expect(startedRank(bySrun(0, 1, 1))).toBeNull();
    const { SLURM_STEP_ID: _, ...batch } = srun;
    expect(startedRank(batch)).toBeNull();
  });

  it.each([
    ["RANK", { ...byTorchrun(0, 2, 1), RANK: "2" }, "from 0 to 1 in the environment variable RANK"],
    ["RANK", { WORLD_SIZE: "2" }, "RANK, as torchrun sets it"],
    ["WORLD_SIZE", { RANK: "0" }, "WORLD_SIZE, as torchrun sets it"],
    [
      "MASTER_ADDR",
      { ...byTorchrun(0, 2, 1), MASTER_ADDR: "" },
      "a value in the environment variable MASTER_ADDR",
    ],
    ["SLURM_NTASKS", { ...srun, SLURM_NTASKS: "many" }, 'received "many"'],
    ["SLURM_LOCALID", { ...srun, SLURM_LOCALID: undefined }, "SLURM_LOCALID, as srun sets it"],
    ["SLURM_JOB_NODELIST", { ...srun, SLURM_JOB_NODELIST: "gpu[3-" }, "a list of hosts such as node[01-04]"],
  ])("is refused where %s is wrong or missing: %o", (_, environment, words) => {
    expect(() => startedRank(environment)).toThrow(words);
  });

  it("has lists of hosts as Slurm writes them", () => {
    const lists = {
      n1: "n1",
      "n[1-3]": "n1",
      "a[07,9]b[1-2],c": "a07b1",
      "x,y[1]": "x",
      "[3": null,
      "": null,
    };
    for (const [list, host] of Object.entries(lists)) expect([list, firstHost(list)]).toEqual([list, host]);
  });
});
