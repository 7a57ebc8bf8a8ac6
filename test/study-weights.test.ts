import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { LoadReport } from "../dist/models/checkpoints/load-report.js";
import { Network } from "../dist/models/network.js";
import type { ConvNeXtSpec } from "../dist/native/network-spec.js";
import { writeReport } from "../dist/report/index.js";
import { loadedWeights } from "../dist/report/loaded-weights.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { stateOf, writeForeign } from "./foreign-weights.js";
import { readResults, tinyStudy } from "./study-fixture.js";
import { floats, torchZip, type Value } from "./torch-writer.js";

const encoder: ConvNeXtSpec = {
  family: "convnext-v2-3d",
  channels: 3,
  depths: [1, 1, 1, 1],
  dims: [4, 8, 8, 16],
};

let folder: string;
let weights: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-weights-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
  weights = join(folder, "best.pth.tar");
  using source = await Network.create({ encoder, head: { kind: "classifier", classes: 4 }, seed: 11 });
  await writeForeign(weights, await stateOf(source), (name, { shape, values }) => [
    `module.${name}`,
    shape,
    values,
  ]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const study = (output: string, changes: Partial<StudyInput["models"][number]> = {}): StudyInput => {
  const base = tinyStudy(folder, output, { tasks: ["lesion-segmentation"], comparators: ["pretrained"] });
  const { pretrain: _, ...model } = base.models[0];
  // Its weights were drawn, and never trained.
  return {
    ...base,
    models: [{ ...model, weights, ...changes }],
    execution: { ...base.execution, gate: "warn" },
  };
};

const reportIn = async (output: string): Promise<LoadReport> =>
  JSON.parse(await readFile(join(folder, output, "weights", "profound.json"), "utf8"));

describe("a study with published weights", () => {
  it("keeps the load report with the file's hash, runs, and shows it on the page", async () => {
    const results = await runStudy(study("first"));
    expect(results.complete).toBe(true);
    const kept = await reportIn("first");
    const hash = createHash("sha256")
      .update(await readFile(weights))
      .digest("hex");
    expect(kept.file).toMatchObject({
      path: weights,
      format: "PyTorch zip",
      sha256: hash,
      prefix: "module.",
    });
    expect(kept.coverage.encoder).toBe(1);
    expect(kept.embedding).toMatchObject({ before: "random weights" });
    expect(kept.refusal).toBeNull();

    await writeReport(join(folder, "first"));
    const page = await readFile(join(folder, "first", "report.html"), "utf8");
    for (const text of [
      hash,
      "profound-classification, detected",
      "weights/profound.json",
      "100.0 % of its parameters",
    ])
      expect(page).toContain(text);
  }, 120_000);

  it("goes on where the file is the same; of one that was changed it computes what starts from it, and takes that back", async () => {
    const run = async () => {
      const worked: string[] = [];
      const away: Record<string, string> = {};
      const { cells } = await runStudy(study("first"), {
        onProgress: (event) => {
          if (event.kind === "cell-started") worked.push(event.cell.id);
          if (event.kind === "cell-moved-away") away[event.id] = event.reason;
        },
      });
      return { cells, worked: worked.sort(), away };
    };
    const before = await readResults(join(folder, "first"));
    const pretrained = before.cells
      .filter(({ comparator }) => comparator === "fine-tuned" || comparator === "pretrained")
      .map(({ id }) => id)
      .sort();
    expect(pretrained.length).toBeGreaterThan(0);
    expect(await run()).toMatchObject({ cells: before.cells, worked: [], away: {} });
    const original = await readFile(weights);
    try {
      using other = await Network.create({ encoder, seed: 12 });
      await writeForeign(weights, await stateOf(other), (name, { shape, values }) => [name, shape, values]);
      const changed = await run();
      expect(changed.worked).toEqual(pretrained);
      expect(changed.away).toEqual(
        Object.fromEntries(pretrained.map((id) => [id, "changed: the weights that it starts from"])),
      );
    } finally {
      await writeFile(weights, original);
    }
    expect(await run()).toMatchObject({ cells: before.cells, worked: [] });
    expect((await readResults(join(folder, "first"))).fidelity).toEqual(before.fidelity);
  }, 240_000);

  it("is refused before any work where the file is, in the report's words", async () => {
    const half = join(folder, "half.pth");
    using source = await Network.create({ encoder, seed: 11 });
    let count = 0;
    await writeForeign(half, await stateOf(source), (name, { shape, values }) => [
      ++count % 2 === 0 ? name : `other.${name}`,
      shape,
      values,
    ]);
    await expect(runStudy(study("half", { weights: half }))).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(
        /models\[0\]\.weights: .*at least 95 % .*half\.pth.*closest key map is convnext-v2-3d/,
      ),
    });
    expect(existsSync(join(folder, "half"))).toBe(false);
  });

  it("reads them by the key map that it names", async () => {
    await expect(runStudy(study("named", { keyMap: "profound-masked-autoencoder" }))).resolves.toMatchObject({
      complete: true,
    });
    // The names are those of the classifier, which that key map leaves as they are.
    expect((await reportIn("named")).keyMap).toMatchObject({
      name: "profound-masked-autoencoder",
      chosen: "named",
    });
  }, 120_000);
});

