import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { comparators, paperTasks } from "../dist/common/vocabulary.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { checkStudy, loadStudy } from "../dist/study/plan/load-study.js";
import { planStudy } from "../dist/study/plan/plan.js";
import { previewCohorts } from "../dist/study/plan/preview.js";
import { cli } from "./cli-fixture.js";

let folder: string;

const roles = ["t2w", "adc", "hbv", "lesion", "rectum"];

/** A manifest whose images do not exist. */
const writeManifest = (name: string, cases: number) => {
  const rows = Array.from({ length: cases }, (_, index) => {
    const id = `${name}-${index}`;
    const images = roles.map((role) => `images/${id}_${role}.nii.gz`);
    return [id, ...images, 1 + (index % 5)].join(",");
  });
  return writeFile(join(folder, `${name}.csv`), [`case,${roles},pirads`, ...rows, ""].join("\n"));
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-preset-"));
  await writeManifest("promis", 740);
  await writeManifest("few-shot", 589);
  await writeFile(
    join(folder, "study.yaml"),
    "preset: paper\nmanifests: { promis: promis.csv, fewShot: few-shot.csv }\n",
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the preset of the paper", () => {
  it("trains in bfloat16 where its cells run on a GPU, and in what the file says where it says something", () => {
    const precisionWith = (execution: unknown) => {
      const manifests = { promis: "promis.csv", fewShot: "few-shot.csv" };
      const answer = resolveStudy({ preset: "paper", manifests, execution }, folder);
      return "faults" in answer ? answer.faults : answer.study.execution.precision;
    };
    expect(precisionWith({ device: "cuda:1" })).toBe("bfloat16");
    expect(precisionWith({ devices: ["cuda:0", "cuda:1"] })).toBe("bfloat16");
    expect(precisionWith({ device: "cuda", precision: "float32" })).toBe("float32");
    expect(precisionWith({ device: "cpu" })).toBe("float32");
    expect(precisionWith({ device: "cuda", devices: ["cpu"] })).toBe("float32");
    expect(precisionWith({})).toBe("float32");
  });

  it("is a whole study from the manifests of the two cohorts alone", async () => {
    const study = await loadStudy(join(folder, "study.yaml"));
    expect(study).toMatchObject({
      cohort: { manifest: join(folder, "promis.csv"), voxels: [200, 200, 96] },
      split: { train: 555, validation: 37, test: 148 },
      models: [
        { name: "profound", finetune: "full", encoder: { family: "convnext-v2-3d", depths: [3, 3, 9, 3] } },
        { name: "provicnet", finetune: "partial", encoder: { family: "dino-vit", embedDim: 384 } },
      ],
      comparators,
    });
    expect(study.tasks.map(({ kind }) => kind)).toEqual(paperTasks);
    for (const { kind, training, cohort } of study.tasks) {
      expect(training).toMatchObject({ epochs: 100, learningRate: 1e-4, schedule: "cosine" });
      expect(cohort).toEqual(
        kind === "distortion-correction"
          ? {
              manifest: join(folder, "few-shot.csv"),
              split: { train: 330, validation: 82, test: 177 },
            }
          : undefined,
      );
    }
    // Modality translation samples whole volumes to validate: in every tenth epoch.
    expect(study.tasks.map(({ training }) => training.validateEvery)).toEqual([1, 1, 1, 1, 10]);
    expect(resolveStudy(study, folder)).toEqual({ study });
    // Two models by five tasks by four comparators, the specialised models, what takes no network, and two pretrainings: nothing twice.
    const { cells } = planStudy(study);
    expect(cells).toHaveLength(2 * 5 * 4 + 5 + 5 + 2);
    expect(cells.filter(({ id }) => id.includes("diffusion--"))).toEqual([]);
  });

  it("is planned with the exact counts of both splits and every cell, without reading a volume", async () => {
    const { status, stdout } = await cli("plan", join(folder, "study.yaml"), "--json");
    expect(status).toBe(0);
    const plan = JSON.parse(stdout);
    expect(plan.cohorts).toMatchObject([
      {
        manifest: join(folder, "promis.csv"),
        tasks: paperTasks.filter((kind) => kind !== "distortion-correction"),
        cases: 740,
        patients: 740,
        split: { train: 555, validation: 37, test: 148, unused: 0 },
        missing: { length: 5 * 740 },
      },
      {
        manifest: join(folder, "few-shot.csv"),
        tasks: ["distortion-correction"],
        cases: 589,
        patients: 589,
        split: { train: 330, validation: 82, test: 177, unused: 0 },
        missing: { length: 5 * 589 },
      },
    ]);
    const cells = plan.cells.filter(({ kind }: { kind: string }) => kind === "cell");
    // Two models by every task by four comparators, and the specialised model and what takes no network once a task.
    expect(cells).toHaveLength(paperTasks.length * (2 * 4 + 2));
    for (const { memoryBytes, cost, network } of plan.cells) {
      expect(memoryBytes).toBeGreaterThan(5e8);
      if (network === null) expect(cost).toBe(0);
      else expect(cost).toBeGreaterThan(0);
    }
    expect((await readdir(folder)).sort()).toEqual(["few-shot.csv", "promis.csv", "study.yaml"]);

    const { stdout: text } = await cli("plan", join(folder, "study.yaml"));
    expect(text).toContain("train 555, validation 37, test 148, unused 0");
    expect(text).toContain("train 330, validation 82, test 177, unused 0");
    expect(text).toContain("warning: 3700 files of 740 cases cannot be found");
  });

  it("gives way to what else the file says: sections field by field, lists as a whole", async () => {
    const file = join(folder, "changed.yaml");
    await writeFile(
      file,
      [
        "preset: paper",
        "manifests: { promis: promis.csv, fewShot: few-shot.csv }",
        "name: small",
        "tasks: [super-resolution]",
        "cohort: { voxels: [64, 64, 32] }",
        "training: { epochs: 3 }",
        "split: { train: 10, validation: 2, test: 5 }",
        "",
      ].join("\n"),
    );
    const study = await loadStudy(file);
    expect(study).toMatchObject({
      name: "small",
      cohort: { manifest: join(folder, "promis.csv"), voxels: [64, 64, 32] },
      tasks: [{ kind: "super-resolution", training: { epochs: 3, learningRate: 1e-4 } }],
    });
    expect(await previewCohorts(await checkStudy(study))).toMatchObject([
      { split: { train: 10, validation: 2, test: 5, unused: 723 }, missing: { length: 5 * 17 } },
    ]);
    expect(planStudy(study).cells.filter(({ kind }) => kind === "cell")).toHaveLength(10);
  });

  it("takes weights that were pretrained elsewhere instead of pretraining", () => {
    const result = resolveStudy(
      {
        preset: "paper",
        manifests: { promis: "a.csv", fewShot: "b.csv" },
        weights: { profound: "profound.safetensors", provicnet: "provicnet.safetensors" },
      },
      "/data",
    );
    if ("faults" in result) throw new Error(JSON.stringify(result.faults));
    expect(result.study.models.map(({ weights, pretrain }) => [weights, pretrain])).toEqual([
      ["/data/profound.safetensors", undefined],
      ["/data/provicnet.safetensors", undefined],
    ]);
    expect(planStudy(result.study).cells.some(({ kind }) => kind === "pretraining")).toBe(false);
  });

  it.each([
    [{ preset: "papper", manifests: {} }, "preset", /"papper".*"paper"/],
    [{ preset: 3 }, "preset", /name of a preset/],
    [{ preset: "paper" }, "manifests", /.+/],
    [{ preset: "paper", manifests: { promis: "a.csv" } }, "manifests.fewShot", /.+/],
    [{ preset: "paper", manifests: { promis: "a.csv", fewShot: "b.csv", third: "c" } }, "manifests", /third/],
    [{ preset: "paper", manifests: { promis: "a.csv", fewShot: "b.csv" }, epochs: 3 }, "", /epochs/],
  ])("is refused with the field that is wrong: %j", (input, path, message) => {
    const result = resolveStudy(input, "/data");
    if (!("faults" in result)) throw new Error("no fault was found");
    expect(result.faults.map((fault) => fault.path.join("."))).toEqual([path]);
    expect(result.faults[0]?.message).toMatch(message);
  });
});
