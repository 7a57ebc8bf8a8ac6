import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CaseVolumes } from "../dist/cohort/case-volumes.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { openCheckpoint } from "../dist/models/checkpoints/checkpoint-file.js";
import { loadEncoder } from "../dist/models/checkpoints/load-weights.js";
import type { FidelityCheck } from "../dist/models/fidelity/check.js";
import { type GateInput, measureFidelity } from "../dist/models/fidelity/gate.js";
import { type FidelityRecord, recordIn } from "../dist/models/fidelity/record.js";
import { Network } from "../dist/models/network.js";
import type { ConvNeXtSpec } from "../dist/native/network-spec.js";
import { Tensor } from "../dist/native/tensor.js";
import { runStudy } from "../dist/study/run/run.js";
import { phantomCases, planted, turnOf } from "./fidelity-fixture.js";
import { tinyStudy } from "./study-fixture.js";

let folder: string;
let weights: string;
let cases: CaseVolumes[];

const encoder: ConvNeXtSpec = {
  family: "convnext-v2-3d",
  channels: 3,
  depths: [1, 1, 1, 1],
  dims: [4, 8, 8, 16],
};
const images = ["t2w", "adc", "hbv"] as const;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-fidelity-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 8, seed: 3, voxels: [32, 32, 16] });
  await runStudy(
    tinyStudy(folder, "pretraining", { tasks: [], split: { train: 6, validation: 1, test: 1 } }),
  );
  weights = join(folder, "pretraining", "cells", "profound--pretraining", "encoder.safetensors");
  cases = await phantomCases(folder, 8, 4);
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What the gate says of the pretrained encoder, changed or shown something else. */
async function gate(
  changes: Partial<GateInput> = {},
  spoil: (network: Network) => Promise<void> = async () => {},
): Promise<Record<string, FidelityCheck>> {
  using network = await Network.create({ encoder, seed: 1 });
  const report = await loadEncoder(network, weights, { fresh: true });
  await spoil(network);
  const checks = await measureFidelity({
    ...{ network, report, cases, images: [...images], voxels: [32, 32, 16] as const },
    ...changes,
  });
  return Object.fromEntries(checks.map((check) => [check.check, check]));
}

const shown = (change: Parameters<typeof planted>[1]) => ({
  cases: cases.map((one) => planted(one, change)),
});
const flagsOf = (checks: Record<string, FidelityCheck>): string[] =>
  Object.values(checks).flatMap(({ check, verdict }) => (verdict === "flagged" ? [check] : []));

async function alter(
  network: Network,
  chosen: (name: string) => boolean,
  change: (value: number) => number,
): Promise<void> {
  for (const { name } of network.parameters.filter((one) => chosen(one.name))) {
    const { [name]: tensor } = (await network.state([name])) as Record<string, Tensor>;
    using before = tensor as Tensor;
    using after = Tensor.from(((await before.toArray()) as Float32Array).map(change), before.shape);
    await network.assign({ [name]: after });
  }
}

describe("an encoder that this package pretrained", () => {
  it("brings a record of what it was pretrained on: columns, grid, and the images of each column", async () => {
    const { path, metadata } = await openCheckpoint(weights);
    const record = recordIn(path, metadata) as FidelityRecord;
    expect(record.channels).toEqual(["t2w", "adc", "hbv"]);
    expect(record.voxels).toEqual([32, 32, 16]);
    expect(Object.keys(record.images)).toEqual(["t2w", "adc", "hbv"]);
    // Percentiles 0.5 and 99.5 became 0 and 1.
    for (const { quantiles, cases: seen } of Object.values(record.images)) {
      expect(seen).toBe(6);
      expect(quantiles[0]).toBeGreaterThanOrEqual(0);
      expect(quantiles.at(-1)).toBeLessThanOrEqual(1);
      expect(quantiles).toEqual([...quantiles].sort((a, b) => a - b));
    }
  });

  it("is sound on the same kind of images of other patients, and says which flip it cannot tell", async () => {
    const checks = await gate();
    expect(flagsOf(checks)).toEqual([]);
    expect(Object.keys(checks)).toEqual([
      ...["weights", "features", "intensities", "channels", "axes", "positions"],
    ]);
    // A prostate's left is like its right.
    expect(checks.axes?.words).toMatch(/Not measurable.*width flipped/);
  });

  it("is flagged where intensities are 255 times as large, with that ratio", async () => {
    const { intensities } = await gate(shown({ intensity: (value) => 255 * value }));
    expect(intensities?.verdict).toBe("flagged");
    expect(intensities?.measured.spreadRatio).toBeGreaterThan(200);
    expect(intensities?.measured.spreadRatio).toBeLessThan(320);
  });

  it("is flagged where bright is dark", async () => {
    const { intensities } = await gate(shown({ intensity: (value) => 1 - value }));
    expect(intensities).toMatchObject({ verdict: "flagged", severe: false });
    expect(intensities?.words).toContain("what was bright is dark");
  });

  it("is flagged where two columns were exchanged, by their names", async () => {
    const other = (name: string) => ({ adc: "hbv", hbv: "adc" })[name] ?? name;
    const { channels } = await gate(shown({ column: other }));
    expect(channels?.verdict).toBe("flagged");
    expect(channels?.words).toContain("adc looks like hbv, and hbv looks like adc");
  });

  it("is flagged where front and back are exchanged, and where height and depth are", async () => {
    const flipped = await gate(shown({ turn: turnOf([0, 1, 2], false, true, false) }));
    expect(flipped.axes?.verdict).toBe("flagged");
    expect(flipped.axes?.words).toMatch(/with (?:height flipped|height and width flipped)/);
    const exchanged = await gate(shown({ turn: turnOf([1, 0, 2], false, false, false) }));
    expect(exchanged.axes?.verdict).toBe("flagged");
    expect(exchanged.axes?.words).toContain("depth and height exchanged");
  });

  it("is flagged, and refused, where its features no longer depend on the image", async () => {
    const { features } = await gate({}, (network) =>
      alter(
        network,
        (name) => name.includes("downsample_layers.0.0"),
        () => 0,
      ),
    );
    expect(features).toMatchObject({
      verdict: "flagged",
      severe: true,
      measured: { response: 0, between: 0 },
    });
  });

  it("is flagged, and not refused, where its features hardly depend on the image, as its pretraining left them", async () => {
    const { features } = await gate({}, (network) =>
      alter(
        network,
        (name) => /^norm\.|encoder\.norm\./.test(name),
        (value) => (value === 0 ? 1 : 1e-2 * value),
      ),
    );
    expect(features).toMatchObject({ verdict: "flagged" });
    expect(features?.severe).not.toBe(true);
    expect(features?.measured.response).toBeGreaterThan(1e-6);
  });

  it("is flagged, and refused, where its features explode, and where they are not finite", async () => {
    const large = await gate({}, (network) =>
      alter(
        network,
        (name) => /stages\.3\.0\.pwconv2\.weight$|^norm\.|encoder\.norm\./.test(name),
        (value) => 1e5 * value,
      ),
    );
    expect(large.features).toMatchObject({ verdict: "flagged", severe: true });
    const infinite = await gate({}, (network) =>
      alter(
        network,
        (name) => name.endsWith("weight"),
        (value) => 1e30 * value,
      ),
    );
    expect(infinite.features?.words).toContain("not finite");
  });
});

