import { execFileSync } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { alternate, type Work } from "../dist/bench/alternate.js";
import type { BenchResult, BenchSettings, Comparison } from "../dist/bench/case.js";
import { filled, hashFill as ownHashFill, parameter } from "../dist/bench/hash-fill.js";
import { PeerHost, PeerUnavailable } from "../dist/bench/peer-host.js";
import {
  agreementTable,
  type BenchReport,
  comparisonTable,
  fastestOfGroups,
  figureLines,
  floorSeconds,
  machineLines,
  markdownOf,
  notTimed,
} from "../dist/bench/report.js";
import { ratioOf, relativeError, sample, timingOf } from "../dist/bench/timing.js";
import { quantile } from "../dist/statistics/sample-statistics.js";
import { cli } from "./cli-fixture.js";
import { hashFill } from "./hash-fill.js";
import { parityParameter } from "./parity-inputs.js";

const pythonMissing = (() => {
  try {
    execFileSync("python3", ["--version"]);
    return false;
  } catch {
    return true;
  }
})();

describe("the summary of timed runs", () => {
  const values = [0.31, 0.12, 0.97, 0.45, 0.2, 0.66];

  it("has NumPy's quantiles", () => {
    // numpy.quantile(values, [0, 0.25, 0.5, 0.75, 0.9, 1])
    const expected = [0.12, 0.2275, 0.38, 0.6075, 0.815, 0.97];
    for (const [index, p] of [0, 0.25, 0.5, 0.75, 0.9, 1].entries())
      expect(quantile(values, p)).toBeCloseTo(expected[index], 12);
    expect(timingOf(values)).toMatchObject({ seconds: values, median: 0.38, minimum: 0.12 });
    expect(quantile([7], 0.25)).toBe(7);
  });

  it("refuses no values, values that are not numbers, and shares outside of [0, 1]", () => {
    expect(() => quantile([], 0.5)).toThrow(/at least one number/);
    expect(() => quantile([1, Number.NaN], 0.5)).toThrow(/a finite number/);
    expect(() => quantile([1], 1.5)).toThrow(/in \[0, 1\]/);
  });

  it("takes the ratio of medians: one disturbed run does not move it", () => {
    expect(ratioOf(timingOf([1, 1, 50]), timingOf([3, 3, 3]))).toBe(3);
  });

  it("gives relative errors in L2, and no number where answers cannot be compared", () => {
    expect(relativeError([3, 4.5], [3, 4])).toBeCloseTo(0.1, 12);
    expect(relativeError([1, 2], [1])).toBeNaN();
    expect(relativeError([], [])).toBeNaN();
    expect(relativeError([1, Number.NaN], [1, 2])).toBeNaN();
  });

  it("samples evenly, and keeps what is short", () => {
    expect(sample([5, 6, 7], 4)).toEqual([5, 6, 7]);
    expect(
      sample(
        Float32Array.from({ length: 10 }, (_, i) => i),
        4,
      ),
    ).toEqual([0, 2, 5, 7]);
  });
});

describe("the hash that fills both sides", () => {
  it("is the one of the golden numbers", () => {
    expect(ownHashFill("inputA[2, 3]", 1000)).toEqual(hashFill("inputA[2, 3]", 1000));
    for (const [name, shape] of [
      ["stages.0.0.dwconv.weight", [4, 1, 7, 7, 7]],
      ["stages.0.0.grn.gamma", [1, 1, 1, 1, 16]],
      ["backbone.blocks.0.ls1.gamma", [24]],
      ["norm.weight", [16]],
      ["norm.bias", [16]],
      ["backbone.cls_token", [1, 1, 24]],
    ] as const)
      expect(parameter(name, shape)).toEqual(parityParameter(name, [...shape]));
  });
});