describe("a study whose weights lie beside their average", () => {
  const both = () => join(folder, "both.pth");
  beforeAll(async () => {
    const states = await Promise.all(
      [21, 22].map(async (seed): Promise<Value> => {
        using source = await Network.create({ encoder, seed });
        const state = [...(await stateOf(source))];
        return { ordered: state.map(([name, { shape, values }]) => [name, floats(values, shape)]) };
      }),
    );
    await writeFile(
      both(),
      torchZip({
        dictionary: [
          ["model", states[0] as Value],
          ["model_ema", states[1] as Value],
        ],
      }),
    );
  });

  it("takes the set that it names, and keeps that in the report", async () => {
    await expect(
      runStudy(study("average", { weights: both(), weightsState: "model_ema" })),
    ).resolves.toMatchObject({ complete: true });
    expect((await reportIn("average")).file).toMatchObject({ state: "model_ema", chosen: "named" });
  }, 120_000);

  it("is refused before any work where there is no such set, naming those that there are", async () => {
    await expect(runStudy(study("wrong", { weights: both(), weightsState: "ema" }))).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(/models\[0\]\.weightsState: .*"model", "model_ema".*received "ema"/),
    });
    expect(existsSync(join(folder, "wrong"))).toBe(false);
  });
});

describe("the page", () => {
  it("takes nothing that a checkpoint says for markup", async () => {
    const kept = await reportIn("first");
    const evil = "<script>alert(1)</script>";
    const report = {
      ...kept,
      warnings: [evil],
      file: { ...kept.file, path: evil, prefix: evil },
      refusal: evil,
    };
    const page = String(loadedWeights([{ model: evil, file: `weights/${evil}.json`, report }]));
    expect(page).not.toContain("<script>");
    expect(page).toContain("&lt;script&gt;");
  });
});

describe("an encoder that a study pretrained itself", () => {
  it("says what it is of, and how it embeds the probe volume", async () => {
    const base = tinyStudy(folder, "own", { tasks: ["lesion-segmentation"], comparators: ["pretrained"] });
    const results = await runStudy(base);
    expect(results.complete).toBe(true);
    using network = await Network.create({
      encoder,
      head: { kind: "unetr", outputs: 1, featureSize: 4 },
      seed: 4,
    });
    const path = join(folder, "own", "cells", "profound--pretraining", "encoder.safetensors");
    const { report } = await network.loadCheckpoint(path, { scope: "encoder" });
    expect(report.orientation.verdict).toBe("as recorded");
    expect(report.file.metadata).toMatchObject({
      model: "profound",
      pretraining: "masked-autoencoder",
      writer: "transfer-limits/weights@1",
    });
    expect(JSON.parse(String(report.file.metadata.network)).encoder).toEqual(encoder);
  }, 120_000);
});
