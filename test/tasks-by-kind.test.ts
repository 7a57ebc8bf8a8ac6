import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CaseVolumes, openCase } from "../dist/cohort/case-volumes.js";
import type { CaseLabels } from "../dist/cohort/columns.js";
import { randomStream } from "../dist/common/random.js";
import { paperTasks } from "../dist/common/vocabulary.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { type StudyInput, taskSchema } from "../dist/study/config/schema.js";
import { neverMet } from "../dist/study/plan/usable-cases.js";
import { kappa } from "../dist/tasks/classification.js";
import { type TaskSpec, taskKinds, taskOf, trivialOf } from "../dist/tasks/index.js";
import { surfaceDistances } from "../dist/tasks/surface-distances.js";
import { ridgeRegression } from "../dist/tasks/trivial/ridge-regression.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-kinds-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const shape = [4, 8, 8] as const;
const size = 4 * 8 * 8;
let written = 0;

async function caseOf(
  volumes: Record<string, (voxel: number) => number>,
  labels: CaseLabels,
): Promise<CaseVolumes> {
  const id = `c${written++}`;
  const file = join(folder, `${id}.safetensors`);
  const tensors = Object.fromEntries(
    Object.entries(volumes).map(([name, value]) => [
      name,
      Tensor.from(
        Float32Array.from({ length: size }, (_, voxel) => value(voxel)),
        shape,
      ),
    ]),
  );
  await writeSafetensors(file, tensors);
  for (const tensor of Object.values(tensors)) tensor.dispose();
  return openCase(
    { id, patient: id, labels, file, volumes: Object.keys(volumes), spacing: [1, 1, 1] },
    "cpu",
  );
}

const columns = {
  images: { t1: {}, flair: {} },
  masks: { parts: { labels: { 1: "front", 2: "back" } }, tumour: {} },
  labels: {
    age: { kind: "number" },
    grade: { kind: "class", classes: ["I", "II", "III", "IV"], ordered: true },
    site: { kind: "class", classes: ["left", "right"] },
  },
} as const;

/** Tasks as a study completes them, or what is wrong with them. */
function resolved(tasks: unknown[], cohort: object = {}) {
  return resolveStudy(
    {
      name: "kinds",
      cohort: { manifest: "m.csv", voxels: [8, 8, 8], columns, ...cohort },
      models: [{ name: "one", encoder: "profound-demo", pretrain: {} }],
      tasks,
      comparators: ["fine-tuned"],
    },
    folder,
  );
}
function specsOf(...tasks: unknown[]): TaskSpec[] {
  const made = resolved(tasks, { voxels: [16, 16, 16] });
  if ("faults" in made) throw new Error(JSON.stringify(made.faults));
  return made.study.tasks;
}
const faultsOf = (task: unknown): string[] => {
  const made = resolved([task], { voxels: [16, 16, 16] });
  return "faults" in made ? made.faults.map(({ path, message }) => `${path.join(".")}: ${message}`) : [];
};
const draw = () => randomStream(1, "any");

