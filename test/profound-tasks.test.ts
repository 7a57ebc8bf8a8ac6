import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { profoundTasks } from "../dist/study/config/profound-tasks.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { loadStudy } from "../dist/study/plan/load-study.js";
import { runStudy } from "../dist/study/run/run.js";
import { cli } from "./cli-fixture.js";
import { readResults, tinyStudy } from "./study-fixture.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-profound-tasks-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 14, seed: 3, voxels: [32, 32, 16] });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const study = async (text: string, name = "study.yaml") => {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
};
/** The phantoms' manifest with a column of grade groups, or without some of its columns. */
async function manifest(name: string, { gleason = false, without = [] as string[] }): Promise<string> {
  const [header = "", ...lines] = (await readFile(join(folder, "cohort", "manifest.csv"), "utf8"))
    .trim()
    .split("\n");
  const columns = header.split(",");
  const kept = columns
    .map((column, index) => ({ column, index }))
    .filter(({ column }) => !without.includes(column));
  const rows = lines.map((line, row) => {
    const fields = line.split(",");
    return [...kept.map(({ index }) => fields[index]), ...(gleason ? [row % 6] : [])].join(",");
  });
  const names = [...kept.map(({ column }) => column), ...(gleason ? ["gleason"] : [])].join(",");
  await writeFile(join(folder, "cohort", name), `${[names, ...rows].join("\n")}\n`);
  return `cohort/${name}`;
}

describe("The tasks of ProFound's authors, as a preset", () => {
  it("are eleven where the cohort has every column", async () => {
    const path = await study(
      `preset: profound-tasks\nmanifest: ${await manifest("whole.csv", { gleason: true })}\n`,
    );
    const { tasks, leftOut, cohort, models } = await loadStudy(path);
    expect(tasks.map(({ name }) => name)).toEqual(profoundTasks.map(({ name }) => name));
    expect(tasks).toHaveLength(11);
    expect(leftOut).toBeUndefined();
    expect(new Set(tasks.map(({ kind }) => kind))).toEqual(
      new Set(["classification", "detection", "segmentation", "regression"]),
    );
    expect(cohort).toMatchObject({ voxels: [200, 200, 96], crop: { around: "gland" } });
    expect(models).toMatchObject([
      { name: "profound", encoder: { family: "convnext-v2-3d" }, finetune: "full" },
    ]);
  });

  it("are those whose columns the cohort has, and plan says which are left out and for want of what", async () => {
    const path = await study(
      "preset: profound-tasks\nmanifest: cohort/manifest.csv\nsplit: { train: 8, validation: 2, test: 4 }\n",
    );
    const planned = await cli("plan", path);
    expect(planned.status).toBe(0);
    for (const task of ["gleason", "cancer", "significant-cancer"])
      expect(planned.stdout).toContain(`left out: ${task}, as no case has gleason`);
    const { stdout } = await cli("plan", path, "--json");
    expect(JSON.parse(stdout).leftOut.map(({ task }: { task: string }) => task)).toEqual([
      "gleason",
      "cancer",
      "significant-cancer",
    ]);
    const few = await manifest("few.csv", { without: ["adc", "lesion", "zones", "pirads"] });
    const loaded = await loadStudy(await study(`preset: profound-tasks\nmanifest: ${few}\n`));
    expect(loaded.tasks.map(({ name }) => name)).toEqual(["gland", "surroundings", "gland-volume"]);
    expect(loaded.leftOut).toContainEqual({ task: "lesion-localisation", reason: "no case has adc" });
    expect(loaded.leftOut).toContainEqual({ task: "zones", reason: "no case has zones" });
    expect(resolveStudy(loaded, folder)).toEqual({ study: loaded });
  });

  it("are not taken from a column that no case fills, and none is an error that says what is wanting", async () => {
    const text = await readFile(join(folder, "cohort", "manifest.csv"), "utf8");
    const empty = text.replace(/^(.*),(\d)$/gm, "$1,");
    await writeFile(join(folder, "cohort", "empty.csv"), empty);
    const { leftOut } = await loadStudy(await study("preset: profound-tasks\nmanifest: cohort/empty.csv\n"));
    expect(leftOut).toContainEqual({ task: "pirads", reason: "no case has pirads" });
    const nothing = await manifest("nothing.csv", {
      without: ["gland", "zones", "lesion", "rectum", "pirads"],
    });
    await expect(loadStudy(await study(`preset: profound-tasks\nmanifest: ${nothing}\n`))).rejects.toThrow(
      /manifest: expected a cohort with the columns of at least one of the 11 tasks, but no case has pirads/,
    );
  });

  it("give way to what else the study says, and know no other field", async () => {
    const path = await study(
      "preset: profound-tasks\nmanifest: cohort/manifest.csv\ntasks: [{ kind: segmentation, mask: gland }]\n",
    );
    const loaded = await loadStudy(path);
    expect(loaded.tasks).toHaveLength(1);
    expect(loaded.leftOut).toBeUndefined();
    await expect(loadStudy(await study("preset: profound-task\nmanifest: m.csv\n"))).rejects.toThrow(
      /Did you mean "profound-tasks"/,
    );
    await expect(loadStudy(await study("preset: profound-tasks\n"))).rejects.toThrow(/manifest/);
    await expect(
      loadStudy(await study("preset: profound-tasks\nmanifest: cohort/manifest.csv\nmanifests: {}\n")),
    ).rejects.toThrow(/unknown key "manifests"/);
  });

  it("are run on phantoms, each tested by its metric", async () => {
    const { models, execution } = tinyStudy(folder, "results");
    const tiny = {
      preset: "profound-tasks",
      manifest: join(folder, await manifest("whole.csv", { gleason: true })),
      cohort: { voxels: [32, 32, 16] },
      split: { train: 6, validation: 2, test: 6 },
      models: models.map((model) => ({
        ...model,
        classifier: { bottleneck: 8 },
        pretrain: { ...model.pretrain, epochs: 1 },
      })),
      comparators: ["fine-tuned"],
      training: { epochs: 1, learningRate: 1e-3 },
      execution,
    };
    await runStudy(await loadStudy(await study(JSON.stringify(tiny), "tiny.yaml")));
    const { cells } = await readResults(join(folder, "results"));
    expect(
      cells.filter(({ status }) => status !== "done").map(({ id, reason }) => `${id}: ${reason}`),
    ).toEqual([]);
    const metrics = Object.fromEntries(
      cells.flatMap(({ comparator, task, result }) =>
        comparator === "fine-tuned" ? [[task, result?.metric.name]] : [],
      ),
    );
    expect(metrics).toEqual({
      pirads: "Quadratic weighted kappa",
      "suspicious-lesion": "AUC",
      gleason: "Quadratic weighted kappa",
      cancer: "AUC",
      "significant-cancer": "AUC",
      "lesion-localisation": "PI-CAI score",
      lesions: "Dice",
      gland: "Dice",
      zones: "Dice",
      surroundings: "Dice",
      "gland-volume": "Skill (1 - error / error of the training mean)",
    });
  }, 300_000);
});