describe("the report", () => {
  const timing = (...milliseconds: number[]) => timingOf(milliseconds.map((value) => value / 1000));
  const comparison = (peer: string, group: string, changes: Partial<Comparison> = {}): Comparison => ({
    peer,
    group,
    timing: null,
    ratio: null,
    atLeast: null,
    difference: null,
    error: null,
    ...changes,
  });
  const result: BenchResult = {
    name: "step",
    title: "a | step",
    ours: timing(100, 110, 400),
    comparisons: [
      comparison("eager, contiguous", "eager", {
        timing: timing(330, 340, 350),
        ratio: 340 / 110,
        atLeast: 3,
      }),
      comparison("eager, channels-last", "eager", {
        timing: timing(220, 225, 230),
        ratio: 225 / 110,
        atLeast: 3,
        difference: 1.25e-6,
        error: 2e-6,
      }),
      comparison("KeOps", "KeOps", { unavailable: "No module named 'pykeops'; install it" }),
    ],
    figures: [{ what: "memory beyond the inputs", value: 61.25, unit: "MB", target: "under 64 MB" }],
    error: 4e-7,
    tolerance: 1e-6,
    floor: { operations: 3e9, bytes: 1e6 },
    versions: { torch: "2.14.1" },
  };
  const report: BenchReport = {
    format: "transfer-limits/bench@1",
    date: "2026-01-02T03:04:05.000Z",
    runs: 3,
    quick: false,
    machine: {
      processor: "a processor",
      cores: 2,
      memoryBytes: 24e9,
      device: "cpu",
      threads: 2,
      loadBefore: 0.2,
      loadAfter: 2,
      versions: { node: "20.17.0" },
      rates: { operationsPerSecond: 1e11, bytesPerSecond: 1e10 },
    },
    peers: { torch: "2.14.1" },
    results: [result],
  };

  it("counts the fastest peer of each group, and shows a group without any", () => {
    expect(fastestOfGroups(result.comparisons).map(({ peer }) => peer)).toEqual([
      "eager, channels-last",
      "KeOps",
    ]);
    expect(comparisonTable(report).rows).toEqual([
      [
        "a | step",
        "110",
        "100",
        "105–255",
        "eager, channels-last",
        "225",
        "220",
        "223–228",
        "2.05x",
        "3x",
        "30.0",
      ],
      ["a | step", "110", "100", "105–255", "KeOps", "–", "–", "–", "–", "–", "30.0"],
    ]);
  });

  it("takes the floor from arithmetic or from memory, whichever is longer", () => {
    const { rates } = report.machine;
    expect(floorSeconds({ operations: 3e9, bytes: 1e6 }, rates)).toBeCloseTo(0.03, 12);
    expect(floorSeconds({ operations: 3e9, bytes: 1e9 }, rates)).toBeCloseTo(0.1, 12);
  });

  it("shows agreement, what is missing and why, numbers beside the times, and the machine", () => {
    expect(agreementTable(report).rows).toEqual([
      ["a | step", "eager, channels-last", "225", "220", "223–228", "1.3e-6", "2.0e-6", "4.0e-7", "1.0e-6"],
    ]);
    expect(notTimed(report)).toEqual(["a | step, KeOps: No module named 'pykeops'; install it"]);
    expect(figureLines(report)).toEqual(["a | step: 61.3 MB memory beyond the inputs (under 64 MB)"]);
    expect(machineLines(report).join("\n")).toMatch(
      /a processor, 2 cores, 24 GB[\s\S]*100 GFLOP\/s[\s\S]*10\.0 GB\/s/,
    );
    expect(machineLines(report).join("\n")).not.toMatch(/not quiet/);
    const busy = { ...report, machine: { ...report.machine, loadBefore: 3 } };
    expect(machineLines(busy).join("\n")).toMatch(/not quiet/);
  });

  it("writes Markdown whose every row has as many cells as its heading", () => {
    const markdown = markdownOf(report);
    const lines = markdown.split("\n").filter((line) => line.startsWith("|"));
    const cells = lines.map((line) => line.replaceAll("\\|", "").split("|").length - 2);
    expect(cells).toEqual([11, 11, 11, 11, 9, 9, 9]);
    expect(markdown).toContain("a \\| step");
    expect(markdown).toContain("- a | step: 61.3 MB");
  });
});