describe("Kinds of tasks", () => {
  it("are the paper's in its order, then those that a study fills in, each an entry of the schema", () => {
    expect(taskKinds.slice(0, paperTasks.length)).toEqual([...paperTasks]);
    expect(taskKinds).toEqual(
      expect.arrayContaining(["classification", "regression", "segmentation", "translation"]),
    );
    expect(taskSchema.options.map(({ shape }) => shape.kind.value)).toEqual(taskKinds);
  });

  it("lend their names to no task of another kind", () => {
    expect(faultsOf({ kind: "segmentation", mask: "tumour", name: "regression" })).toEqual([
      'tasks.0.name: expected another name: "regression" is that of a kind of tasks',
    ]);
  });

  it("are completed from the cohort's columns, and resolve to themselves", () => {
    const tasks = [
      { kind: "classification", label: "grade" },
      { kind: "segmentation", mask: "parts" },
      { kind: "regression", label: "age" },
      { kind: "super-resolution" },
      { kind: "distortion-correction", mask: "tumour" },
      { kind: "translation", to: "flair" },
    ];
    const specs = specsOf(...tasks);
    expect(specs[0]).toMatchObject({
      name: "classification",
      image: "t1",
      ordered: true,
      classes: [["I"], ["II"], ["III"], ["IV"]],
    });
    expect(specs[1]).toMatchObject({ image: "t1", classes: { front: [1], back: [2] } });
    expect(specs[3]).toMatchObject({ name: "super-resolution", image: "t1" });
    expect(specs[5]).toMatchObject({ from: "t1", to: "flair" });
    expect(specsOf(...JSON.parse(JSON.stringify(specs)))).toEqual(specs);
    const needs = specs.map((spec) =>
      taskOf(spec)
        .needs.map(({ oneOf }) => oneOf.join("|"))
        .join(" "),
    );
    expect(needs).toEqual(["t1 grade", "t1 parts", "t1 age", "t1", "t1 tumour", "t1 flair"]);
  });

  it("may come twice under two names, of which none is another task's of the paper", () => {
    const twice = (name?: string) => ({ kind: "regression", label: "age", ...(name ? { name } : {}) });
    expect(specsOf(twice(), twice("age")).map((spec) => taskOf(spec).name)).toEqual(["regression", "age"]);
    const same = resolved([twice(), twice()], { voxels: [16, 16, 16] });
    expect(JSON.stringify(same)).toMatch(/stands here twice/);
    expect(faultsOf(twice("lesion-segmentation"))[0]).toMatch(/tasks\.0\.name.*task of the paper/);
  });

  it.each<[object, RegExp]>([
    [
      { kind: "classification", label: "age" },
      /tasks\.0\.label: expected one of the cohort's labels of classes \("grade", "site"\) but received "age"/,
    ],
    [{ kind: "classification", label: "garde" }, /Did you mean "grade"/],
    [
      { kind: "classification", label: "grade", classes: [["I"], ["V"]] },
      /expected values of grade .* received V/,
    ],
    [{ kind: "classification", label: "grade", classes: [["I"], ["I", "II"]] }, /stands there twice/],
    [
      { kind: "classification", label: "grade", positive: ["I", "II", "III", "IV"] },
      /a class that is not positive/,
    ],
    [{ kind: "segmentation", mask: "part" }, /cohort's masks .*Did you mean "parts"/],
    [
      { kind: "segmentation", mask: "parts", classes: { all: [1, 3] } },
      /labels of parts \(1, 2\) but received 3/,
    ],
    [{ kind: "segmentation", mask: "parts", image: "parts" }, /cohort's images/],
    [{ kind: "regression", label: "grade" }, /labels that are numbers \("age"\)/],
    [{ kind: "super-resolution", image: "t2" }, /cohort's images \("t1", "flair"\)/],
    [{ kind: "distortion-correction", mask: "rectum" }, /cohort's masks/],
    [{ kind: "translation", to: "t1" }, /another image/],
  ])("say what is wrong with %j", (task, message) => {
    expect(faultsOf(task).join("\n")).toMatch(message);
  });
});

describe("Classification", () => {
  const spec = () =>
    specsOf({
      kind: "classification",
      label: "grade",
      classes: [["I", "II"], ["III"], ["IV"]],
      positive: ["III", "IV"],
    })[0] as TaskSpec;

  it("takes classes of several values, and leaves out what is in none", async () => {
    const task = taskOf(
      specsOf({ kind: "classification", label: "grade", classes: [["I"], ["IV"]] })[0] as TaskSpec,
    );
    const facts = (grade?: string) => ({ roles: ["t1"], labels: grade === undefined ? {} : { grade } });
    expect(task.missing(facts("I"))).toBeNull();
    expect(task.missing(facts())).toBe("it has no label grade");
    expect(task.missing(facts("II"))).toBe("its grade is II, which is none of the classes");
    const classes: number[] = [];
    for (const grade of ["I", "II", "III", "IV"]) {
      using sample = await taskOf(spec()).sample(await caseOf({ t1: () => 0.5 }, { grade }), 1, draw());
      classes.push(Number((await sample.target.toArray())[0]));
    }
    expect(classes).toEqual([0, 0, 1, 2]);
  });

  it("is judged by specificity, with what counts as positive as the study says", async () => {
    const task = taskOf(spec());
    using logits = Tensor.from(Float32Array.of(2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 1, 0), [4, 3]);
    using target = Tensor.from(BigInt64Array.of(0n, 1n, 2n, 0n), [4]);
    const judged = await task.judge(logits, target);
    expect(judged.map(({ positive }) => positive)).toEqual([false, true, true, false]);
    const { value, secondary } = task.assess(judged, []);
    expect([value, secondary.AUC, secondary.Accuracy]).toEqual([1, 1, 1]);
    expect(task.assess(judged.slice(0, 1), []).reason).toBe("it has no positive case (grade: III, IV)");
  });

  it("has Cohen's kappa where classes have no order", () => {
    // cohen_kappa_score([0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0]) of scikit-learn: (4/6 - 1/3) / (1 - 1/3).
    expect(kappa([0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0], 3)).toBeCloseTo(0.5, 12);
    expect(kappa([1, 1], [1, 1], 2)).toBeNull();
  });
});

describe("Segmentation of several classes", () => {
  it("shows each class by a mask of its own, and is judged class by class", async () => {
    const task = taskOf(specsOf({ kind: "segmentation", mask: "parts" })[0] as TaskSpec);
    expect(task.shape.outputs).toBe(2);
    const labels = (voxel: number) => (voxel < 16 ? 1 : voxel < 24 ? 2 : 0);
    using sample = await task.sample(
      await caseOf({ t1: (voxel) => voxel / size, parts: labels }, {}),
      1,
      draw(),
    );
    expect(sample.target.shape).toEqual([2, ...shape]);
    const target = (await sample.target.toArray()) as Float32Array;
    expect([...target.subarray(0, size)].reduce((a, b) => a + b)).toBe(16);
    expect([...target.subarray(size)].reduce((a, b) => a + b)).toBe(8);
    // Of the first class 8 of 16 found and none beside; of the second all 8 and 8 more.
    const logits = new Float32Array(2 * size).fill(-1);
    logits.fill(1, 0, 8);
    logits.fill(1, size + 16, size + 32);
    using answer = Tensor.from(logits, [1, 2, ...shape]);
    using wanted = await Tensor.gather([sample.target], [0]);
    const [judged] = await task.judge(answer, wanted, [1, 1, 1]);
    const dices = [(2 * 8) / 24, (2 * 8) / 24];
    expect(judged?.parts?.["Dice of front"]).toBeCloseTo(dices[0] as number, 6);
    expect(judged?.parts?.["Dice of back"]).toBeCloseTo(dices[1] as number, 6);
    expect(judged?.value).toBeCloseTo(2 / 3, 6);
    expect(task.assess(judged ? [judged] : [], []).secondary["Dice of front"]).toBeCloseTo(2 / 3, 6);
  });

  it("can take labels together, and shows one of several images drawn", async () => {
    const spec = specsOf({
      kind: "segmentation",
      mask: "parts",
      classes: { whole: [1, 2] },
      drawn: ["flair"],
    })[0] as TaskSpec;
    const task = taskOf(spec);
    expect([task.shape.channels, task.chance]).toEqual([2, "input"]);
    const one = await caseOf(
      { t1: () => 0, flair: () => 1, parts: (voxel) => (voxel < 4 ? 1 : voxel < 6 ? 2 : 0) },
      {},
    );
    using sample = await task.sample(one, 2, draw());
    expect([...((await sample.target.toArray()) as Float32Array)].reduce((a, b) => a + b)).toBe(6);
    expect(sample.input.shape[0]).toBe(2);
    const alone = taskOf(spec).missing({ roles: ["t1", "parts"], labels: {} });
    expect(alone).toBe("it has no flair image");
  });

  it("is beaten or not by the mean mask of each class", async () => {
    const spec = specsOf({ kind: "segmentation", mask: "parts" })[0] as TaskSpec;
    const cases = [];
    for (const shift of [0, 0, 4])
      cases.push(
        await caseOf({ t1: () => 0.5, parts: (voxel) => (voxel < 16 + shift ? 1 : voxel < 40 ? 2 : 0) }, {}),
      );
    const [trivial] = await trivialOf(spec).fit(cases, new AbortController().signal);
    using input = Tensor.from(new Float32Array(size), [1, 1, ...shape]);
    using answer = await trivial.answer(cases[0] as CaseVolumes, input);
    expect(answer.shape).toEqual([1, 2, ...shape]);
    const found = ((await answer.toArray()) as Float32Array).map((logit) => Number(logit > 0));
    expect(found.subarray(0, size).reduce((a, b) => a + b)).toBe(16);
    expect(found.subarray(size).reduce((a, b) => a + b)).toBe(24);
  });
});

describe("Distances of surfaces", () => {
  const volume = (
    inside: (k: number, j: number, i: number) => boolean,
    [d, h, w]: readonly [number, number, number],
  ) =>
    Tensor.from(
      Float32Array.from({ length: d * h * w }, (_, voxel) =>
        Number(inside(Math.floor(voxel / (h * w)), Math.floor(voxel / w) % h, voxel % w)),
      ),
      [d, h, w],
    );

  it("are 0 apart for one mask, and a shift apart for a shifted plane, in mm", async () => {
    const extent = [6, 6, 12] as const;
    // Planes a voxel thick: every voxel is surface.
    using truth = volume((_, __, i) => i === 3, extent);
    using shifted = volume((_, __, i) => i === 5, extent);
    expect(await surfaceDistances(truth, truth, [2, 1, 0.5], 1)).toEqual({ surfaceDice: 1, hausdorff95: 0 });
    expect(await surfaceDistances(shifted, truth, [2, 1, 0.5], 0.9)).toEqual({
      surfaceDice: 0,
      hausdorff95: 1,
    });
    expect(await surfaceDistances(shifted, truth, [2, 1, 0.5], 1)).toEqual({
      surfaceDice: 1,
      hausdorff95: 1,
    });
  });

  it("equal a search through all pairs, for masks of any form", async () => {
    const extent = [5, 7, 6] as const;
    const spacing = [3, 1.25, 0.75] as const;
    const { uniform } = randomStream(3, "masks");
    for (let trial = 0; trial < 20; trial++) {
      const masks = [0, 1].map(() => Array.from({ length: 5 * 7 * 6 }, () => uniform() < 0.3));
      const [found, there] = masks as [boolean[], boolean[]];
      const at = (mask: boolean[]) => (k: number, j: number, i: number) => mask[(k * 7 + j) * 6 + i] === true;
      using answer = volume(at(found), extent);
      using truth = volume(at(there), extent);
      const surface = (mask: boolean[]) => {
        const inside = (k: number, j: number, i: number) =>
          k >= 0 && j >= 0 && i >= 0 && k < 5 && j < 7 && i < 6 && at(mask)(k, j, i);
        const points: number[][] = [];
        for (let k = 0; k < 5; k++)
          for (let j = 0; j < 7; j++)
            for (let i = 0; i < 6; i++)
              if (
                inside(k, j, i) &&
                ![
                  [1, 0, 0],
                  [0, 1, 0],
                  [0, 0, 1],
                ].every(([a = 0, b = 0, c = 0]) => inside(k + a, j + b, i + c) && inside(k - a, j - b, i - c))
              )
                points.push([k, j, i].map((index, axis) => index * spacing[axis as 0 | 1 | 2]));
        return points;
      };
      const [a, b] = [surface(found), surface(there)];
      const nearest = (points: number[][], others: number[][]) =>
        points.map((p) =>
          Math.min(...others.map((q) => Math.hypot(...p.map((x, axis) => x - (q[axis] as number))))),
        );
      const [ab, ba] = [nearest(a, b), nearest(b, a)];
      const percentile = (values: number[]) => {
        const sorted = [...values].sort((x, y) => x - y);
        const place = 0.95 * (sorted.length - 1);
        const low = sorted[Math.floor(place)] as number;
        return low + (place - Math.floor(place)) * ((sorted[Math.ceil(place)] as number) - low);
      };
      const measured = await surfaceDistances(answer, truth, spacing, 1.3);
      const within = [...ab, ...ba].filter((distance) => distance <= 1.3).length;
      expect(measured.surfaceDice).toBeCloseTo(within / (a.length + b.length), 12);
      expect(measured.hausdorff95).toBeCloseTo(Math.max(percentile(ab), percentile(ba)), 9);
    }
  });
});

describe("Regression", () => {
  const task = () => taskOf(specsOf({ kind: "regression", label: "age" })[0] as TaskSpec);
  const training = () => [20, 30, 50, 60].map((age) => ({ labels: { age } }) as unknown as CaseVolumes);

  it("answers in standard deviations from the training mean, and is judged in the label's unit", async () => {
    const fitted = task().onTraining?.(training());
    if (!fitted) throw new Error("no fitting");
    // Mean 40, deviation √250, mean absolute deviation 15.
    using sample = await fitted.sample(await caseOf({ t1: () => 0.5 }, { age: 55 }), 1, draw());
    expect(sample.target.shape).toEqual([1]);
    expect(((await sample.target.toArray()) as Float32Array)[0]).toBeCloseTo(15 / Math.sqrt(250), 6);
    using target = Tensor.from(Float32Array.of(15 / Math.sqrt(250), -20 / Math.sqrt(250), 0), [3, 1]);
    using answer = Tensor.from(Float32Array.of(0, -20 / Math.sqrt(250), 30 / Math.sqrt(250)), [3, 1]);
    const judged = await fitted.judge(answer, target);
    const errors = [15, 0, 30];
    for (const [index, { value }] of judged.entries())
      expect(value).toBeCloseTo(1 - (errors[index] as number) / 15, 5);
    const { value, secondary } = fitted.assess(judged, []);
    expect(value).toBeCloseTo(0, 5); // on the whole as good as always saying 40
    expect(secondary["Mean absolute error"]).toBeCloseTo(15, 4);
    // numpy.corrcoef([55, 20, 40], [40, 20, 70])[0, 1]: 1250 / 3 over √(1850 / 3 · 3800 / 3)
    expect(secondary["Pearson r"]).toBeCloseTo(0.47145, 4);
  });

  it("needs the number, and training cases to take its unit from", () => {
    expect(task().missing({ roles: ["t1"], labels: {} })).toBe("it has no label age");
    expect(() => task().onTraining?.([])).toThrow(/training cases with age/);
  });

  it("is set beside a linear regression on intensities, and the training mean", async () => {
    const spec = specsOf({ kind: "regression", label: "age" })[0] as TaskSpec;
    const cases = [];
    for (const level of [0.1, 0.2, 0.4, 0.5, 0.7, 0.9])
      cases.push(await caseOf({ t1: (voxel) => level + voxel / 1e5 }, { age: 100 * level }));
    const answers = await trivialOf(spec).fit(cases, new AbortController().signal);
    expect(answers.map(({ name }) => name)).toEqual([
      "training mean",
      "linear regression on intensity statistics",
    ]);
    using input = Tensor.from(new Float32Array(size), [1, 1, ...shape]);
    const said: number[] = [];
    for (const answer of answers) {
      using tensor = await answer.answer(cases[5] as CaseVolumes, input);
      said.push(((await tensor.toArray()) as Float32Array)[0] as number);
    }
    const deviation = Math.sqrt(
      [10, 20, 40, 50, 70, 90].reduce((sum, age) => sum + (age - 46.6667) ** 2, 0) / 6,
    );
    expect(said[0]).toBe(0);
    expect(said[1]).toBeCloseTo((90 - 46.6667) / deviation, 0);
  });

  it("is a ridge regression as scikit-learn's", () => {
    // One standardised feature x = [-1, 0, 1], y = [1, 2, 6]: w = Σ x (y - 3) / (Σ x² + 1) = 5 / 3, intercept 3.
    const ridge = ridgeRegression([[-1], [0], [1]], [1, 2, 6]);
    expect(ridge([0])).toBeCloseTo(3, 12);
    expect(ridge([2])).toBeCloseTo(3 + 10 / 3, 12);
    // Two features that say the same share the weight: w = 5 / (2 * 2 + 1) each.
    const twice = ridgeRegression(
      [
        [-1, -1],
        [0, 0],
        [1, 1],
      ],
      [1, 2, 6],
    );
    expect(twice([1, 1])).toBeCloseTo(5, 12);
  });
});

describe("Images of any name", () => {
  it("are made finer, translated and corrected", async () => {
    const one = await caseOf(
      {
        t1: (voxel) => voxel / size,
        flair: (voxel) => 1 - voxel / size,
        tumour: (voxel) => Number(voxel < 8),
      },
      {},
    );
    const [fine, translated, corrected] = specsOf(
      { kind: "super-resolution", image: "flair" },
      { kind: "translation", from: "flair", to: "t1" },
      { kind: "distortion-correction", image: "flair", mask: "tumour" },
    ) as [TaskSpec, TaskSpec, TaskSpec];
    using a = await taskOf(fine).sample(one, 1, draw());
    expect([a.input.shape, a.target.shape]).toEqual([
      [1, 2, 8, 8],
      [1, ...shape],
    ]);
    const last = ((await a.target.toArray()) as Float32Array)[size - 1] as number;
    expect(last).toBeCloseTo(1 / size, 6);
    using b = await taskOf(translated).sample(one, 1, draw());
    expect(((await b.input.toArray()) as Float32Array)[0]).toBe(1);
    expect(((await b.target.toArray()) as Float32Array)[0]).toBe(0);
    using c = await taskOf(corrected).sample(one, 1, draw());
    expect(((await c.target.toArray()) as Float32Array)[0]).toBe(1);
    const [map] = await trivialOf(translated).fit([one], new AbortController().signal);
    using input = await Tensor.gather([b.input], [0]);
    using answer = await map.answer(one, input);
    expect(((await answer.toArray()) as Float32Array)[0]).toBeCloseTo(0, 1);
  });
});

describe("A study of the paper's tasks", () => {
  it("is told what a column that no case has is for", () => {
    const { needs } = taskOf(taskSchema.parse({ kind: "lesion-segmentation" }));
    const facts = { roles: ["t2w", "lesion"], labels: {} };
    expect(neverMet("lesion-segmentation", needs, [facts], "m.csv", "take it out")).toMatch(
      /ADC or high-b image \(one of the columns "adc", "hbv"\), which lesion-segmentation takes its second image from, but none of the 1/,
    );
  });

  it("takes them by name, each under its own", () => {
    const made = resolveStudy(
      {
        name: "paper",
        cohort: { manifest: "m.csv", voxels: [16, 16, 16] },
        models: [{ name: "one", encoder: "profound-demo", pretrain: {} }],
      } satisfies StudyInput,
      folder,
    );
    if ("faults" in made) throw new Error(JSON.stringify(made.faults));
    expect(made.study.tasks.map(({ kind, name }) => [kind, name])).toEqual(
      paperTasks.map((task) => [task, task]),
    );
  });
});
