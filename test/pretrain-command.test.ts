import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { cli, type Finished, startCli } from "./cli-fixture.js";

let folder: string;
let manifest: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-pretrain-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 5, seed: 12, voxels: [32, 32, 12] });
  manifest = join(folder, "cohort", "manifest.csv");
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const cellOf = (out: string): string => join(folder, out, "cells", "encoder--pretraining");
const files = async (out: string): Promise<Record<string, Buffer>> =>
  Object.fromEntries(
    await Promise.all(
      (await readdir(cellOf(out)))
        .filter((name) => name !== "pretraining.json" && name !== "SHA256SUMS") // the first holds times
        .map(async (name) => [name, await readFile(join(cellOf(out), name))] as const),
    ),
  );

describe.each([
  { method: "masked-autoencoder", encoder: "profound-demo", patients: 5 },
  { method: "patch-contrast", encoder: "provicnet-demo", patients: 4 }, // one phantom has no lesion
  { method: "self-distillation", encoder: "provicnet-demo", patients: 5 },
])("pretrain on a manifest by $method", ({ method, encoder, patients }) => {
  const args = (out: string, ...more: string[]) => [
    ...["pretrain", manifest, "--encoder", encoder, "--method", method, "--voxels", "32x32x12"],
    ...["--epochs", "3", "--batch-size", "2", "--checkpoint-every", "1", "--threads", "1"],
    ...["--cache", join(folder, "cache"), "--out", join(folder, out), ...more],
  ];

  it("gives an encoder, its curve, the encoders on the way, and says where they are", async () => {
    const { status, stdout, stderr } = await cli(...args(method, "--json"));
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/pretraining · encoder: epoch 2 of 3, loss .* left/);
    const { encoders, output } = JSON.parse(stdout);
    expect(output).toBe(join(folder, method));
    expect(encoders).toMatchObject([
      {
        model: "encoder",
        patients,
        patientsLeftOut: 0,
        epochs: 3,
        curve: join(cellOf(method), "curve.csv"),
      },
    ]);
    expect(Object.keys(await files(method)).sort()).toEqual([
      "curve.csv",
      "encoder-1.safetensors",
      "encoder-2.safetensors",
      "encoder.safetensors",
      "last.safetensors",
    ]);
    const curve = (await readFile(encoders[0].curve, "utf8")).trim().split("\n");
    expect(curve).toHaveLength(4);
    const file = await readSafetensors(encoders[0].encoder);
    expect(file.metadata).toMatchObject({ pretraining: method, epoch: "3" });
    const kept = await readSafetensors(join(cellOf(method), "encoder-1.safetensors"));
    expect(kept.metadata).toMatchObject({
      pretraining: method,
      epoch: "1",
      patients: file.metadata.patients,
    });
    expect(kept.names).toEqual(file.names);
    expect(file.names.some((name) => /head|decoder|mask_token\b.*\./i.test(name))).toBe(false);
  }, 300_000);

  it("killed in the middle, goes on and ends in the same bits", async () => {
    const { child, texts, finished } = startCli(args("killed"));
    while (!texts.stderr.includes("epoch 1 of 3")) {
      if (child.exitCode !== null) throw new Error(`It ended by itself: ${texts.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.kill("SIGKILL");
    await finished;
    const { status, stderr } = await goOn(() => cli(...args("killed")));
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/started, goes on at epoch [23] of 3/);
    const [whole, killed] = [await files(method), await files("killed")];
    expect(Object.keys(killed)).toEqual(Object.keys(whole));
    for (const [name, bytes] of Object.entries(whole))
      expect(bytes.equals(killed[name] as Buffer), name).toBe(true);
    expect(await readdir(join(folder, "killed", "progress"))).toEqual([]);
    await rm(join(folder, "killed"), { recursive: true });
  }, 300_000);
});

/** The worker of a killed process dies with it, but a moment later: until then its folder may be busy. */
async function goOn(run: () => Promise<Finished>): Promise<Finished> {
  await new Promise((resolve) => setTimeout(resolve, 500));
  return run();
}

describe("pretrain", () => {
  it("leaves out listed patients, and says how many in words", async () => {
    const list = join(folder, "list.txt");
    await writeFile(list, "phantom-002\nphantom-004\n");
    const { status, stdout, stderr } = await cli(
      ...["pretrain", manifest, "--encoder", "profound-demo", "--voxels", "16x16x12", "--epochs", "1"],
      ...["--exclude", list, "--threads", "1", "--out", join(folder, "without")],
    );
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(
      /encoder: 1 epoch, loss .*, 3 patients seen and 2 left out\n {2}.*encoder\.safetensors/,
    );
    const { metadata } = await readSafetensors(join(cellOf("without"), "encoder.safetensors"));
    expect(JSON.parse(metadata.patients as string)).toEqual(["phantom-001", "phantom-003", "phantom-005"]);
    // What it must not see isn't even read.
    const cohort = JSON.parse(await readFile(join(folder, "without", "cohort.json"), "utf8"));
    expect(cohort.pretraining.encoder).toHaveLength(3);
    expect(
      (await readdir(join(folder, "without", "cache"))).filter((name) => name.endsWith(".safetensors")),
    ).toHaveLength(3);
  }, 120_000);

  it.each([
    ["an unknown encoder", ["--encoder", "profound-huge"], /models\[0\]\.encoder.*profound-huge/],
    [
      "a method of another encoder",
      ["--encoder", "profound-demo", "--method", "self-distillation"],
      /masked-autoencoder/,
    ],
    ["a list that is not there", ["--exclude", "/no/such/list"], /\/no\/such\/list/],
    ["epochs that are none", ["--epochs", "0"], /whole number of at least 1/],
  ])("answers %s with exit status 2, saying what is wrong", async (_, more, message) => {
    const { status, stderr } = await cli(
      ...["pretrain", manifest, "--encoder", "profound-demo", "--voxels", "16x16x12"],
      ...["--out", join(folder, "refused"), ...more],
    );
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
    expect(existsSync(join(folder, "refused", "cells", "encoder--pretraining"))).toBe(false);
  });

  it("takes from a study what the study says, and refuses options that would say otherwise", async () => {
    const study = join(folder, "study.yaml");
    await writeFile(
      study,
      `name: study
cohort: { manifest: cohort/manifest.csv, voxels: [16, 16, 12] }
split: { train: 3, validation: 1, test: 1 }
models:
  - { name: encoder, encoder: profound-demo, pretrain: { epochs: 2, decoderDim: 8, manifest: cohort/manifest.csv } }
tasks: [super-resolution]
execution: { threads: 1, output: of-study }
`,
    );
    const refused = await cli("pretrain", study, "--learning-rate", "0.1");
    expect(refused.status).toBe(2);
    expect(refused.stderr).toMatch(/--learning-rate with a manifest/);
    const { status, stdout, stderr } = await cli("pretrain", study, "--checkpoint-every", "1", "--json");
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout).encoders).toMatchObject([{ patients: 3, patientsLeftOut: 2, epochs: 2 }]);
    expect(Object.keys(await files("of-study"))).toContain("encoder-1.safetensors");
    const { patients } = JSON.parse(await readFile(join(folder, "of-study", "splits.json"), "utf8"));
    const { metadata } = await readSafetensors(join(cellOf("of-study"), "encoder.safetensors"));
    expect(JSON.parse(metadata.patients as string)).toEqual(patients.train);
  }, 120_000);
});
