import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { Network } from "../dist/models/network.js";
import type { ConvNeXtSpec } from "../dist/native/network-spec.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { stateOf, writeForeign } from "./foreign-weights.js";
import { tinyStudy } from "./study-fixture.js";

const encoder: ConvNeXtSpec = {
  family: "convnext-v2-3d",
  channels: 3,
  depths: [1, 1, 1, 1],
  dims: [4, 8, 8, 16],
};

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a network that answers with numbers that are not finite", () => {
  it("is a failed cell with a code and a reason, and the sound cells' results stay, run after run", async () => {
    const weights = join(folder, "overflowing.pth.tar");
    using source = await Network.create({ encoder, head: { kind: "classifier", classes: 4 }, seed: 11 });
    // Each number is finite; products of them are not in float32.
    await writeForeign(weights, await stateOf(source), (name, { shape, values }) => [
      name,
      shape,
      values.map((value) => value * 1e30),
    ]);
    const base = tinyStudy(folder, "overflowing", {
      tasks: ["lesion-segmentation"],
      comparators: ["pretrained", "random-weights"],
      execution: { gate: "warn" }, // which would stop before
    });
    const { pretrain: _, ...model } = base.models[0];
    const study: StudyInput = { ...base, models: [{ ...model, weights }] };
    for (let run = 0; run < 2; run++) {
      const results = await runStudy(study);
      const [pretrained, random] = ["pretrained", "random-weights"].map((comparator) =>
        results.cells.find((cell) => cell.comparator === comparator),
      );
      expect(pretrained).toMatchObject({
        status: "failed",
        reason: expect.stringMatching(/case \S+ \d+ of \d+ values are NaN or infinite/),
      });
      expect(random).toMatchObject({ status: "done" });
    }
    await writeReport(join(folder, "overflowing"));
  }, 120_000);
});
