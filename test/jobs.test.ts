import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { encoderOf } from "../dist/models/specification.js";
import { setThreads } from "../dist/native/runtime.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { checkDevices, DevicePool } from "../dist/study/plan/devices.js";
import { baseBytes, peakBytes } from "../dist/study/plan/memory.js";
import { type PlannedCell, planStudy } from "../dist/study/plan/plan.js";
import { runStudy } from "../dist/study/run/run.js";
import { runSchedule } from "../dist/study/run/schedule.js";
import { killWorkers, readResults, tinyStudy, withoutCost, workers } from "./study-fixture.js";

const cell = (id: string, memoryBytes: number, cost = 1): PlannedCell => ({
  id,
  kind: "cell",
  task: "lesion-segmentation",
  strategy: "direct",
  model: "unet-3d",
  comparator: "specialised",
  seed: 1,
  dependsOn: [],
  trains: "everything",
  trainedBlocks: 0,
  keptDraws: null,
  layerDecay: 1,
  startsFrom: "random",
  network: { model: { family: "unet-3d", channels: 1, outputs: 1, features: 4, levels: 2 } },
  training: null,
  epochs: 1,
  cost,
  memoryBytes,
});

describe("devices of a study", () => {
  it("each get the next cell when they have the fewest", () => {
    const pool = new DevicePool(["cuda:0", "cuda:1"], () => null);
    const places = ["a", "b", "c", "d"].map((id) => pool.take(cell(id, 1)));
    expect(places).toEqual(["cuda:0", "cuda:1", "cuda:0", "cuda:1"]);
    pool.release("b");
    pool.release("d");
    expect([pool.take(cell("e", 1)), pool.take(cell("f", 1))]).toEqual(["cuda:1", "cuda:1"]);
  });

  it("take a cell beside others only where its memory fits, and elsewhere if it fits there", () => {
    const sizes: Record<string, number> = { "cuda:0": 100, "cuda:1": 30 };
    const pool = new DevicePool(["cuda:0", "cuda:1"], (device) => sizes[device] as number);
    expect(pool.take(cell("large", 60))).toBe("cuda:0");
    expect(pool.take(cell("small", 20))).toBe("cuda:1");
    expect(pool.take(cell("fits beside large", 30))).toBe("cuda:0");
    expect(pool.take(cell("fits nowhere", 10))).toBe(null);
    pool.release("large");
    expect(pool.take(cell("fits nowhere", 10))).toBe("cuda:0");
  });

  it("run a cell that is alone, however large it is said to be", () => {
    const pool = new DevicePool(["cpu"], () => 100);
    expect(pool.take(cell("huge", 1e15))).toBe("cpu");
    expect(pool.take(cell("tiny", 1))).toBe(null);
    pool.release("huge");
    expect(pool.take(cell("tiny", 1))).toBe("cpu");
  });

  it("heed what other programs have taken meanwhile", () => {
    let free = 100;
    const pool = new DevicePool(["cpu"], () => free);
    pool.take(cell("first", 20));
    free = 15;
    expect(pool.take(cell("second", 20))).toBe(null);
    free = 60;
    expect(pool.take(cell("second", 20))).toBe("cpu");
  });

  it("are refused when they are of two kinds, the same twice, none, or not there", () => {
    for (const devices of [
      ["cpu", "cuda:0"],
      ["cpu", "cpu"],
      ["cuda", "cuda:0"],
      [],
      ["gpu"],
      ["cuda:999"],
    ]) {
      expect(() => checkDevices(devices)).toThrow(expect.objectContaining({ code: "BAD_CONFIG" }));
    }
    expect(() => checkDevices(["cpu"])).not.toThrow();
  });
});

