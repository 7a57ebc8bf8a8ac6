import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder } from "./temporary-folder.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const script = (name: string) => join(root, "scripts", "gpu-visit", name);

type Fields = Record<string, unknown>;

/** Runs a program somewhere else than in the checkout, without what leads from there back to it. */
const run = (program: string, args: string[], cwd: string) =>
  new Promise<{ status: number; stdout: string; stderr: string }>((resolve) => {
    const { NODE_PATH: _, OUT: __, ...env } = process.env;
    execFile(program, args, { cwd, env, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ status, stdout, stderr });
    });
  });

const read = (results: string, ...args: string[]) =>
  run(process.execPath, [script("read.mjs"), results, ...args], root);

const parse = (text: string): Fields[] =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Fields);

/** A folder with the records of a visit, as `change` makes them of the recorded ones. */
async function resultsOf(change: (records: Fields[]) => Fields[], rest = ""): Promise<string> {
  const folder = await temporaryFolder();
  const lines = change(structuredClone(recorded)).map((record) => `${JSON.stringify(record)}\n`);
  await writeFile(join(folder, "results.jsonl"), lines.join("") + rest);
  return folder;
}

/** What stands on the page under a heading. */
const under = (page: string, heading: string): string =>
  new RegExp(`^## ${heading}\\n([\\s\\S]*?)(?=^## |$(?![\\s\\S]))`, "m").exec(page)?.[1] ?? "";

let folder: string;
let visited: { status: number; stdout: string; stderr: string };
let recorded: Fields[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-visit-"));
  const packed = await run(
    process.execPath,
    [script("pack.mjs"), "--cpu", "--small", "--out", join(folder, "packed")],
    folder,
  );
  expect(packed.stderr + packed.stdout).toContain("of at most 40.0 MiB");
  expect(packed.status).toBe(0);
  visited = await run(
    "bash",
    [join(folder, "packed", "run.sh"), "--cpu", "--out", join(folder, "results")],
    folder,
  );
  recorded = parse(await readFile(join(folder, "results", "results.jsonl"), "utf8"));
}, 300_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a visit that is packed on a machine without a GPU, and rehearsed from the packed folder", () => {
  it("needs a script and archives of at most 40 MiB", async () => {
    const names = await readdir(join(folder, "packed"));
    expect(names.sort()).toEqual(["run.sh", "visit.tar.xz"]);
    const sizes = await Promise.all(
      names.map(async (name) => (await stat(join(folder, "packed", name))).size),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(40 * 2 ** 20);
  });

  it("runs what needs no GPU to its end, and says of the rest why it did not run", () => {
    expect(visited.status).toBe(0);
    const ends = Object.fromEntries(
      recorded
        .filter(({ kind }) => kind === "end")
        .map(({ part, outcome, reason }) => [part, [outcome, reason]]),
    );
    for (const part of [
      "machine",
      "programs",
      "small study",
      "networks",
      "ranks",
      "study at the paper's size",
    ])
      expect(ends[part]).toEqual(["done", undefined]);
    for (const part of ["costliest kernels", "compute-sanitizer"])
      expect(ends[part]).toEqual(["not run", "no GPU"]);
    expect(Object.keys(ends).length).toBe(11);
  });

  it("trains by two ranks what one process trains, every family of encoders, and finds no difference", () => {
    const trained = recorded.filter(({ part, kind }) => part === "ranks" && kind === "judged");
    expect(trained.length).toBeGreaterThanOrEqual(6);
    for (const { what, right, detail } of trained)
      expect([what, right, detail]).toEqual([what, true, detail]);
  });

  it("gives the numbers that the same machine gave when it packed", () => {
    const compared = recorded.filter(({ kind }) => kind === "compared");
    expect(compared.length).toBeGreaterThanOrEqual(10);
    for (const { what, got, expected } of compared) expect([what, got]).toEqual([what, expected]);
    expect(compared.map(({ what }) => what)).toContain("ProFound--pretraining, first loss");
  });

  it("times networks: a first step takes longer than one forward pass among many, with three times its operations", () => {
    const networks = recorded.filter(({ kind }) => kind === "network") as {
      what: string;
      first: number;
      steady: number;
      operations: number;
    }[];
    expect(networks.length).toBe(6);
    for (let index = 0; index < networks.length; index += 2) {
      const [forward, step] = networks.slice(index, index + 2) as [
        (typeof networks)[0],
        (typeof networks)[0],
      ];
      expect([forward.what, step.what]).toEqual([
        expect.stringMatching(/, forward pass$/),
        expect.stringMatching(/, training step$/),
      ]);
      expect(step.operations).toBe(3 * forward.operations);
      expect(step.first).toBeGreaterThan(forward.steady);
    }
  });

  it("leaves at most eight files, each below 16 MiB, and nothing else", async () => {
    const names = await readdir(join(folder, "results"));
    expect(names.length).toBeLessThanOrEqual(8);
    for (const name of names)
      expect((await stat(join(folder, "results", name))).size).toBeLessThan(16 * 2 ** 20);
    expect((await readdir(folder)).sort()).toEqual(["packed", "results"]);
  });

  it("ends when its time is over, with what it had begun", async () => {
    const out = join(folder, "short");
    const { status } = await run(
      "bash",
      [join(folder, "packed", "run.sh"), "--cpu", "--out", out, "--budget", "7"],
      folder,
    );
    expect(status).toBe(0);
    const records = parse(await readFile(join(out, "results.jsonl"), "utf8"));
    const ends = records.filter(({ kind }) => kind === "end");
    expect(ends.length).toBe(11);
    expect(ends.map(({ outcome, reason }) => reason ?? outcome)).toContain("no time was left");
  });
});

