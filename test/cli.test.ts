import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Network } from "../dist/models/network.js";
import { cli, commands, smallStudy, startCli, writeFloats, writeSmallImage } from "./cli-fixture.js";
import { stateOf, writeForeign } from "./foreign-weights.js";
import { temporaryFolder } from "./libtorch-fixture.js";
import { shared, sharedMissing } from "./shared.js";
import { torchZip } from "./torch-writer.js";

const studyOf = (training: string): string =>
  smallStudy("comparators: [fine-tuned, random-weights]", `training: ${training}`);

describe("every command", () => {
  it.each(commands.filter((command) => command !== "bench"))(
    "%s explains itself with an example and exit status 0",
    async (command) => {
      const { status, stdout } = await cli(command, "--help");
      expect(status).toBe(0);
      expect(stdout).toMatch(new RegExp(`Examples?:\\n\\s+node dist/cli/main.js ${command}`));
      expect(stdout).toContain("--json");
    },
  );

  it.each([
    ["an unknown command", ["halp"]],
    ["a missing argument", ["run"]],
    ["an unknown option", ["doctor", "--fast"]],
    ["a number that is none", ["align", "a", "b", "--sigma", "wide"]],
    ["an unknown encoder", ["embed", "m.csv", "--out", "o", "--encoder", "resnet"]],
  ])("answers %s with exit status 2, and with JSON where asked for", async (_, args) => {
    const { status, stdout, stderr } = await cli(...args, "--json");
    expect(status).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: expect.any(String), message: expect.any(String) },
    });
    expect(stderr).not.toBe("");
    expect((await cli(...args)).stdout).toBe("");
  });
});

describe("inspect", () => {
  it("says what an image is", async () => {
    const path = join(temporaryFolder(), "small.nrrd");
    writeSmallImage(path);
    const { status, stdout } = await cli("inspect", path, "--json");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      kind: "image",
      format: "NRRD",
      storedType: "int16",
      shape: [2, 3, 4],
      spacing: [3, 2, 1],
      orientation: "LPS",
      range: [0, 23],
      mean: 11.5,
    });
    expect((await cli("inspect", path)).stdout).toContain("2 x 3 x 4 (depth x height x width)");
  });

  it("says what a file of weights is, without loading it", async () => {
    const path = join(temporaryFolder(), "weights.safetensors");
    writeFloats(path, { "stem.weight": { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] } });
    const { status, stdout } = await cli("inspect", path, "--json");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      kind: "weights",
      parameters: 6,
      tensors: [{ name: "stem.weight", dtype: "float32", shape: [2, 3] }],
    });
  });

  it("says what a checkpoint of PyTorch is, by its contents: whose weights, of which encoder, and what is beside", async () => {
    const path = join(temporaryFolder(), "no-name");
    using network = await Network.create({ encoder: "profound-demo", seed: 1 });
    await writeForeign(path, await stateOf(network), (name, { shape, values }) => [
      `encoder.${name}`,
      shape,
      values,
    ]);
    const { status, stdout } = await cli("inspect", path, "--json");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      kind: "weights",
      format: "PyTorch zip",
      sha256: createHash("sha256").update(readFileSync(path)).digest("hex"),
      state: "model",
      metadata: { epoch: 1 },
      architecture: {
        encoder: { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 2, 1], dims: [16, 32, 64, 128] },
        assumed: [],
      },
      keyMaps: [{ name: "convnext-v2-3d", coverage: 1 }],
    });
    const text = (await cli("inspect", path)).stdout;
    expect(text).toContain("convnext-v2-3d: channels 3; depths 1, 1, 2, 1; dims 16, 32, 64, 128");
    expect(text).toContain("100.0 % of the encoder");
    expect(text).toMatch(/epoch +1/);
  });

  it("refuses a checkpoint that would run something, by the name of what it asks for", async () => {
    const path = join(temporaryFolder(), "evil.pth");
    writeFileSync(path, torchZip({ dictionary: [["model", { call: ["posix", "system", "true"] }]] }));
    const { status, stdout } = await cli("inspect", path, "--json");
    expect(status).toBe(1);
    expect(JSON.parse(stdout).error).toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringContaining("posix.system"),
    });
  });

  it.each([
    ["absent.nii.gz", null, "BAD_IMAGE"],
    ["text.nii", "this is no image", "BAD_IMAGE"],
    ["absent.safetensors", null, "BAD_CHECKPOINT"],
    ["short.safetensors", "abc", "BAD_CHECKPOINT"],
  ])("answers %s with exit status 1, naming the file", async (name, contents, code) => {
    const path = join(temporaryFolder(), name);
    if (contents !== null) writeFileSync(path, contents);
    const { status, stdout } = await cli("inspect", path, "--json");
    expect(status).toBe(1);
    const { error } = JSON.parse(stdout);
    expect(error.code).toBe(code);
    expect(error.message).toContain(name);
  });

  it("prints no control character that a file's header holds", async () => {
    const path = join(temporaryFolder(), "evil.mhd");
    writeFileSync(
      path,
      "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = \u001b[2Jx\n",
    );
    const { status, stderr } = await cli("inspect", path);
    expect(status).toBe(1);
    expect(stderr).not.toContain("\u001b");
  });
});

