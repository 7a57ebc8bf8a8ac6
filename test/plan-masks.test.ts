import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readManifest } from "../dist/cohort/manifest.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { prepareCohort } from "../dist/cohort/preprocess.js";
import { loadStudy } from "../dist/study/plan/load-study.js";
import { preprocessOptions } from "../dist/study/plan/prepare.js";
import { cli } from "./cli-fixture.js";
import { temporaryFolder } from "./report-fixture.js";

describe("what plan says of masks", () => {
  let folder: string;
  let remove: () => Promise<void>;
  let study: string;
  beforeAll(async () => {
    ({ folder, remove } = await temporaryFolder());
    const manifest = await writePhantomCohort(join(folder, "cohort"), {
      seed: 3,
      cases: 6,
      voxels: [32, 32, 12],
    });
    study = join(folder, "study.yaml");
    await writeFile(
      study,
      `name: masks
cohort: { manifest: ${JSON.stringify(manifest)}, voxels: [32, 32, 12], crop: { around: centre, fieldOfView: [20, 20, 20] } }
split: { train: 3, validation: 1, test: 2 }
models: [{ name: m, encoder: profound-demo, pretrain: { epochs: 1 } }]
tasks: [{ kind: lesion-segmentation }]
execution: { output: results }
`,
    );
  });
  afterAll(() => remove());

  /** The lines of `plan` on masks, with so many cases of the cohort prepared before. */
  async function said(cases: number): Promise<string[]> {
    const { cohort, execution } = await loadStudy(study);
    const manifest = await readManifest(cohort.manifest);
    await prepareCohort({ ...manifest, cases: manifest.cases.slice(0, cases) }, preprocessOptions(cohort), {
      cache: execution.cache,
    });
    const { stdout } = await cli("plan", study);
    return stdout.split("\n").filter((line) => line.includes("masks of"));
  }

  it("is said to be about the cases that were prepared so far, and about all once these are", async () => {
    // The crop, 20 mm about the centre, is so small that the rectum lies outside.
    expect(await said(2)).toContain(
      "  masks of 2 of 6 cases, those prepared so far: 2 of 2 rectum masks show nothing in the crop.",
    );
    expect(await said(6)).toContain("  masks of all 6 cases: 6 of 6 rectum masks show nothing in the crop.");
  });
});
