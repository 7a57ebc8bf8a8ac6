import { describe, expect, it } from "vitest";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { Study, StudyInput } from "../dist/study/config/schema.js";
import { DevicePool } from "../dist/study/plan/devices.js";
import { type PlannedCell, planStudy } from "../dist/study/plan/plan.js";
import { planWarnings } from "../dist/study/plan/plan-warnings.js";
import { type Outcome, runSchedule, type Schedule } from "../dist/study/run/schedule.js";

const studyOf = (changes: Partial<StudyInput> = {}): Study => {
  const input: StudyInput = {
    name: "small",
    cohort: { manifest: "manifest.csv", voxels: [32, 32, 16] },
    split: { train: 4, validation: 1, test: 1 },
    models: [{ name: "profound", encoder: "profound-demo", pretrain: {} }],
    ...changes,
  };
  const result = resolveStudy(input, "/data");
  if ("faults" in result) throw new Error(JSON.stringify(result.faults));
  return result.study;
};

const cell = (id: string, cost: number, dependsOn: string[] = []): PlannedCell => ({
  ...(planStudy(studyOf()).cells[0] as PlannedCell),
  id,
  cost,
  dependsOn,
});

describe("the plan of a study", () => {
  it("lists pretraining once a model, then seed, task, model and comparator, the specialised model once a task, and what takes no network at the end", () => {
    const study = studyOf({
      seeds: [1, 7],
      tasks: ["super-resolution", "lesion-segmentation"],
      models: [
        { name: "one", encoder: "profound-demo", pretrain: {} },
        { name: "two", encoder: "profound-demo", weights: "two.safetensors" },
      ],
      comparators: ["specialised", "random-weights", "fine-tuned"],
    });
    const ofSeed = (seed: number) =>
      ["super-resolution", "lesion-segmentation"].flatMap((task) => [
        ...["one", "two"].flatMap((model) =>
          ["fine-tuned", "random-weights"].map(
            (comparator) => `${model}--${task}--${comparator}--seed${seed}`,
          ),
        ),
        `${task === "super-resolution" ? "transunet-3d" : "unet-3d"}--${task}--specialised--seed${seed}`,
      ]);
    expect(planStudy(study).cells.map(({ id }) => id)).toEqual([
      "one--pretraining",
      ...ofSeed(1),
      ...ofSeed(7),
      "interpolation--super-resolution--trivial",
      "mean-mask--lesion-segmentation--trivial",
    ]);
  });

  it("has every foundation model's cells once a strategy, and the specialised one once, learnt the task's own way", () => {
    const plan = planStudy(
      studyOf({
        tasks: [
          {
            kind: "super-resolution",
            strategies: ["diffusion", "direct"],
            diffusion: { training: { epochs: 9 } },
          },
          { kind: "distortion-correction", strategies: ["diffusion"] },
          "modality-translation",
        ],
        comparators: ["fine-tuned", "specialised"],
      }),
    );
    const rows = plan.cells.slice(1).map(({ id, strategy, epochs }) => [id, strategy, epochs]);
    expect(rows).toEqual([
      ["profound--super-resolution--fine-tuned--seed1", "direct", 100],
      ["profound--super-resolution--diffusion--fine-tuned--seed1", "diffusion", 9],
      ["transunet-3d--super-resolution--specialised--seed1", "direct", 100],
      ["profound--distortion-correction--diffusion--fine-tuned--seed1", "diffusion", 100],
      ["vit-3d--distortion-correction--specialised--seed1", "direct", 100],
      ["profound--modality-translation--fine-tuned--seed1", "diffusion", 100],
      ["diffusion-unet-3d--modality-translation--specialised--seed1", "diffusion", 100],
      ["interpolation--super-resolution--trivial", "direct", 0],
      ["input--distortion-correction--trivial", "direct", 0],
      ["intensity-map--modality-translation--trivial", "diffusion", 0],
    ]);
    expect(plan.cells[0]).toMatchObject({ kind: "pretraining", strategy: null });
  });

  it("gives diffusion the denoiser, of intensity bins, at full depth, and counts what sampling costs", () => {
    const cells = (samplingSteps: number) =>
      planStudy(
        studyOf({
          tasks: [
            { kind: "super-resolution", strategies: ["direct", "diffusion"], diffusion: { samplingSteps } },
          ],
          comparators: ["from-scratch"],
        }),
      ).cells;
    const [direct, diffusion] = cells(50);
    expect(direct.network).toMatchObject({ head: { kind: "subpixel" } });
    expect(diffusion.network).toMatchObject({
      head: { kind: "unetr" },
      output: { bins: 32, low: -4, high: 4 },
    });
    expect(diffusion.cost).toBeGreaterThan(cells(10)[1].cost);
    expect(diffusion.memoryBytes).not.toBe(direct.memoryBytes);
  });

  it("says what each comparator trains, from where it starts and what it waits for", () => {
    const rows = planStudy(studyOf({ tasks: ["lesion-segmentation"] })).cells.map(
      ({ comparator, trains, startsFrom, dependsOn, epochs }) => [
        comparator,
        trains,
        startsFrom,
        dependsOn,
        epochs,
      ],
    );
    expect(rows).toEqual([
      [null, "everything", "random", [], 100],
      ["fine-tuned", "everything", "pretrained", ["profound--pretraining"], 100],
      ["pretrained", "head", "pretrained", ["profound--pretraining"], 100],
      ["random-weights", "head", "random", [], 100],
      ["from-scratch", "everything", "random", [], 100],
      ["specialised", "everything", "random", [], 100],
      ["trivial", "nothing", "nothing", [], 0],
    ]);
  });

  it("leaves heads as drawn where the study says so", () => {
    const study = studyOf({ tasks: ["lesion-segmentation"], untrainedHead: "random" });
    for (const cell of planStudy(study).cells) {
      if (cell.comparator !== "pretrained" && cell.comparator !== "random-weights") continue;
      expect(cell).toMatchObject({ trains: "nothing", epochs: 0, keptDraws: null });
    }
  });

  it("trains heads alone on a frozen encoder, and says that fine-tuned and pretrained are then the same", () => {
    const frozen = { name: "profound", encoder: "profound-demo", pretrain: {}, finetune: "frozen" } as const;
    const study = studyOf({ tasks: ["lesion-segmentation"], models: [frozen] });
    const same = /fine-tuned and pretrained are one and the same training of profound/;
    const warningsOf = (of: Study) => planWarnings(of, planStudy(of), 1);
    expect(warningsOf(study)).toContainEqual(expect.stringMatching(same));
    expect(warningsOf({ ...study, untrainedHead: "random" }).join()).not.toMatch(same);
    expect(warningsOf(studyOf()).join()).not.toMatch(same);
    const trains = Object.fromEntries(
      planStudy(study).cells.map(({ comparator, trains }) => [comparator, trains]),
    );
    expect(trains).toMatchObject({
      "fine-tuned": "head",
      pretrained: "head",
      "random-weights": "head",
      "from-scratch": "everything",
    });
  });

  it("pretrains nothing that no comparator starts from", () => {
    const { cells } = planStudy(studyOf({ comparators: ["from-scratch"] }));
    expect(cells.every(({ kind }) => kind === "cell")).toBe(true);
  });

  it("gives each task the head that answers it", () => {
    const study = studyOf({
      tasks: ["pirads-classification", "lesion-segmentation", "super-resolution"],
      comparators: ["from-scratch", "specialised"],
    });
    const heads = planStudy(study).cells.flatMap(({ network }) =>
      network === null ? [] : ["model" in network ? network.model : network.head],
    );
    expect(heads).toEqual([
      { kind: "classifier", bottleneck: 256, classes: 4 },
      { family: "resnet-3d", features: 64, blocks: [3, 4, 6, 3], channels: 1, classes: 4 },
      { kind: "upernet", hidden: 512, auxiliary: 256, outputs: 1 },
      { family: "unet-3d", features: 32, levels: 5, channels: 2, outputs: 1, depthScale: 1 },
      { kind: "subpixel", featureSize: 16, outputs: 1 },
      {
        family: "transunet-3d",
        features: 48,
        levels: 5,
        depth: 12,
        heads: 12,
        channels: 1,
        outputs: 1,
        depthScale: 2,
      },
    ]);
  });
});