describe("weights that did not load", () => {
  it("are flagged where the network is as it was drawn, and where half of its blocks are", async () => {
    const fresh = async (share: (name: string) => boolean) => {
      using drawn = await Network.create({ encoder, seed: 9 });
      const state = await drawn.state();
      return gate({}, async (network) => {
        for (const [name, tensor] of Object.entries(state)) {
          if (share(name)) await network.assign({ [name]: tensor });
          tensor.dispose();
        }
      });
    };
    const all = await fresh(() => true);
    // Their file says that they were pretrained: they loaded as they were written, and taught nobody anything.
    expect(all.weights).toMatchObject({ verdict: "flagged", severe: false, measured: { untouchedShare: 1 } });
    const half = await fresh((name) => /stages\.[01]\.|downsample_layers\.[01]\./.test(name));
    expect(half.weights?.verdict).toBe("flagged");
    expect(half.weights?.measured.untouchedShare).toBeGreaterThan(0.3);
    expect(half.weights?.measured.untouchedShare).toBeLessThan(0.7);
  });
});

describe("an encoder from elsewhere", () => {
  const stated = {
    intensities: { kind: "range", low: 0, high: 1 },
    channels: [...images] as string[],
    axes: "SPL",
  } as const;
  /** The same weights without what this package wrote beside them. */
  const foreign = async (changes: Partial<GateInput>) => {
    using network = await Network.create({ encoder, seed: 1 });
    const report = await loadEncoder(network, weights, { fresh: true });
    const checks = await measureFidelity({
      ...{ network, cases, images: [...images], voxels: [32, 32, 16] as const },
      report: { ...report, file: { ...report.file, metadata: {} } },
      ...changes,
    });
    return Object.fromEntries(checks.map((check) => [check.check, check]));
  };

  it("says of each thing that nothing tells how to state it, rather than passing it", async () => {
    const checks = await foreign({});
    for (const check of ["intensities", "channels", "axes"]) {
      expect(checks[check]?.verdict).toBe("not measurable");
      expect(checks[check]?.words).toContain(`models[].expects.${check}`);
    }
  });

  it("is refused where its weights are as they were drawn", async () => {
    using network = await Network.create({ encoder, seed: 9 });
    const checks = await foreign({ network });
    expect(checks.weights).toMatchObject({
      verdict: "flagged",
      severe: true,
      measured: { untouchedShare: 1 },
    });
  });

  it("is compared with what the study states of it", async () => {
    expect(flagsOf(await foreign({ expects: stated }))).toEqual([]);
    const other = {
      intensities: { kind: "z-score" },
      channels: ["adc", "t2w", "hbv"],
      axes: "SAL",
    } as const;
    const checks = await foreign({ expects: { ...other, channels: [...other.channels] } });
    expect(flagsOf(checks)).toEqual(["intensities", "channels", "axes"]);
    const hundreds = await foreign({
      expects: stated,
      ...shown({ intensity: (value) => 255 * value }),
    });
    expect(flagsOf(hundreds)).toEqual(["intensities"]);
  });
});