describe.skipIf(sharedMissing)("inspect on odd files (needs the shared folder beside the checkout)", () => {
  it.each([
    "complex_voxels.nii.gz",
    "data_file_missing.mhd",
    "empty.nii.gz",
    "five_dimensional.mha",
    "header_only.nii",
    "invalid_utf8.mhd",
    "nan_voxels.nii",
    "referring_to_system_file.mhd",
    "text.nii",
    "truncated.nii.gz",
  ])("refuses %s with exit status 1, naming file and reason", async (name) => {
    const { status, stderr } = await cli("inspect", shared("data", "odd", "refused", name));
    expect(status).toBe(1);
    expect(stderr).toMatch(new RegExp(`${name.replaceAll(".", "\\.")}: \\S+ .*\\S`));
    expect(stderr).not.toContain("    at ");
  });

  it("refuses a mask that does not lie on its image", async () => {
    const mask = shared("data", "odd", "refused", "mask_off_the_image_11373.nii.gz");
    const image = shared("data", "prostate", "11373_1001396", "t2w.mha");
    const { status, stderr } = await cli("inspect", mask, "--of", image);
    expect(status).toBe(1);
    expect(stderr).toContain("mask_off_the_image_11373.nii.gz");
    const right = shared("data", "prostate", "11373_1001396", "lesion.nii.gz");
    expect((await cli("inspect", right, "--of", image)).status).toBe(0);
  });
});

describe("simulate", () => {
  it("says how often verdicts are right where the truth is known, and the same as JSON", async () => {
    const args = [
      "simulate",
      "--studies",
      "40",
      "--tasks",
      "1",
      "--gain",
      "0.1",
      "--seeds",
      "4",
      "--patients",
      "40",
    ];
    const { stdout, status } = await cli(...args);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^40 studies of 4 seeds and 40 patients, true gain 0.100:/);
    expect(stdout).toMatch(/hold the true gain in \d+/);
    const value = JSON.parse((await cli(...args, "--json")).stdout);
    expect(value.claims).toBe(40);
    expect(value.verdicts.supported).toBeGreaterThan(0.9);
    expect(value.covered).toBeGreaterThan(0.8);
    expect(
      Object.values(value.verdicts).reduce((sum: number, share) => sum + (share as number), 0),
    ).toBeCloseTo(1, 12);
  });

  it("says that one seed settles nothing", async () => {
    const { stdout } = await cli("simulate", "--studies", "5", "--seeds", "1", "--gain", "0.3");
    expect(stdout).toMatch(/undecided +100\.0 %/);
    expect(stdout).toMatch(/One seed, or one patient, gives no interval: nothing can be settled\./);
  });
});