describe("handing out cells", () => {
  const run = async (
    cells: PlannedCell[],
    jobs: number,
    outcomeOf: (cell: PlannedCell) => Outcome = () => ({
      kind: "done",
      metric: null,
      seconds: 0,
      nativeSeconds: 0,
    }),
    signal = new AbortController().signal,
    releasedAs: (cell: PlannedCell) => Awaited<ReturnType<Schedule["released"]>> = () => ({ kind: "free" }),
  ) => {
    const order: string[] = [];
    const waited: string[] = [];
    const outcomes = new Map<string, Outcome>();
    let running = 0;
    let most = 0;
    await runSchedule(cells, {
      jobs,
      done: new Set(),
      signal,
      devices: new DevicePool(["cpu"], () => null),
      run: async (cell) => {
        order.push(cell.id);
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running--;
        return outcomeOf(cell);
      },
      released: async (cell, _, over) => {
        waited.push(cell.id);
        await new Promise((resolve) => setTimeout(resolve, 30));
        return over.aborted ? { kind: "stopped" } : releasedAs(cell);
      },
      settled: async (cell, outcome) => void outcomes.set(cell.id, outcome),
    });
    return { order, outcomes, most, waited };
  };

  it("starts with the longest, counting what waits for it", async () => {
    const cells = [cell("small", 1), cell("large", 5), cell("first", 1, []), cell("after", 6, ["first"])];
    const { order } = await run(cells, 1);
    expect(order).toEqual(["first", "after", "large", "small"]);
  });

  it("runs as many at once as there are jobs, and no more", async () => {
    const cells = Array.from({ length: 7 }, (_, index) => cell(`cell-${index}`, 1));
    expect((await run(cells, 3)).most).toBe(3);
  });

  it("fails what depends on a failed cell, with its reason, and runs the rest", async () => {
    const cells = [cell("a", 1), cell("b", 1, ["a"]), cell("c", 1, ["b"]), cell("d", 1)];
    const { order, outcomes } = await run(cells, 2, ({ id }) =>
      id === "a"
        ? { kind: "failed", code: "BAD_INPUT", reason: "no luck" }
        : { kind: "done", metric: null, seconds: 0, nativeSeconds: 0 },
    );
    expect(order.sort()).toEqual(["a", "d"]);
    expect(outcomes.get("c")).toMatchObject({ kind: "failed", reason: expect.stringContaining("no luck") });
    expect(outcomes.get("d")).toMatchObject({ kind: "done" });
  });

  it("waits for a cell that another process works on while others run in its place, and picks up its result", async () => {
    const cells = [cell("away", 9), cell("after", 1, ["away"]), cell("other", 1)];
    const done = { kind: "done", metric: null, seconds: 0, nativeSeconds: 0 } as const;
    const { order, outcomes, most, waited } = await run(
      cells,
      1,
      ({ id }) => (id === "away" ? { kind: "elsewhere", holder: "Process 7" } : done),
      undefined,
      () => done,
    );
    expect(order).toEqual(["away", "other", "after"]);
    expect(waited).toEqual(["away"]);
    expect(most).toBe(1);
    expect([...outcomes].map(([id, { kind }]) => [id, kind])).toEqual([
      ["other", "done"],
      ["away", "done"],
      ["after", "done"],
    ]);
  });

  it("hands out again a cell that another process gave back unfinished, and fails what that one failed", async () => {
    let tries = 0;
    const cells = [cell("a", 2), cell("b", 1), cell("c", 1, ["b"])];
    const { order, outcomes } = await run(
      cells,
      2,
      ({ id }) =>
        id === "b" || tries++ === 0
          ? { kind: "elsewhere", holder: "Process 7" }
          : { kind: "done", metric: null, seconds: 0, nativeSeconds: 0 },
      undefined,
      ({ id }) => (id === "a" ? { kind: "free" } : { kind: "failed", code: "BAD_INPUT", reason: "no luck" }),
    );
    expect(order).toEqual(["a", "b", "a"]);
    expect(outcomes.get("a")).toMatchObject({ kind: "done" });
    expect(outcomes.get("c")).toMatchObject({ kind: "failed", reason: expect.stringContaining("no luck") });
  });

  it("starts nothing more once it is aborted", async () => {
    const controller = new AbortController();
    const cells = Array.from({ length: 5 }, (_, index) => cell(`cell-${index}`, 1));
    const { order } = await run(
      cells,
      2,
      () => {
        controller.abort();
        return { kind: "stopped" };
      },
      controller.signal,
    );
    expect(order).toHaveLength(2);
  });
});