describe("the reader of a visit", () => {
  it("finds nothing wrong in what was recorded", async () => {
    const { status, stdout } = await read(join(folder, "results"));
    expect(under(stdout, "Wrong").trim()).toBe("Nothing that was judged.");
    expect(under(stdout, "Right")).toMatch(/small study: \d\d/);
    expect(under(stdout, "Parts")).toContain("| costliest kernels | not run | 0 | no GPU |");
    expect(status).toBe(0);
  });

  const change = (what: RegExp, fields: (record: Fields) => Fields) => (records: Fields[]) =>
    records.map((record) => (what.test(String(record.what)) ? { ...record, ...fields(record) } : record));

  it.each([
    [
      "a metric that is 0.3 % off",
      /random-weights.*Dice/,
      ({ got }: Fields) => ({ got: Number(got) * 1.003 + 2e-6 }),
    ],
    [
      "a first loss that is 3 % off",
      /from-scratch.*first loss/,
      ({ got }: Fields) => ({ got: Number(got) * 0.97 }),
    ],
    ["a score that is undefined on one device alone", /pretrained.*phantom-003/, () => ({ got: null })],
    ["a cell that is missing", /pretrained.*Dice/, () => ({ got: null, missing: true })],
    [
      "a network that cannot be trained",
      /learns/,
      () => ({ right: false, detail: "loss 1 in its first epoch, 2 in its last" }),
    ],
  ])("calls %s wrong", async (_, what, fields) => {
    const { status, stdout } = await read(await resultsOf(change(what, fields)));
    const wrong = under(stdout, "Wrong");
    expect(wrong).toMatch(what);
    expect(status).toBe(1);
  });

  it("calls differences right that another device may make", async () => {
    const results = await resultsOf(
      change(/first loss|Dice|phantom/, ({ got, share }) => ({
        got: typeof got === "number" ? got * (1 + 0.9 * Number(share)) : got,
      })),
    );
    expect((await read(results)).status).toBe(0);
  });

  it("calls a part wrong that failed, and says which was cut off", async () => {
    const results = await resultsOf((records) =>
      records.flatMap((record) => {
        if (record.kind !== "end") return [record];
        if (record.part === "networks") return [{ ...record, outcome: "failed", reason: "it broke" }];
        return record.part === "study at the paper's size" ? [] : [record];
      }),
    );
    const { status, stdout } = await read(results);
    expect(under(stdout, "Wrong")).toContain("- **networks: the part itself**: it broke");
    expect(under(stdout, "Parts")).toContain("| study at the paper's size | cut off |");
    expect(status).toBe(1);
  });

  it("reads what a killed visit left, up to the line that was cut", async () => {
    const results = await resultsOf((records) => records, '{"part":"networks","at":3,"ki');
    const { status, stdout } = await read(results);
    expect(under(stdout, "Not decided")).toContain("1 lines");
    expect(status).toBe(0);
  });

  it("refuses a folder without results, and results of nothing", async () => {
    const empty = await temporaryFolder();
    expect(await read(empty)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("results.jsonl is not there"),
    });
    await writeFile(join(empty, "results.jsonl"), "\u0000\u0001 not JSON\n");
    expect(await read(empty)).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("none can be read"),
    });
    expect((await run(process.execPath, [script("read.mjs")], root)).status).toBe(2);
  });

  it("calls it no success where nothing was judged", async () => {
    const results = await resultsOf((records) => records.filter(({ kind }) => kind === "fact"));
    expect((await read(results)).status).toBe(1);
  });
});

