import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkStudy } from "../dist/study/plan/load-study.js";
import { tinyStudy } from "./study-fixture.js";
import { temporaryFolder } from "./temporary-folder.js";

type Varied = "weights" | "order" | "pretraining" | "split";

/** A study of eight patients, of whom each of twelve seeds tests two and validates one: together they use up everybody. */
async function faultsOf(vary: Varied[], pretrain: object = {}): Promise<string> {
  const folder = await temporaryFolder();
  const patients = (from: number) => Array.from({ length: 8 }, (_, index) => `p${from + index}`);
  for (const [name, from] of [
    ["own.csv", 0],
    ["other.csv", 100],
  ] as const) {
    const rows = patients(from).map((patient) => `${patient},${patient},${patient}.nii`);
    await writeFile(join(folder, name), ["case,patient,t2w", ...rows].join("\n"));
    for (const patient of patients(from)) await writeFile(join(folder, `${patient}.nii`), "");
  }
  const study = tinyStudy(folder, "out", {
    tasks: ["super-resolution"],
    cohort: { manifest: join(folder, "own.csv"), voxels: [32, 32, 16] },
    split: { train: 5, validation: 1, test: 2 },
    seeds: { count: 12, vary },
  });
  const [model] = study.models as [(typeof study.models)[number]];
  const own = { ...(model as { pretrain?: object }).pretrain, ...pretrain };
  return checkStudy({ ...study, models: [{ ...model, pretrain: own } as never] }, folder).then(
    () => "",
    (error: Error) => error.message,
  );
}

describe("one pretraining for all seeds, each of which divides the patients anew,", () => {
  it("is refused where it may see nobody, with what would mend it", async () => {
    const message = await faultsOf(["weights", "split"]);
    expect(message).toMatch(/models\[0\]\.pretrain/);
    expect(message).toContain("Expected patients to pretrain");
    expect(message).toMatch(/All 12 seeds share this pretraining.*add pretraining to seeds\.vary/);
  });

  it("is none of these where each seed has a pretraining of its own, as the message says", async () => {
    expect(await faultsOf(["weights", "split", "pretraining"])).not.toContain("to pretrain");
  });

  it("is not refused with a manifest of other patients, as the message says", async () => {
    expect(await faultsOf(["weights", "split"], { manifest: "other.csv" })).not.toContain("to pretrain");
  });

  it("is not what is wrong where every patient is listed to be left out", async () => {
    const folder = await temporaryFolder();
    const list = join(folder, "list");
    await writeFile(list, Array.from({ length: 8 }, (_, index) => `p${index}`).join("\n"));
    const message = await faultsOf(["weights"], { exclude: list });
    expect(message).toContain("Expected patients to pretrain");
    expect(message).not.toContain("seeds.vary");
  });
});