describe("handing out cells by memory", () => {
  it("lets shorter cells pass one that does not fit, and runs that one as soon as it does", async () => {
    const cells = [cell("longest", 60, 9), cell("second", 50, 8), cell("third", 20, 1)];
    const order: string[] = [];
    let memory = 0;
    let most = 0;
    await runSchedule(cells, {
      jobs: 3,
      done: new Set(),
      signal: new AbortController().signal,
      devices: new DevicePool(["cpu"], () => 100),
      run: async ({ id, memoryBytes }) => {
        order.push(id);
        memory += memoryBytes;
        most = Math.max(most, memory);
        await new Promise((resolve) => setTimeout(resolve, id === "third" ? 5 : 20));
        memory -= memoryBytes;
        return { kind: "done", metric: null, seconds: 0, nativeSeconds: 0 };
      },
      released: async () => ({ kind: "free" }),
      settled: async () => {},
    });
    expect(order).toEqual(["longest", "third", "second"]);
    expect(most).toBe(80);
  });
});

describe("the estimate of a cell's memory", () => {
  it("grows with what is trained, the size of the input and the batch", () => {
    const network = planStudy(
      studyOf({ models: [{ name: "profound", encoder: "profound-tiny", pretrain: {} }] }),
    ).cells.find(({ task, comparator }) => task === "lesion-segmentation" && comparator === "fine-tuned")
      ?.network as NonNullable<PlannedCell["network"]>;
    const voxels = 200 * 200 * 96;
    const all = { encoder: 1, head: true };
    const float32 = { precision: "float32", checkpointing: false } as const;
    const everything = peakBytes(network, voxels, 1, all, float32);
    const head = peakBytes(network, voxels, 1, { encoder: 0, head: true }, float32);
    expect(everything).toBeGreaterThan(head);
    expect(head).toBeGreaterThan(peakBytes(network, voxels, 1, { encoder: 0, head: false }, float32));
    expect(peakBytes(network, voxels, 2, all, float32)).toBeGreaterThan(everything);
    expect(peakBytes(network, voxels / 2, 1, all, float32)).toBeLessThan(everything);
    expect(everything).toBeGreaterThan(4e9);
    expect(everything).toBeLessThan(80e9);
  });

  const upernet = { kind: "upernet", outputs: 1, hidden: 128 } as const;
  // GB of a step on two volumes beyond the loaded network, on a CPU with AVX-512 and two threads, LibTorch 2.14.1:
  // node scripts/step-memory.mjs --batch 2 --size 64,96,96 --steps 2, and --encoder provicnet-small --size 16,224,224 with
  // the head conv1; then with --checkpointing, with --precision bfloat16, and with both.
  it.each([
    ["profound-tiny" as const, upernet, 64 * 96 * 96, [0.75, 0.49, 0.95, 0.59]],
    ["profound-tiny" as const, upernet, 96 * 144 * 144, [2.35, 1.47, 2.05, null]],
    [
      "provicnet-small" as const,
      { kind: "conv1", outputs: 1 } as const,
      16 * 224 * 224,
      [3.65, 1.16, 2.21, 1.11],
    ],
  ])(
    "follows what checkpointing and bfloat16 were measured to save: %s, %o, %i voxels",
    (name, head, voxels, measured) => {
      const network = { encoder: encoderOf(name), head };
      const estimates = [
        { precision: "float32", checkpointing: false } as const,
        { precision: "float32", checkpointing: true } as const,
        { precision: "bfloat16", checkpointing: false } as const,
        { precision: "bfloat16", checkpointing: true } as const,
      ].map((how) => (peakBytes(network, voxels, 2, { encoder: 1, head: true }, how) - baseBytes) / 1e9);
      for (const [index, found] of measured.entries()) {
        if (found === null) continue;
        const estimate = estimates[index] as number;
        expect(estimate).toBeGreaterThan(0.9 * found);
        expect(estimate).toBeLessThan(2.3 * found);
        const share = found / (measured[0] as number);
        expect(Math.abs(estimate / (estimates[0] as number) - share)).toBeLessThan(0.25);
      }
    },
  );

  it("takes nothing off for checkpointing where no block is computed twice", () => {
    const all = { encoder: 1, head: true };
    const model = {
      family: "unet-3d",
      channels: 1,
      outputs: 1,
      features: 8,
      levels: 3,
      depthScale: 1,
    } as const;
    const [kept, checkpointed] = [false, true].map((checkpointing) =>
      peakBytes({ model }, 64 ** 3, 1, all, { precision: "float32", checkpointing }),
    );
    expect(checkpointed).toBe(kept);
  });

  it("of a plan is that of the study's execution", () => {
    const memory = (execution: object) =>
      planStudy(studyOf({ execution })).cells.map(({ memoryBytes }) => memoryBytes);
    const before = memory({});
    const after = memory({ checkpointing: true });
    expect(after.every((bytes, index) => bytes <= (before[index] as number))).toBe(true);
    expect(after.some((bytes, index) => bytes < (before[index] as number))).toBe(true);
  });
});

