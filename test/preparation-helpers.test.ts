import { getEventListeners } from "node:events";
import { mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Manifest, readManifest } from "../dist/cohort/manifest.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { PreparationHelper } from "../dist/cohort/preparation-helper-process.js";
import { type PreprocessOptions, prepareCohort } from "../dist/cohort/preprocess.js";
import { children } from "./study-fixture.js";

const options: PreprocessOptions = {
  voxels: [32, 32, 16],
  crop: { around: "gland", fieldOfView: [64, 64, 60] },
};

/** The processes that help this one. */
const helpers = () => children("cohort/preparation-helper.js").map(({ pid }) => pid);

describe("a cohort that several processes prepare", () => {
  const folder = mkdtempSync(join(tmpdir(), "transfer-limits-helpers-"));
  let manifest: Manifest;
  beforeAll(async () => {
    const path = await writePhantomCohort(join(folder, "cohort"), {
      cases: 60,
      seed: 4,
      voxels: [64, 64, 24],
    });
    manifest = await readManifest(path);
    truncateSync(manifest.cases[40]?.volumes.t2w as string, 1000);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Prepares it with as many helpers from the start, and calls `seen` after each case while some are there. */
  async function prepared(
    cache: string,
    processes: number,
    seen: (pids: number[]) => void = () => {},
    signal?: AbortSignal,
  ) {
    const place = join(folder, cache);
    const helping = { cache: place, images: {}, onDamage: () => {} };
    const { cases, excluded } = await prepareCohort(manifest, options, {
      cache: place,
      helpers: { most: processes, after: 0, start: () => new PreparationHelper(options, helping) },
      concurrency: 1,
      signal,
      onCase: () => {
        const pids = helpers();
        if (pids.length > 0) seen(pids);
      },
    });
    return { cases: cases.map((one) => ({ ...one, file: one.file.slice(place.length) })), excluded };
  }

  it("comes out as from one, with what is left out, in the order of the manifest", async () => {
    let most = 0;
    const together = await prepared("together", 2, (pids) => {
      most = Math.max(most, pids.length);
    });
    expect(most).toBe(2);
    expect(helpers()).toEqual([]);
    const alone = await prepared("alone", 0);
    expect(together).toEqual(alone);
    expect(alone.cases).toHaveLength(59);
    expect(together.excluded).toMatchObject([{ case: manifest.cases[40]?.id }]);
    for (const { file } of alone.cases) {
      const [one, other] = ["together", "alone"].map((cache) => readFileSync(join(folder, cache, file)));
      expect(one?.equals(other as Buffer)).toBe(true);
    }
  });

  it("is complete where helpers were killed", async () => {
    let killed = 0;
    const { cases, excluded } = await prepared("killed", 2, (pids) => {
      for (const pid of pids) process.kill(pid, "SIGKILL");
      killed += pids.length;
    });
    expect(killed).toBeGreaterThan(0);
    expect(cases).toHaveLength(59);
    expect(excluded).toHaveLength(1);
  });

  it("is given up at once on request, helpers and all", async () => {
    const controller = new AbortController();
    let listening = 0;
    const seen = () => {
      listening = Math.max(listening, getEventListeners(controller.signal, "abort").length);
      controller.abort();
    };
    await expect(prepared("aborted", 2, seen, controller.signal)).rejects.toMatchObject({ code: "ABORTED" });
    expect(helpers()).toEqual([]);
    expect(listening).toBe(1); // Node warns of more than ten
  });
});
