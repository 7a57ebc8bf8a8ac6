import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { runStudy } from "../dist/study/run/run.js";
import { isHeld } from "./lock-contender.js";
import { tinyStudy, withoutCost, workers } from "./study-fixture.js";

describe("A listener that throws", () => {
  let folder: string;
  const study = (output: string) =>
    tinyStudy(folder, output, {
      tasks: ["lesion-segmentation"],
      comparators: ["fine-tuned", "random-weights"],
    });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "transfer-limits-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(["case", "plan", "cell-started", "epoch", "cell-done", "study"] as const)(
    "at %s stops the study cleanly, which ends with what was thrown",
    async (kind) => {
      const thrown = new Error(`no room for ${kind}`);
      const heard: string[] = [];
      const onProgress = (event: { kind: string }) => {
        heard.push(event.kind);
        if (event.kind === kind) throw thrown;
      };
      await expect(runStudy(study(kind), { onProgress })).rejects.toBe(thrown);
      expect(heard.at(-1)).toBe(kind);
      await expect.poll(workers, { timeout: 10_000 }).toEqual([]);
      expect(await isHeld(join(folder, kind, ".lock"))).toBe(false);
    },
  );

  it("leaves a study that goes on to the same numbers", async () => {
    const whole = await runStudy(study("whole"));
    const continued = await runStudy(study("epoch"));
    expect(withoutCost(continued.cells)).toEqual(withoutCost(whole.cells));
  });

  it("later, as a promise, does the same", async () => {
    const thrown = new Error("the socket is closed");
    const onProgress = async (event: { kind: string }) => {
      if (event.kind === "plan") throw thrown;
    };
    await expect(runStudy(study("rejects"), { onProgress })).rejects.toBe(thrown);
  });
});
