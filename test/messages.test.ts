import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readManifest } from "../dist/cohort/manifest.js";
import { bounded, TransferLimitsError } from "../dist/common/errors.js";
import { loadStudy } from "../dist/study/plan/load-study.js";
import { temporaryFolder } from "./temporary-folder.js";

describe("the message of an error", () => {
  it("stands as it is where it fits", () => {
    expect(bounded("Expected 3 but received 4")).toBe("Expected 3 but received 4");
    expect(bounded("0123456789", 10)).toBe("0123456789");
  });

  it("keeps its beginning and its end where it is too long, and says how much is left out", () => {
    expect(bounded("0123456789abc", 6)).toBe("012 [... 7 characters left out ...] abc");
    const { message } = new TransferLimitsError("INTERNAL", `begins ${"x".repeat(10_000_000)} ends`);
    expect(message.length).toBeLessThan(8100);
    expect(message).toMatch(/^begins x+ \[\.\.\. 9992012 characters left out \.\.\.\] x+ ends$/);
  });

  it("stays short whatever stands in a manifest or a study", async () => {
    const folder = await temporaryFolder();
    const [manifest, study] = [join(folder, "manifest.csv"), join(folder, "study.yaml")];
    await writeFile(manifest, `case,t2w\n${"x".repeat(1_000_000)},t2w.nii\n`);
    await writeFile(study, `name: ${"x".repeat(1_000_000)}\n${"k".repeat(1_000_000)}: 1\n`);
    for (const read of [() => readManifest(manifest), () => loadStudy(study)]) {
      const error = await read().then(
        () => null,
        (reason: Error) => reason,
      );
      expect(error?.message.length).toBeGreaterThan(20);
      expect(error?.message.length).toBeLessThan(8100);
    }
  });
});
