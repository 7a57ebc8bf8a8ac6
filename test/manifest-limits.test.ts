import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { defaultManifestLimits, readManifest } from "../dist/cohort/manifest.js";
import { loadStudy } from "../dist/study/plan/load-study.js";
import { studyChanges } from "./study-changes.js";
import { temporaryFolder } from "./temporary-folder.js";

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

/** Six cases with three columns. */
const text = `case,t2w,age\n${[1, 2, 3, 4, 5, 6].map((id) => `c${id},${id}.nii,6${id}`).join("\n")}\n`;
const manifest = async (): Promise<string> => {
  const path = join(folder, "manifest.csv");
  await writeFile(path, text);
  return path;
};

/** A study of that cohort, with its `manifestLimits`. */
async function study(limits: object): Promise<string> {
  await manifest();
  const path = join(folder, "study.yaml");
  const input = {
    name: "limits",
    cohort: { manifest: "manifest.csv", voxels: [16, 16, 16], manifestLimits: limits },
    split: { train: 4, validation: 1, test: 1 },
    models: [{ name: "profound", encoder: "profound-demo", pretrain: { epochs: 1 } }],
    tasks: ["super-resolution"],
  };
  await writeFile(path, JSON.stringify(input));
  return path;
}

describe("what a manifest may ask for", () => {
  it.each([
    ["bytes", text.length, `at most ${text.length - 1} bytes but it has ${text.length}`],
    ["cases", 6, "more than the 5 cases that it may have"],
    ["columns", 3, "it has 3 columns; expected at most 2"],
  ])("is limited in %s, and beyond that refused with where to raise it", async (name, enough, words) => {
    const path = await manifest();
    const read = (limit: number) => readManifest(path, { ...defaultManifestLimits, [name]: limit });
    expect((await read(enough)).cases).toHaveLength(6);
    await expect(read(enough - 1)).rejects.toMatchObject({
      code: "BAD_MANIFEST",
      message: expect.stringMatching(
        new RegExp(`${words}.*if it is to be trusted, raise cohort\\.manifestLimits\\.${name} of the study`),
      ),
    });
  });

  it("is what the study says, for every manifest that it names", async () => {
    expect((await loadStudy(await study({}))).cohort.manifestLimits).toEqual(defaultManifestLimits);
    await expect(loadStudy(await study({ cases: 5 }))).rejects.toMatchObject({ code: "BAD_MANIFEST" });
    const raised = { bytes: 2 ** 28, cases: 1_000_000, columns: 20_000 };
    expect((await loadStudy(await study(raised))).cohort.manifestLimits).toEqual(raised);
    await expect(loadStudy(await study({ cases: 0 }))).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringContaining("cohort.manifestLimits.cases"),
    });
  });

  it("is no part of what a study's numbers rest on: raised, the study goes on", async () => {
    const before = await loadStudy(await study({}));
    const now = await loadStudy(await study({ cases: 200_000 }));
    expect(studyChanges(before, now)).toEqual({});
    const [other] = Object.values(studyChanges(before, { ...now, seed: now.seed + 1 }));
    expect(other).toMatch(/^seed 1 -> 2/);
  });
});