describe("align", () => {
  it("computes MMD² of two files of embeddings as the formula gives it", async () => {
    const folder = temporaryFolder();
    writeFloats(join(folder, "a.safetensors"), { embeddings: { shape: [2, 1], data: [0, 1] } });
    writeFloats(join(folder, "b.safetensors"), { other: { shape: [2, 1], data: [0, 2] } });
    const { status, stdout } = await cli(
      ...["align", join(folder, "a.safetensors"), join(folder, "b.safetensors"), "--sigma", "2", "--json"],
    );
    expect(status).toBe(0);
    const k = (distance: number) => Math.exp(-(distance ** 2) / 4);
    const within = (2 + 2 * k(1)) / 4 + (2 + 2 * k(2)) / 4;
    const between = (k(0) + k(2) + k(1) + k(1)) / 4;
    const answer = JSON.parse(stdout);
    expect(answer).toMatchObject({ rows: [2, 2], features: 1, given: { sigma: 2, saturated: false } });
    expect(answer.given.biased).toBeCloseTo(within - 2 * between, 10);
  });

  it("tests the distance against random divisions of the rows, and prints p", async () => {
    const folder = temporaryFolder();
    const [a, b] = [join(folder, "a.safetensors"), join(folder, "b.safetensors")];
    const data = Array.from({ length: 8 }, (_, row) => row / 10);
    writeFloats(a, { embeddings: { shape: [8, 1], data } });
    writeFloats(b, { embeddings: { shape: [8, 1], data: data.map((value) => value + 5) } });
    const test = [...["align", a, b, "--permutations", "99", "--seed", "3"]];
    const answer = JSON.parse((await cli(...test, "--json")).stdout);
    expect(answer.medianHeuristic).toMatchObject({ permutations: 99, pValue: 0.01 });
    const { stdout } = await cli(...test, "--paired");
    expect(stdout).toMatch(/off-diagonal kernel +p\n/);
    expect(stdout).toMatch(/p is exact, over all 128 divisions/);
    const wrong = await cli("align", a, b, "--paired", "--unpaired");
    expect(wrong.status).not.toBe(0);
    expect(wrong.stderr).toMatch(/--paired and --unpaired contradict each other/);
  });

  it("asks for a name where a file holds several tensors, and refuses sets of other features", async () => {
    const folder = temporaryFolder();
    const data = [1, 2, 3, 4];
    writeFloats(join(folder, "two.safetensors"), { x: { shape: [2, 2], data }, y: { shape: [1, 4], data } });
    writeFloats(join(folder, "one.safetensors"), { z: { shape: [2, 2], data } });
    const [two, one] = [join(folder, "two.safetensors"), join(folder, "one.safetensors")];
    const unnamed = await cli("align", two, one);
    expect(unnamed.status).toBe(1);
    expect(unnamed.stderr).toMatch(/2 tensors and none is called "embeddings"; name one with --tensor/);
    writeFloats(join(folder, "wide.safetensors"), { embeddings: { shape: [1, 4], data } });
    const uneven = await cli("align", one, join(folder, "wide.safetensors"));
    expect(uneven.status).toBe(1);
    expect(uneven.stderr).toMatch(/Expected as many features/);
  });
});

describe("a bad study", () => {
  it.each(["run", "plan", "pretrain"])(
    "stops %s before any work with exit status 2 and names the field",
    async (command) => {
      const folder = temporaryFolder();
      writeFileSync(join(folder, "study.yaml"), studyOf("{ epoch: 3 }"));
      const { status, stdout, stderr } = await cli(command, join(folder, "study.yaml"), "--json");
      expect(status).toBe(2);
      expect(JSON.parse(stdout).error).toMatchObject({
        code: "BAD_CONFIG",
        message: expect.stringContaining("training"),
      });
      expect(stderr).toMatch(/unknown key "epoch"\. Did you mean "epochs"\?/);
      expect(existsSync(join(folder, "small-results"))).toBe(false);
    },
  );

  it("is one that is not there", async () => {
    const { status, stderr } = await cli("run", join(temporaryFolder(), "absent.yaml"));
    expect(status).toBe(2);
    expect(stderr).toContain("absent.yaml");
  });
});

describe("demo", () => {
  it("does not touch a folder that holds another study", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "study.yaml"), "name: mine\n");
    const { status, stdout } = await cli("demo", "--out", folder, "--json");
    expect(status).toBe(2);
    expect(JSON.parse(stdout).error.message).toContain("Choose another folder with --out");
    expect(readFileSync(join(folder, "study.yaml"), "utf8")).toBe("name: mine\n");
    expect(existsSync(join(folder, "cohort"))).toBe(false);
  });
});

