import { spawnSync } from "node:child_process";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "./temporary-folder.js";

type Fields = Record<string, unknown>;

const module = (name: string) => import(new URL(`../scripts/gpu-visit/${name}.mjs`, import.meta.url).href);

/** A visit to a GPU whose programs are these shell scripts, and its records. */
async function visitWith(programs: Record<string, string>, settings: Fields = {}) {
  const { Visit } = await module("visit");
  const out = await temporaryFolder();
  const tools: Record<string, string> = {};
  for (const [name, script] of Object.entries(programs)) {
    tools[name] = join(out, `program-${name}`);
    await writeFile(tools[name], `#!/bin/bash\n${script}\n`);
    await chmod(tools[name], 0o755);
  }
  const visit = new Visit({
    ...{ root: out, out, device: "cuda:0", small: false, started: Date.now(), budget: 60, tools },
    ...settings,
  });
  const records = async (): Promise<Fields[]> => {
    const text = await readFile(join(out, "results.jsonl"), "utf8");
    return text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Fields);
  };
  return { visit, records, out };
}

const of = (records: Fields[], kind: string) => records.filter((record) => record.kind === kind);

describe("a part of a visit", () => {
  it("is ended when its time is over, with everything that its programs started, and what it records later is dropped", async () => {
    const { visit, records, out } = await visitWith({ slow: 'sleep 100 & echo "$!"; wait' });
    let child = "";
    let goOn = (): void => {};
    const released = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    await visit.runPart({
      ...{ name: "slow", seconds: 2 },
      run: async (part: {
        run: (...all: unknown[]) => Promise<Fields>;
        record: (...all: unknown[]) => void;
      }) => {
        const { late, lines } = await part.run(visit.tools.slow, []);
        child = String((lines as string[])[0]);
        part.record("fact", { what: "late", value: String(late) });
        await released;
        part.record("fact", { what: "too late", value: "dropped" });
      },
    });
    // Nobody waited for what the part still does.
    expect(of(await records(), "end")).toMatchObject([{ part: "slow", outcome: "timed out" }]);
    // While its second is not over, what came of it can still be recorded.
    expect(of(await records(), "fact")).toMatchObject([{ what: "late", value: "true" }]);
    // Gone, or ended without anyone who asks for it.
    expect(spawnSync("ps", ["-o", "stat=", "-p", child], { encoding: "utf8" }).stdout.trim()).toMatch(
      /^(Z.*)?$/,
    );
    goOn();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await readFile(join(out, "results.jsonl"), "utf8")).not.toContain("dropped");
  });

  it("says of a program that failed what it said of an error, not where", async () => {
    const { reasonOf } = await module("visit");
    const errors = [
      "throw new Error(",
      "TypeError: x is not a function",
      "    at call (load.js:173:27)",
      "Node.js v20",
    ];
    expect(reasonOf({ status: 1, late: false, lines: [], errors })).toMatch(
      /^exit status 1: .*TypeError: x is not a function$/,
    );
    expect(reasonOf({ status: 3, late: false, lines: ["so long"], errors: [] })).toBe(
      "exit status 3: so long",
    );
    expect(reasonOf({ status: null, late: true, lines: [], errors: [] })).toBe(
      "it took longer than its time",
    );
  });

  it("that fails is recorded with its reason, and the next one runs", async () => {
    const { visit, records } = await visitWith({});
    await visit.runPart({ name: "one", seconds: 5, run: () => Promise.reject(new Error("it broke")) });
    await visit.runPart({ name: "two", seconds: 5, run: () => Promise.resolve() });
    expect(of(await records(), "end")).toMatchObject([
      { part: "one", outcome: "failed", reason: "it broke" },
      { part: "two", outcome: "done" },
    ]);
  });

  it("is not begun where its program is not there, or no time is left", async () => {
    const { visit, records } = await visitWith({}, { budget: 3 });
    const { sanitizer } = await module("parts/sanitizer");
    await visit.runPart({ ...sanitizer, leastSeconds: 0 });
    await visit.runPart({ name: "next", seconds: 5, run: () => Promise.resolve() });
    expect(of(await records(), "end").map(({ reason }) => reason)).toEqual([
      "not there: compute-sanitizer, kernel_checks",
      "no time was left",
    ]);
  });
});

