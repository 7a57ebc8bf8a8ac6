import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CaseVolumes } from "../dist/cohort/case-volumes.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { type CheckAhead, fidelityAhead } from "../dist/models/fidelity/ahead.js";
import type { Expectation } from "../dist/models/fidelity/expectation.js";
import { measureFidelity } from "../dist/models/fidelity/gate.js";
import { Network } from "../dist/models/network.js";
import type { EncoderSpec } from "../dist/native/network-spec.js";
import { cli } from "./cli-fixture.js";
import { phantomCases } from "./fidelity-fixture.js";

let folder: string;
let cases: CaseVolumes[];
const images = ["t2w", "adc", "hbv"] as const;
const voxels = [32, 32, 16] as const;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-ahead-"));
  cases = await phantomCases(folder, 8, 3);
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const residual = (channels: number): EncoderSpec => ({
  family: "residual-encoder-3d",
  channels,
  features: [4, 4, 4, 4],
  blocks: [1, 1, 1, 1],
  strides: [1, 2, 2, 2],
});
const resNet: EncoderSpec = { family: "resnet-3d", channels: 3, features: 8, blocks: [1, 1, 1, 1] };
const vision: EncoderSpec = {
  family: "dino-vit",
  ...{ channels: 3, patch: 14, embedDim: 12, depth: 2, heads: 3, registers: 0, axisTokens: 0 },
};
const all: Expectation = {
  intensities: { kind: "range", low: 0, high: 1 },
  channels: ["t2w", "adc", "hbv"],
  axes: "SPL",
  voxels: [32, 32],
};

const byOf = (checks: readonly CheckAhead[]) =>
  Object.fromEntries(checks.map(({ check, by }) => [check, by]));

describe("What the gate can check of an encoder, said ahead", () => {
  it.each<[string, EncoderSpec, Expectation | null, Record<string, string | null>]>([
    [
      "nothing tells of an encoder from elsewhere without batch norm, of which the study says nothing",
      residual(3),
      null,
      { intensities: null, channels: null, axes: null, positions: "itself" },
    ],
    [
      "one image alone has no order of channels",
      residual(1),
      null,
      { intensities: null, channels: null, axes: null, positions: "itself" },
    ],
    [
      "what the study states is compared",
      residual(3),
      all,
      { intensities: "expects", channels: "expects", axes: "expects", positions: "itself" },
    ],
    [
      "the statistics of a first batch norm tell something",
      resNet,
      null,
      { intensities: "batch norm", channels: "batch norm", axes: "batch norm", positions: "itself" },
    ],
    [
      "slices one by one show one image, and learnt positions were learnt at some size",
      vision,
      null,
      { intensities: null, channels: null, axes: null, positions: null },
    ],
    [
      "which the study can state",
      vision,
      all,
      { intensities: "expects", channels: "expects", axes: "expects", positions: "expects" },
    ],
  ])("is what it then measures: %s", async (_, encoder, expects, expected) => {
    using network = await Network.create({ encoder, seed: 1 });
    const ahead = fidelityAhead({ network, recorded: null, expects, images });
    expect(byOf(ahead)).toEqual({ weights: "itself", features: "itself", ...expected });
    const measured = await measureFidelity({
      ...{ network, report: null, cases, images: [...images], voxels },
      expects: expects ?? undefined,
    });
    expect(measured.map(({ check }) => check)).toEqual(ahead.map(({ check }) => check));
    for (const [index, { by, words }] of ahead.entries()) {
      const { verdict, words: said } = measured[index] as (typeof measured)[number];
      if (by === null) expect([verdict, said]).toEqual(["not measurable", words]);
      // Whether fresh statistics of a batch norm tell anything, only measuring shows.
      else if (by !== "batch norm") expect(verdict).not.toBe("not measurable");
    }
  });

  it("goes by the record of a pretraining, which needs two columns in common for the channels", () => {
    const network = { spec: { encoder: residual(3) }, parameters: [] };
    const of = (recorded: string[]) => byOf(fidelityAhead({ network, recorded, expects: null, images }));
    expect(of(["t2w", "adc"])).toMatchObject({ intensities: "record", channels: "record", axes: "record" });
    expect(of(["t2w"])).toMatchObject({ intensities: "record", channels: null, axes: "record" });
  });
});

describe("plan", () => {
  it("says for each pretrained encoder what the gate will check, by what, and what it cannot and why", async () => {
    await writePhantomCohort(join(folder, "cohort"), { cases: 8, seed: 3, voxels: [32, 32, 16] });
    const weights = join(folder, "weights.safetensors");
    using network = await Network.create({ encoder: residual(1), seed: 1 });
    await network.save(weights);
    const study = join(folder, "study.yaml");
    await writeFile(
      study,
      `name: ahead
cohort: { manifest: cohort/manifest.csv, voxels: [32, 32, 16] }
split: { train: 4, validation: 2, test: 2 }
tasks: [pirads-classification]
comparators: [fine-tuned]
models:
  - name: elsewhere
    encoder: ${JSON.stringify(residual(1))}
    weights: weights.safetensors
    expects: { intensities: { kind: range, low: 0, high: 1 } }
  - name: own
    encoder: ${JSON.stringify(residual(3))}
    pretrain: { epochs: 1 }
execution: { output: results }
`,
    );
    const json = JSON.parse((await cli("plan", study, "--json")).stdout) as {
      fidelity: { encoder: string; checks: CheckAhead[] }[];
    };
    expect(json.fidelity.map(({ encoder, checks }) => [encoder, byOf(checks)])).toEqual([
      [
        "elsewhere",
        {
          ...{ weights: "itself", features: "itself", intensities: "expects" },
          ...{ channels: null, axes: null, positions: "itself" },
        },
      ],
      [
        "own--pretraining",
        {
          ...{ weights: "itself", features: "itself", intensities: "record" },
          ...{ channels: "record", axes: "record", positions: "itself" },
        },
      ],
    ]);
    const { stdout } = await cli("plan", study);
    expect(stdout).toMatch(/elsewhere\s+yes\s+yes\s+by expects\s+–\s+–\s+yes/);
    expect(stdout).toMatch(/own--pretraining\s+yes\s+yes\s+by record\s+by record\s+by record\s+yes/);
    expect(stdout).toMatch(/– elsewhere, axes: not measurable\. .*expects\.axes/);
  }, 120_000);
});