const studyOf = (changes: Partial<Parameters<typeof tinyStudy>[2]> = {}) => {
  const result = resolveStudy(tinyStudy("/data", "out", changes), "/data");
  if ("faults" in result) throw new Error(JSON.stringify(result.faults));
  return result.study;
};

describe("cells side by side", () => {
  let folder: string;
  const study = (output: string) =>
    tinyStudy(folder, output, { tasks: ["lesion-segmentation"], comparators: ["fine-tuned", "specialised"] });
  /** What `results.json` says, but for times. */
  const numbers = async (output: string) =>
    JSON.stringify(withoutCost(await readResults(join(folder, output))));

  beforeAll(async () => {
    setThreads(1);
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-jobs-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
    expect((await runStudy(study("alone"), { jobs: 1 })).complete).toBe(true);
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("give the same results.json as one after the other", async () => {
    await runStudy(study("beside"), { jobs: 2, devices: ["cpu"] });
    expect(await numbers("beside")).toBe(await numbers("alone"));
  }, 300_000);

  it("lose one cell alone when its worker is killed from outside, and the next run repairs it", async () => {
    const victim = "unet-3d--lesion-segmentation--specialised--seed1";
    const results = await runStudy(study("killed"), {
      jobs: 2,
      onProgress: (event) => {
        if (event.kind === "cell-started" && event.cell.id === victim) killWorkers(victim);
      },
    });
    const states = Object.fromEntries(results.cells.map(({ id, status }) => [id, status]));
    expect(states).toEqual({
      "profound--lesion-segmentation--fine-tuned--seed1": "done",
      "mean-mask--lesion-segmentation--trivial": "done",
      [victim]: "failed",
    });
    expect(results.cells.find(({ id }) => id === victim)?.reason).toMatch(/was killed by SIGKILL/);
    expect(results.complete).toBe(false);

    const repaired = await runStudy(study("killed"), { jobs: 2 });
    expect(repaired.complete).toBe(true);
    expect(await numbers("killed")).toBe(await numbers("alone"));
  }, 300_000);

  it("lose nothing when processes die that wait for one", async () => {
    const results = await runStudy(study("waiting"), {
      jobs: 1,
      onProgress: (event) => {
        if (event.kind === "epoch") killWorkers("waiting for a cell");
      },
    });
    expect(results.complete).toBe(true);
    expect(await numbers("waiting")).toBe(await numbers("alone"));
  }, 300_000);

  it("find their process started while the one before still works, and the last leaves none behind", async () => {
    const processes = new Map<string, Set<number>>();
    await runStudy(study("ahead"), {
      jobs: 1,
      onProgress: (event) => {
        if (event.kind === "cell-started") processes.set(event.cell.id, new Set());
        if (event.kind === "epoch") processes.get(event.cell.id)?.add(workers().length);
      },
    });
    expect([...processes.values()].map((counts) => [...counts])).toEqual([[3], [3], [2], []]); // the last trains nothing
    await expect.poll(workers).toEqual([]);
    expect(await numbers("ahead")).toBe(await numbers("alone"));
  }, 300_000);
});