describe("the kernel checks of a visit", () => {
  it("are right where all comparisons are, wrong where one failed or the program did, and open where there was none", async () => {
    const { visit, records } = await visitWith({
      kernel_checks: `
case "$2" in
  "") printf 'good\\nwrong\\ncrash\\nsilent\\nlate\\nlate-and-wrong\\n' ;;
  good) echo "ok     SSIM, value    12 comparisons, relative error 1.0e-15 of at most 1.0e-13" ;;
  wrong) echo "ok     MMD            1 comparisons"; echo "FAILED MMD, bfloat16  2 comparisons, relative error 0.5"; exit 1 ;;
  crash) echo "ok     GRN    1 comparisons"; kill -SEGV $$ ;;
  silent) exit 0 ;;
  late) echo "ok     U-Net, float32    1 comparisons"; sleep 30 ;;
  late-and-wrong) echo "FAILED U-Net, float32    1 comparisons"; sleep 30 ;;
esac`,
    });
    const { kernelChecks } = await module("parts/kernel-checks");
    await visit.runPart({ ...kernelChecks, seconds: 6 });
    const judged = new Map(
      of(await records(), "judged").map(({ what, right, detail }) => [what, { right, detail }]),
    );
    expect(judged.get("good")).toEqual({ right: true, detail: "1 kinds of comparisons" });
    expect(judged.get("wrong")).toMatchObject({
      right: false,
      detail: [expect.stringContaining("MMD, bfloat16"), expect.any(String)],
    });
    expect(judged.get("crash")).toMatchObject({ right: false });
    // A check that compares nothing has not passed, nor failed; nor has one that was cut short, unless something was wrong.
    expect(judged.get("silent")).toEqual({ right: null, detail: ["it compared nothing"] });
    expect(judged.get("late")).toMatchObject({ right: null });
    expect(judged.get("late-and-wrong")).toMatchObject({
      right: false,
      detail: [expect.stringContaining("U-Net, float32"), expect.any(String)],
    });
  });
});

describe("compute-sanitizer", () => {
  it("runs each check under both tools, without the allocator's cache, but for recording", async () => {
    const { visit, records } = await visitWith({
      kernel_checks: "printf 'mmd\\nssim\\nstep_recorder\\n'",
      "compute-sanitizer": `
[ "$PYTORCH_NO_CUDA_MEMORY_CACHING" = 1 ] || exit 7
case "$2 $5" in
  "racecheck ssim") echo "========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)" ;;
  "racecheck "*) echo "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)" ;;
  "memcheck "*) echo "========= ERROR SUMMARY: 0 errors" ;;
esac`,
    });
    const { sanitizer } = await module("parts/sanitizer");
    await visit.runPart(sanitizer);
    const judged = of(await records(), "judged").map(({ what, right }) => [what, right]);
    expect(judged.sort()).toEqual([
      ["memcheck, mmd", true],
      ["memcheck, ssim", true],
      ["racecheck, mmd", true],
      ["racecheck, ssim", false],
    ]);
  });
});

describe("Nsight Compute", () => {
  it("looks at the three costliest kernels of a step, each in the middle of its launches", async () => {
    const { visit, records, out } = await visitWith({
      ncu: `
echo "==PROF== Connected to process 1"
echo "$*" >> "$(dirname "$0")/asked"
case "$*" in
  *gpu__time_duration*)
    echo '"ID","Kernel Name","gpu__time_duration.sum"'
    echo '"","","ns"'
    for launch in 1 2 3; do echo '"1","gemm<a, b>","3,000"'; done
    echo '"2","depthwise_forward","5,000"'
    echo '"3","norm","2,000"'
    echo '"4","copy","1,000"' ;;
  *)
    echo '"ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"'
    echo '"0","x","GPU Speed Of Light Throughput","Duration","us","3.10"'
    echo '"0","x","GPU Speed Of Light Throughput","Compute (SM) Throughput","%","81.20"'
    echo '"0","x","Occupancy","Block Limit SM","block","32"' ;;
esac`,
    });
    const { costliestKernels } = await module("parts/costliest-kernels");
    await visit.runPart(costliestKernels);
    const metrics = { Duration: "3.10 us", "Compute (SM) Throughput": "81.20 %" };
    expect(of(await records(), "kernel")).toMatchObject([
      { what: "gemm<a, b>", share: 9 / 17, launches: 3, metrics },
      { what: "depthwise_forward", share: 5 / 17, launches: 1, metrics },
      { what: "norm", share: 2 / 17, launches: 1, metrics },
    ]);
    const asked = (await readFile(join(out, "asked"), "utf8")).trim().split("\n");
    expect(asked.length).toBe(4);
    expect(asked[1]).toContain("--kernel-name regex:^gemm<a, b>$ --launch-skip 1 --launch-count 1");
  });

  it("that may not count is a part that failed, with what it said", async () => {
    const words =
      "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU Performance Counters";
    const { visit, records } = await visitWith({ ncu: `echo "${words}"; exit 1` });
    const { costliestKernels } = await module("parts/costliest-kernels");
    await visit.runPart(costliestKernels);
    expect(of(await records(), "end")).toMatchObject([
      { outcome: "failed", reason: expect.stringContaining("ERR_NVGPUCTRPERM") },
    ]);
  });
});