/** The recorded visit as a GPU would have made it, with numbers whose ratios and floors are known. */
const onGpu = (records: Fields[]): Fields[] => {
  const facts = { device: "cuda:0", size: "whole", card: "NVIDIA H200 <b>|../..\u0007", date: "2026-12-01" };
  const timed = (work: string, by: string, milliseconds: number | null, more: Fields = {}) => ({
    ...{
      part: "kernel times",
      at: 1,
      kind: "timed",
      work,
      by,
      ours: by.startsWith("transfer-limits"),
      milliseconds,
    },
    ...more,
  });
  const mmd = "MMD, 10000 and 10000 rows of 768";
  const step = "ConvNeXt V2 Tiny, training step, [4, 3, 96, 200, 200]";
  return [
    ...records
      .filter(({ kind, what }) => kind !== "network" && kind !== "memory" && !(String(what) in facts))
      .map((record) => record),
    ...Object.entries(facts).map(([what, value]) => ({ part: "machine", at: 1, kind: "fact", what, value })),
    { part: "machine", at: 1, kind: "rates", float32: 1e13, bfloat16: 1e14, bytes: 1e12 },
    timed(mmd, "transfer-limits, float32", 40),
    timed(mmd, "cdist and exp, float32", 100),
    timed(mmd, "KeOps", null, { reason: "no such module" }),
    timed(step, "transfer-limits, bfloat16", 50),
    timed(step, "transfer-limits, float32", 500),
    timed(step, "PyTorch eager, bfloat16, channels-last", 45),
    timed(step, "PyTorch eager, float32, channels-last", 900),
    {
      ...{ part: "networks", at: 1, kind: "network", what: "profound, lesion-segmentation, training step" },
      ...{
        first: 900,
        steady: 100,
        device: 60,
        host: 130,
        operations: 4e12,
        peakBytes: 13e9,
        estimatedBytes: 10e9,
      },
    },
    {
      ...{
        part: "networks",
        at: 1,
        kind: "network",
        what: "profound, lesion-segmentation, training step, CUDA graph",
      },
      ...{
        first: 900,
        steady: 90,
        device: 88,
        host: 2,
        operations: 4e12,
        peakBytes: 11e9,
        estimatedBytes: 10e9,
      },
    },
    {
      part: "paper",
      at: 1,
      kind: "measured",
      what: "a cell, utilisation while training",
      value: 85,
      unit: "%",
    },
  ];
};

/** The cells of the row of a table that begins so. */
const row = (page: string, start: string): string[] =>
  page
    .split("\n")
    .find((line) => line.startsWith(`| ${start} `))
    ?.split(/(?<!\\)\|/)
    .map((cell) => cell.trim())
    .slice(1, -1) ?? [];