describe("the command", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-bench-test-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("times what is named, without peers, and writes the table", async () => {
    const out = join(folder, "bench.md");
    const { status, stdout, stderr } = await cli(
      ...["bench", "ssim-value", "reading", "convnext-step"],
      ...["--quick", "--runs", "3", "--no-peers", "--threads", "1", "--json", "--out", out],
    );
    expect(status, stderr).toBe(0);
    const report = JSON.parse(stdout) as BenchReport;
    expect(report.results.map(({ name }) => name)).toEqual(["convnext-step", "ssim-value", "reading"]);
    for (const { ours, comparisons, floor } of report.results) {
      expect(ours?.seconds).toHaveLength(3);
      expect(ours?.minimum).toBeGreaterThan(0);
      for (const { timing, unavailable } of comparisons) {
        expect(timing).toBeNull();
        expect(unavailable).toContain("--no-peers");
      }
      expect(floor?.bytes).toBeGreaterThan(0);
    }
    expect(report.machine.threads).toBe(1);
    expect(report.machine.rates.operationsPerSecond).toBeGreaterThan(1e8);
    expect(await readFile(out, "utf8")).toContain("| SSIM, 14x20x18, value |");
  });

  it("lists what can be timed, and refuses another name with exit status 2", async () => {
    const { stdout } = await cli("bench", "--list", "--json");
    const names = (JSON.parse(stdout) as { name: string; onDemand: boolean }[]).map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(["mmd", "depthwise", "ssim", "convnext-step", "reading", "frozen"]),
    );
    expect(new Set(names).size).toBe(names.length);
    const refused = await cli("bench", "mdm", "--no-peers");
    expect(refused.status).toBe(2);
    expect(refused.stderr).toMatch(/BAD_CONFIG.*mmd.*"mdm"/s);
  });
});