describe("writing down what became of cells", () => {
  const done: Outcome = { kind: "done", metric: null, seconds: 0, nativeSeconds: 0 };
  const schedule = (run: Schedule["run"], settled: Schedule["settled"]): Schedule => ({
    jobs: 1,
    done: new Set(),
    signal: new AbortController().signal,
    devices: new DevicePool(["cpu"], () => null),
    run,
    released: async () => ({ kind: "free" }),
    settled,
  });
  const cells = [cell("a", 3), cell("b", 2), cell("c", 1)];

  it("goes on while the next cell runs, one after the other", async () => {
    const events: string[] = [];
    await runSchedule(
      cells,
      schedule(
        async ({ id }) => {
          events.push(`run ${id}`);
          return done;
        },
        async ({ id }) => {
          events.push(`write ${id}`);
          await new Promise((resolve) => setTimeout(resolve, 20));
          events.push(`wrote ${id}`);
        },
      ),
    );
    expect(events.filter((event) => !event.startsWith("run"))).toEqual(
      ["a", "b", "c"].flatMap((id) => [`write ${id}`, `wrote ${id}`]),
    );
    expect(events.indexOf("run b")).toBeLessThan(events.indexOf("wrote a"));
  });

  it("ends the study where it fails, and starts nothing more", async () => {
    const started: string[] = [];
    const running = runSchedule(
      cells,
      schedule(
        async ({ id }) => {
          started.push(id);
          await new Promise((resolve) => setTimeout(resolve, 5));
          return done;
        },
        async () => {
          await new Promise((resolve) => setTimeout(resolve, 1));
          throw new Error("the disk is full");
        },
      ),
    );
    await expect(running).rejects.toThrow("the disk is full");
    expect(started).toEqual(["a", "b"]);
  });
});