describe("numbers of a GPU", () => {
  it("stand beside their targets and floors", async () => {
    const { stdout } = await read(await resultsOf(onGpu));
    // 2 x 768 operations for each of 2e8 pairs, at 1e13 a second.
    expect(row(stdout, "MMD, 10000 and 10000 rows of 768: transfer-limits, float32")).toEqual([
      expect.any(String),
      "40 ms",
      "100 ms",
      "30.7 ms",
      "met, 2.5x the fastest peer",
    ]);
    expect(row(stdout, "MMD, 10000 and 10000 rows of 768: KeOps")[1]).toBe("not measured: no such module");
    // Each precision is compared with peers of the same.
    const steps = ["bfloat16", "float32"].map((precision) =>
      row(stdout, `ConvNeXt V2 Tiny, training step, [4, 3, 96, 200, 200]: transfer-limits, ${precision}`),
    );
    expect(steps.map((cells) => cells[4])).toEqual([
      "**missed**, 0.9x the fastest peer",
      "met, 1.8x the fastest peer",
    ]);
    expect(row(stdout, "a cell, utilisation while training")).toEqual([
      expect.any(String),
      "85 %",
      "90 %",
      "–",
      "**missed**",
    ]);
    // 4e12 operations at 1e14 a second; the host takes longer than the device; 1.3 times the estimate.
    expect(row(stdout, "profound, lesion-segmentation, training step").slice(1)).toEqual([
      ...["900", "100", "60", "40", "130", "the device waits", "13", "10", "**missed**"],
    ]);
    expect(row(stdout, "profound, lesion-segmentation, training step, CUDA graph").slice(1)).toEqual([
      ...["900", "90", "88", "40", "2", "", "11", "10", ""],
    ]);
  });

  it("are written into performance.md, between its marks alone, and into a file named by card and date", async () => {
    const into = await temporaryFolder();
    await mkdir(join(into, "docs"));
    const document = join(into, "docs", "performance.md");
    await copyFile(join(root, "docs", "performance.md"), document);
    const before = await readFile(document, "utf8");
    const results = await resultsOf(onGpu);
    for (let time = 0; time < 2; time++) {
      expect((await read(results, "--write", "--into", into)).status).toBe(0);
      const after = await readFile(document, "utf8");
      const [start, end] = ["<!-- gpu-visit: ", "<!-- /gpu-visit -->"] as const;
      const around = (text: string) => [text.slice(0, text.indexOf(start)), text.slice(text.indexOf(end))];
      expect(around(after)).toEqual(around(before));
      expect(after).toContain("| MMD, 10000 and 10000 rows of 768: transfer-limits, float32 | 40 ms |");
      expect(after).not.toContain("CUDA: not measured");
      for (const foreign of ["H200 <b>", "\u0007"]) expect(after).not.toContain(foreign);
    }
    expect(await readdir(join(into, "bench", "results"))).toEqual(["nvidia-h200-b-2026-12-01.json"]);
    const kept = JSON.parse(
      await readFile(join(into, "bench", "results", "nvidia-h200-b-2026-12-01.json"), "utf8"),
    );
    // Beside it may stand what was measured in the rehearsal, where the benchmark was built.
    expect(kept.numbers).toContainEqual(
      expect.objectContaining({ value: 40, unit: "ms", target: 100, met: true, times: 2.5 }),
    );
    expect(kept.judgements.length).toBeGreaterThanOrEqual(10);
  });

  it("of a rehearsal are not written", async () => {
    const into = await temporaryFolder();
    const { status, stderr } = await read(join(folder, "results"), "--write", "--into", into);
    expect([status, await readdir(into)]).toEqual([2, []]);
    expect(stderr).toContain("a rehearsal");
  });
});

describe("what other programs print", () => {
  const part = (name: string) =>
    import(new URL(`../scripts/gpu-visit/parts/${name}.mjs`, import.meta.url).href);

  it("of kernel_bench: a row is taken with its unit of time, its range, and why it is not there", async () => {
    const { timedRow } = await part("kernel-times");
    expect(timedRow("| work | by | median, ms | range, ms | times ours |")).toBeNull();
    expect(timedRow("|---|---|---|---|---|")).toBeNull();
    expect(timedRow("All comparisons passed")).toBeNull();
    expect(timedRow("| SSIM | transfer-limits | 1.250 | 1.100 to 1.500 | 1.00 |")).toEqual({
      ...{ work: "SSIM", by: "transfer-limits", ours: true, milliseconds: 1.25, least: 1.1, most: 1.5 },
    });
    expect(timedRow("| SSIM | convolutions (CUDA out of memory) | not measured | | |")).toMatchObject({
      ...{ ours: false, milliseconds: null, reason: "CUDA out of memory" },
    });
    expect(timedRow("| MMD | not measured: no kernel image | | | |")).toMatchObject({ milliseconds: null });
  });

  it("of compute-sanitizer: its summary decides, and without one nothing is decided", async () => {
    const { verdict } = await part("sanitizer");
    expect(verdict(["ok", "========= ERROR SUMMARY: 0 errors"], false).right).toBe(true);
    expect(verdict(["========= ERROR SUMMARY: 12 errors"], false)).toEqual({
      right: false,
      detail: "ERROR SUMMARY: 12 errors",
    });
    const races = "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)";
    expect(verdict([races], false).right).toBe(false);
    expect(verdict(["killed"], true)).toEqual({ right: null, detail: "it took longer than its time" });
  });

  it("of Nsight Compute: launches of one kernel are added up, the costliest first", async () => {
    const { byTime } = await part("costliest-kernels");
    const launch = (name: string, time: string) => ({ "Kernel Name": name, "gpu__time_duration.sum": time });
    const rows = [launch("", "ns"), launch("gemm", "1,000"), launch("norm", "700"), launch("gemm", "500")];
    expect(byTime(rows)).toEqual([
      { name: "gemm", time: 1500, launches: 2 },
      { name: "norm", time: 700, launches: 1 },
    ]);
  });
});
