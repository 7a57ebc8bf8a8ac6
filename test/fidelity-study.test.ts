import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { StudyEvent } from "../dist/common/progress.js";
import { Network } from "../dist/models/network.js";
import type { EncoderChoice } from "../dist/models/specification.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { checkStudy } from "../dist/study/plan/load-study.js";
import { checkEncoders } from "../dist/study/run/check-encoders.js";
import { runStudy } from "../dist/study/run/run.js";
import { readResults, tinyStudy } from "./study-fixture.js";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-fidelity-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
  const encoder = tinyStudy(folder, "").models[0]?.encoder as EncoderChoice;
  using untrained = await Network.create({ encoder, seed: 4 });
  await untrained.save(join(folder, "untrained.safetensors"));
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const study = (output: string, execution: StudyInput["execution"] = {}, untrained = false): StudyInput => {
  const base = tinyStudy(folder, output, {
    tasks: ["lesion-segmentation"],
    comparators: ["fine-tuned", "pretrained"],
    execution,
  });
  const { pretrain: _, ...model } = base.models[0] as StudyInput["models"][number];
  return untrained
    ? { ...base, models: [{ ...model, weights: join(folder, "untrained.safetensors") }] }
    : base;
};

describe("a study with weights that were never trained", () => {
  it("ends before it trains from them, with a stable code and what was measured", async () => {
    const events: StudyEvent[] = [];
    const run = runStudy(study("stopped", {}, true), { onProgress: (event) => void events.push(event) });
    await expect(run).rejects.toMatchObject({
      code: "UNSOUND_ENCODER",
      message: expect.stringMatching(/profound.*never trained.*execution\.gate: warn/s),
    });
    expect(events.filter(({ kind }) => kind === "epoch")).toEqual([]);
    expect(events).toContainEqual(
      expect.objectContaining({ kind: "encoder-checked", model: "profound", severe: true }),
    );
    const { fidelity, cells } = await readResults(join(folder, "stopped"));
    expect(fidelity?.[0]?.checks[0]).toMatchObject({
      check: "weights",
      severe: true,
      measured: { untouchedShare: 1 },
    });
    expect(cells.some(({ comparator, status }) => comparator !== "trivial" && status === "done")).toBe(false);
  }, 60_000);

  it("goes on where it is told to warn, and its report says so first", async () => {
    const results = await runStudy(study("warned", { gate: "warn" }, true));
    expect(results.complete).toBe(true);
    await writeReport(join(folder, "warned"));
    const page = await readFile(join(folder, "warned", "report.html"), "utf8");
    expect(page.slice(0, page.indexOf("</header>"))).toContain(
      "Before profound was trained, its weights were flagged",
    );
    expect(page).toContain("What was checked of encoders before they were trained");
  }, 60_000);

  it("looks at nothing where the gate is off, with the same numbers", async () => {
    const { fidelity, gains, distances } = await runStudy(study("off", { gate: "off" }, true));
    expect(fidelity).toBeUndefined();
    const warned = await readResults(join(folder, "warned"));
    expect(gains).toEqual(warned.gains);
    expect(JSON.parse(JSON.stringify(distances))).toEqual(warned.distances);
  }, 60_000);
});

describe("a study that pretrains its encoder", () => {
  it("looks at it once, before the first cell that starts from it, and finds it sound", async () => {
    const events: StudyEvent[] = [];
    const { fidelity, complete } = await runStudy(study("own"), {
      onProgress: (event) => void events.push(event),
    });
    expect(complete).toBe(true);
    expect(events.filter(({ kind }) => kind === "encoder-checked")).toEqual([
      { kind: "encoder-checked", model: "profound", flags: [], severe: false },
    ]);
    expect(fidelity).toHaveLength(1);
    expect(fidelity?.[0]).toMatchObject({
      model: "profound",
      pretraining: "profound--pretraining",
      cases: 3,
    });
    const verdicts = fidelity?.[0]?.checks.map(({ check, verdict }) => [check, verdict]);
    expect(verdicts).toEqual(
      ["weights", "features", "intensities", "channels", "axes", "positions"].map((check) => [
        check,
        "sound",
      ]),
    );
  }, 60_000);

  it("is looked at by the command check too, which takes what was measured before", async () => {
    const [checked] = await checkEncoders(await checkStudy(study("own")));
    const { fidelity } = await readResults(join(folder, "own"));
    expect(checked).toEqual({
      ...{ encoder: "profound--pretraining", status: "checked", reason: null },
      found: fidelity?.[0],
    });
    const [pending] = await checkEncoders(await checkStudy(study("new")));
    expect(pending).toMatchObject({ status: "pending", found: null });
  }, 60_000);

  it("may go on with other words for what its weights expect, as no number rests on them", async () => {
    const base = study("own");
    const models = base.models.map((model) => ({ ...model, expects: { axes: "SPL" } }));
    await expect(runStudy({ ...base, models })).resolves.toMatchObject({ complete: true });
  }, 60_000);

  it("refuses words that mean nothing, naming the field", async () => {
    const base = study("wrong");
    const models = base.models.map((model) => ({ ...model, expects: { axes: "SIP" } }));
    await expect(runStudy({ ...base, models })).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(/models\[0\]\.expects\.axes: expected three letters/),
    });
  });
});
