import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { codedError } from "../dist/common/system-errors.js";
import { Tensor } from "../dist/native/tensor.js";
import { readFailure } from "../dist/study/cell/cell-folder.js";
import { runStudy } from "../dist/study/run/run.js";
import { tinyStudy } from "./study-fixture.js";

const outOfMemory = {
  code: "OUT_OF_MEMORY",
  message: expect.stringMatching(/fewer jobs.*microBatch.*fewer voxels/s),
};

describe("memory that is exhausted", () => {
  it("is said of a tensor that no machine can hold", async () => {
    await expect(Tensor.normal([1 << 20, 1 << 20, 1 << 10], 1)).rejects.toMatchObject(outOfMemory);
  });

  it("is said of an array that no machine can hold", () => {
    const thrown = (() => {
      try {
        return new ArrayBuffer(2 ** 52);
      } catch (error) {
        return error;
      }
    })();
    expect(codedError(thrown)).toMatchObject(outOfMemory);
  });
});

describe("a worker that has no memory left", () => {
  let folder: string;
  const options = process.env.NODE_OPTIONS;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-memory-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
  });
  afterAll(async () => {
    if (options === undefined) delete process.env.NODE_OPTIONS;
    else process.env.NODE_OPTIONS = options;
    await rm(folder, { recursive: true, force: true });
  });

  it("is a failed cell of that code, with what to do", async () => {
    const study = tinyStudy(folder, "results", {
      tasks: ["lesion-segmentation"],
      comparators: ["random-weights"],
    });
    process.env.NODE_OPTIONS = "--max-old-space-size=8"; // of the workers alone: this process has started already
    const { cells } = await runStudy(study);
    const id = cells[0]?.id as string;
    expect(await readFailure(join(folder, "results"), id)).toEqual({
      id,
      code: "OUT_OF_MEMORY",
      reason: expect.stringMatching(
        /^The worker process was killed by SIGABRT, as no memory was left: .*fewer jobs/,
      ),
    });
  });
});
