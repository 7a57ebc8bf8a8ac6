import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { readImage } from "../dist/cohort/image.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyResults } from "../dist/results/study.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { shared, sharedMissing } from "./shared.js";
import { readResults } from "./study-fixture.js";

const example = new URL("../examples/hippocampus/study.yaml", import.meta.url);
const missing = sharedMissing ? " (skipped: no folder shared beside the checkout)" : "";

/** The example's study, made small: 12 cases, one epoch, small volumes and networks. */
describe.skipIf(sharedMissing)(`The example of another organ, on real T1-weighted MRI${missing}`, () => {
  let folder: string;
  let results: StudyResults;
  const output = () => join(folder, "results");
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-hippocampus-"));
    const text = await readFile(shared("data", "hippocampus", "manifest.csv"), "utf8");
    const [header, ...lines] = text.trim().split("\n");
    const absolute = lines.slice(0, 12).map((line) => {
      const [id, patient, t1, hippocampus] = line.split(",") as [string, string, string, string];
      return [
        id,
        patient,
        shared("data", "hippocampus", t1),
        shared("data", "hippocampus", hippocampus),
      ].join(",");
    });
    await writeFile(join(folder, "manifest.csv"), `${[header, ...absolute].join("\n")}\n`);
    const study = parse(await readFile(example, "utf8")) as StudyInput;
    await runStudy({
      ...study,
      cohort: { ...study.cohort, manifest: join(folder, "manifest.csv"), voxels: [16, 32, 16] },
      split: { train: 4, validation: 1, test: 2 },
      models: study.models.map((model) => ({
        ...model,
        encoder: { family: "convnext-v2-3d", channels: 1, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] },
        pretrain: { ...model.pretrain, epochs: 1 },
      })),
      tasks: study.tasks?.map((task) => ({ ...(task as object), training: { epochs: 1 } })) as never,
      comparators: ["fine-tuned", "from-scratch"],
      execution: { output: output(), threads: 1 },
    });
    results = await readResults(output());
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const cellsOf = (task: string) => results.cells.filter((cell) => cell.task === task);

  it("is run whole: each task by its name, with every comparator and what takes no network", () => {
    const tasks = ["hippocampus-parts", "hippocampus-size", "hippocampus-volume", "super-resolution"];
    for (const task of tasks) {
      const done = cellsOf(task).map(
        ({ comparator, status, reason }) => `${comparator} ${status} ${reason ?? ""}`,
      );
      expect(done.map((one) => one.trim())).toEqual(["fine-tuned done", "from-scratch done", "trivial done"]);
    }
    expect(results.cells.length).toBe(3 * tasks.length);
  });

  it("measures volumes by the masks as their files hold them", async () => {
    const cohort = JSON.parse(await readFile(join(output(), "cohort.json"), "utf8"));
    const cases = Object.values(cohort.split).flat() as {
      id: string;
      labels: Record<string, number | string>;
    }[];
    expect(cases.length).toBeGreaterThanOrEqual(7);
    for (const { id, labels } of cases) {
      const { data, voxelToPatient } = await readImage(
        shared("data", "hippocampus", "labels", `${id}.nii.gz`),
      );
      const sizes = [0, 1, 2].map((axis) =>
        Math.hypot(...[0, 1, 2].map((row) => voxelToPatient[4 * row + axis] as number)),
      );
      const volume = data.filter((label) => label > 0).length * sizes.reduce((a, b) => a * b, 1);
      expect(labels.volume).toBeCloseTo(volume, 3);
      expect(labels.size).toBe(volume >= 3300 ? "large" : "small");
    }
  });

  it("tells each class's Dice and surface distances, and a number's error in its unit", () => {
    const [segmented] = cellsOf("hippocampus-parts");
    expect(Object.keys(segmented?.result?.metric.secondary ?? {})).toEqual(
      ["anterior", "posterior"].flatMap((name) => [
        `Dice of ${name}`,
        `Surface Dice at 1 mm of ${name}`,
        `95 % Hausdorff distance of ${name} (mm)`,
      ]),
    );
    for (const { result } of cellsOf("hippocampus-volume")) {
      const { cases = [], secondary = {} } = result?.metric ?? {};
      const errors = cases.map(({ number }) => Math.abs((number?.answered ?? 0) - (number?.truth ?? 0)));
      const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
      expect(secondary["Mean absolute error"]).toBeCloseTo(mean, 3);
    }
  });

  it("is reported by the study's own names", async () => {
    await writeReport(output());
    const page = await readFile(join(output(), "report.html"), "utf8");
    for (const name of ["Hippocampus parts", "Hippocampus size", "Hippocampus volume", "Super-resolution"])
      expect(page).toContain(name);
    expect(/.{0,60}(?:PI-RADS|prostate).{0,60}/i.exec(page)?.[0] ?? "").toBe("");
  });
});