describe("a small study on phantoms", () => {
  let folder: string;
  let study: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "transfer-limits-test-"));
    const { writePhantomCohort } = await import("../dist/cohort/phantom.js");
    await writePhantomCohort(join(folder, "cohort"), { cases: 4, seed: 5, voxels: [24, 24, 12] });
    study = join(folder, "study.yaml");
    writeFileSync(study, studyOf("{ epochs: 25 }"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("is planned without any work", async () => {
    const { status, stdout } = await cli("plan", study, "--json");
    expect(status).toBe(0);
    const { cells, output } = JSON.parse(stdout);
    expect(cells.map(({ id }: { id: string }) => id)).toEqual([
      "profound--pretraining",
      "profound--lesion-segmentation--fine-tuned--seed1",
      "profound--lesion-segmentation--random-weights--seed1",
      "mean-mask--lesion-segmentation--trivial",
    ]);
    expect(existsSync(output)).toBe(false);
    expect((await cli("plan", study)).stdout).toContain("4 cells");
  });

  it("is planned with how its training cases are augmented", async () => {
    const augmented = join(folder, "augmented.yaml");
    writeFileSync(augmented, studyOf("{ augmentation: { flip: [left-right] } }"));
    expect((await cli("plan", augmented)).stdout).toContain(
      "training cases of 1 cell augmented: flipped left-right with probability 0.5\n",
    );
    expect((await cli("plan", study)).stdout).not.toContain("augmented");
  });

  it("is pretrained alone", async () => {
    const { status, stdout, stderr } = await cli("pretrain", study, "--json");
    expect(stderr).toContain("pretraining · profound: epoch 1 of 1");
    expect(status).toBe(0);
    const { results, report } = JSON.parse(stdout);
    expect(report).toBeNull();
    expect(results.pretraining).toMatchObject([{ model: "profound", status: "done" }]);
    expect(results.cells.map(({ status }: { status: string }) => status)).toEqual([
      "pending",
      "pending",
      "pending",
    ]);
  });

  it("stops at Ctrl-C and says how to go on", async () => {
    const { child, texts, finished } = startCli(["run", study]);
    while (!texts.stderr.includes("fine-tuned: epoch 1 of 25")) {
      if (child.exitCode !== null) throw new Error(`It ended by itself: ${texts.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    child.kill("SIGINT");
    const { status, stderr } = await finished;
    expect(status).toBe(1);
    expect(stderr).toContain(`To go on later: node dist/cli/main.js run ${study}`);
    expect(stderr).toContain("error (ABORTED)");
  });

  it("goes on from there to its report", async () => {
    const { status, stdout, stderr } = await cli("run", study, "--json");
    expect(status).toBe(0);
    expect(stderr).toMatch(/fine-tuned: started, goes on at epoch \d+ of 25/);
    const { results, report } = JSON.parse(stdout);
    expect(results.complete).toBe(true);
    expect(existsSync(report)).toBe(true);
  });

  it("is summed up in a table, and run again computes nothing", async () => {
    const { status, stdout, stderr } = await cli("run", study);
    expect(status).toBe(0);
    expect(stderr).not.toContain("epoch");
    expect(stdout).toMatch(/task +model +seed +metric +fine-tuned/);
    expect(stdout).toMatch(/Report: .*report\.html/);
  });

  it("is reported again from its folder", async () => {
    const { status, stdout } = await cli("report", join(folder, "small-results"), "--json");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ report: join(folder, "small-results", "report.html") });
  });

  it("has a cohort that an encoder embeds, each case with its name", async () => {
    const out = join(folder, "embeddings.safetensors");
    const args = ["--encoder", "profound-demo", "--voxels", "16x16x16", "--out", out, "--json"];
    const { status, stdout, stderr } = await cli("embed", join(folder, "cohort", "manifest.csv"), ...args);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ output: out, features: 128, excluded: [] });
    const { metadata, tensors } = JSON.parse((await cli("inspect", out, "--json")).stdout);
    expect(JSON.parse(metadata.cases)).toEqual(["phantom-001", "phantom-002", "phantom-003", "phantom-004"]);
    expect(tensors).toEqual([{ name: "embeddings", dtype: "float32", shape: [4, 128] }]);
    const same = JSON.parse((await cli("align", out, out, "--json")).stdout);
    expect(same.given.biased).toBeLessThan(1e-12);
    expect(same).toMatchObject({ paired: true, patients: JSON.parse(metadata.patients).length });
  });

  it("has a cohort that an encoder of slices embeds, with one image or with as many as its channels", async () => {
    const out = join(folder, "slices.safetensors");
    const args = ["--encoder", "provicnet-small", "--voxels", "14x14x8", "--out", out, "--json"];
    for (const images of [["t2w"], ["t2w", "adc", "hbv"]]) {
      const manifest = join(folder, "cohort", "manifest.csv");
      const { status, stdout, stderr } = await cli("embed", manifest, ...args, "--images", ...images);
      expect(status, stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ features: 384, excluded: [] });
    }
  });
});