describe.skipIf(pythonMissing)("a peer (needs python3)", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-peer-test-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const settings = (host: PeerHost | null): BenchSettings => ({
    runs: 3,
    threads: 1,
    device: "cpu",
    quick: true,
    peers: host,
    folder,
    say: () => {},
  });
  const script = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, `#!/bin/sh\n${text}\n`);
    await chmod(path, 0o755);
    return path;
  };
  const count = 1000;
  const squares = ((count - 1) * count * (2 * count - 1)) / 6;

  it("stays alive, runs when asked, and its answer and reference are compared with ours", async () => {
    const events: string[] = [];
    const ours = async (): Promise<Work> => ({
      run: async () => {
        events.push("ours");
      },
      answer: async () => [squares * 1.5],
      [Symbol.dispose]: () => {
        events.push("disposed");
      },
    });
    const result = await alternate(
      {
        name: "echo",
        title: "sum of squares",
        work: "echo",
        options: { count },
        ours,
        peers: [{ peer: "python", group: "python", atLeast: 2 }],
        floor: null,
      },
      settings(new PeerHost("python3", 1)),
    );
    const [peer] = result.comparisons;
    expect(peer.unavailable).toBeUndefined();
    expect(peer.timing?.seconds).toHaveLength(3);
    expect(peer.timing?.minimum).toBeGreaterThan(0);
    expect(peer.difference).toBeCloseTo(0.5, 12);
    expect(peer.error).toBe(0);
    expect(result.error).toBeCloseTo(0.5, 12);
    expect(peer.ratio).toBeCloseTo((peer.timing?.median ?? 0) / (result.ours?.median ?? 0), 9);
    expect(events).toEqual(["ours", "ours", "ours", "ours", "disposed"]); // one untimed
    expect(result.versions.python).toMatch(/^3\./);
  });

  it("runs once untimed in each of its turns, as we do, where such runs follow one another", async () => {
    let runs = 0;
    const ours = async (): Promise<Work> => ({
      run: async () => {
        runs += 1;
        if (runs > 1 && runs % 2 === 1) await new Promise((resolve) => setTimeout(resolve, 50)); // a turn's second
      },
      answer: async () => [squares],
      [Symbol.dispose]: () => {},
    });
    const result = await alternate(
      {
        ...{ name: "echo", title: "sum of squares", work: "echo", options: { count }, ours, floor: null },
        peers: [{ peer: "python", group: "python" }],
        inARow: true,
      },
      settings(new PeerHost("python3", 1)),
    );
    expect(runs).toBe(1 + 2 * 3);
    expect(result.ours?.minimum).toBeGreaterThan(0.04);
    expect(result.comparisons[0]?.timing?.seconds).toHaveLength(3);
  });

  it("answers many requests in one process", async () => {
    await using process = new PeerHost("python3", 1).open();
    for (const size of [10, 20, 30]) {
      await process.prepare("echo", "python", { count: size, threads: 1 });
      expect(await process.run("python")).toBeGreaterThan(0);
      const expected = ((size - 1) * size * (2 * size - 1)) / 6;
      expect(await process.answer("python")).toEqual([expected]);
      expect(await process.reference("echo", { count: size, threads: 1 })).toEqual([expected]);
    }
    await expect(process.run("another")).rejects.toThrow(/KeyError/);
  });

  it("that lacks a module is shown with the reason and the remedy, and the rest goes on", async () => {
    // Without site-packages no Python has torch.
    const bare = await script("bare-python", 'unset PYTHONPATH; exec python3 -S "$@"');
    const { status, stdout } = await cli(
      "bench",
      "ssim-value",
      "--quick",
      "--runs",
      "1",
      "--peers",
      bare,
      "--json",
    );
    expect(status).toBe(0);
    const [result] = (JSON.parse(stdout) as BenchReport).results;
    expect(result.ours?.seconds).toHaveLength(1);
    for (const { timing, unavailable } of result.comparisons) {
      expect(timing).toBeNull();
      expect(unavailable).toMatch(/No module named '(torch|numpy)'; install it: .*requirements\.txt/);
    }
  });

  it("whose Python is not there, whose process ends, or which does not answer is shown with the reason", async () => {
    await using absent = new PeerHost(join(folder, "nowhere"), 1).open();
    await expect(absent.prepare("echo", "python", {})).rejects.toThrow(/nowhere was not found.*--peers/s);
    const dying = await script("dying", "read line; echo 'out of luck' >&2; exit 3");
    await using ended = new PeerHost(dying, 1).open();
    await expect(ended.prepare("echo", "python", {})).rejects.toThrow(/ended \(exit status 3\): out of luck/);
    await expect(ended.run("python")).rejects.toBeInstanceOf(PeerUnavailable);
    const silent = await script("silent", "exec sleep 600");
    await using sleeper = new PeerHost(silent, 1, 200).open();
    await expect(sleeper.prepare("echo", "python", {})).rejects.toThrow(
      /given up: .* longer than 0\.2 seconds/,
    );
    const babbling = await script("babbling", "read line; echo 'hello'; read line");
    await using babbler = new PeerHost(babbling, 1).open();
    await expect(babbler.prepare("echo", "python", {})).rejects.toThrow(/answer is not sound/);
  });

  it("fills inputs and weights with the numbers that our side has (needs NumPy)", ({ skip }) => {
    const program = `
import sys, json
sys.path.insert(0, ${JSON.stringify(join(import.meta.dirname, "..", "bench", "peers"))})
try:
    from hash_fill import filled, parameter
except ModuleNotFoundError:
    print("null")
else:
    print(json.dumps([filled("a.b", (2, 3, 50), 2.0).ravel().tolist(), parameter("x.ls1.gamma", (40,)).tolist(),
                      parameter("x.conv.weight", (3, 2, 7)).ravel().tolist()]))
`;
    const found = JSON.parse(execFileSync("python3", ["-c", program], { encoding: "utf8" })) as
      | number[][]
      | null;
    if (found === null) return skip();
    expect(found[0]).toEqual([...filled("a.b", [2, 3, 50], 2)]);
    expect(found[1]).toEqual([...parameter("x.ls1.gamma", [40])]);
    expect(found[2]).toEqual([...parameter("x.conv.weight", [3, 2, 7])]);
  });
});
