import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { randomStream } from "../dist/common/random.js";
import { headParameters } from "../dist/models/parameters.js";
import type { HeadSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";
import type { StudyResults } from "../dist/results/study.js";
import { progressOf } from "../dist/study/cell/cell-claim.js";
import { runStudy } from "../dist/study/run/run.js";
import { quickStudy, readResults, withoutCost } from "./study-fixture.js";

const convNeXt = {
  family: "convnext-v2-3d",
  channels: 1,
  depths: [1, 1, 1, 1],
  dims: [4, 8, 8, 16],
} as const;
const transformer = {
  family: "dino-vit",
  channels: 3,
  patch: 8,
  embedDim: 12,
  depth: 2,
  heads: 2,
  registers: 2,
  axisTokens: 2,
} as const;

const networks: [string, object, HeadSpec][] = [
  ["a classifier on a ConvNeXt", convNeXt, { kind: "classifier", classes: 4, bottleneck: 8 }],
  ["UperNet", convNeXt, { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 4 }],
  ["UNETR", convNeXt, { kind: "unetr", outputs: 1, featureSize: 4 }],
  ["the subpixel head on a ConvNeXt", convNeXt, { kind: "subpixel", outputs: 1, featureSize: 4 }],
  ["a classifier on a vision transformer", transformer, { kind: "classifier", classes: 4, bottleneck: 8 }],
  ["conv1", transformer, { kind: "conv1", outputs: 1 }],
  [
    "the subpixel head on a vision transformer",
    transformer,
    { kind: "subpixel", outputs: 1, featureSize: 2 },
  ],
];

type Step = { loss: number; gradientNorm: number };

const shape = [2, 1, 18, 20, 24]; // odd sizes: every padding takes part
const draw = randomStream(3, "volume");
const volume = () =>
  Tensor.from(
    Float32Array.from({ length: shape.reduce((product, extent) => product * extent, 1) }, () =>
      draw.normal(),
    ),
    shape,
  );

async function largestDifference(a: Tensor, b: Tensor): Promise<number> {
  expect(a.shape).toEqual(b.shape);
  const [x, y] = [await a.toArray(), await b.toArray()];
  let most = 0;
  for (let i = 0; i < x.length; i++) most = Math.max(most, Math.abs(Number(x[i]) - Number(y[i])));
  return most;
}

describe("a head on its encoder's features", () => {
  beforeAll(() => setThreads(1));
  afterEach(() => expect(Tensor.live).toBe(0));

  it.each(networks)("answers as the whole network does: %s", async (_, encoder, head) => {
    using network = await PlacedNetwork.build({ encoder, head } as never, { seed: 5 });
    using input = volume();
    using whole = await network.forward(input);
    using features = await network.embed(input);
    const before = network.embedded;
    using answer = await network.decode(features, input);
    expect(network.embedded).toBe(before);
    // Slices go through in other groups, which rounds differently.
    expect(await largestDifference(whole, answer)).toBeLessThan(1e-5);
  });

  it.each(networks)("learns as it does in the whole network: %s", async (_, encoder, head) => {
    const steps: Step[] = [];
    using input = volume();
    const outputs = "classes" in head ? BigInt64Array.from([1n, 3n]) : null;
    for (const kept of [false, true]) {
      using network = await PlacedNetwork.build({ encoder, head } as never, { seed: 5 });
      using answer = await network.forward(input);
      using target = outputs
        ? Tensor.from(outputs, [2])
        : Tensor.from(
            new Float32Array(answer.shape.reduce((product, extent) => product * extent, 1)),
            answer.shape,
          );
      using trainer = await Trainer.create(network, {
        loss: { kind: outputs ? "cross-entropy" : "l1" },
        trainable: headParameters(network),
      });
      using features = await network.embed(input);
      const before = network.embedded;
      for (const seed of [1, 2]) {
        const known = kept ? { features } : {};
        steps.push(await trainer.step(input, target, { learningRate: 1e-2, seed, ...known }));
      }
      expect(network.embedded - before).toBe(kept ? 0 : 4);
    }
    const [first, second, firstAlone, secondAlone] = steps as [Step, Step, Step, Step];
    for (const [whole, alone] of [
      [first, firstAlone],
      [second, secondAlone],
    ] as const) {
      expect(Math.abs(alone.loss / whole.loss - 1)).toBeLessThan(1e-4);
      expect(Math.abs(alone.gradientNorm / whole.gradientNorm - 1)).toBeLessThan(1e-3);
    }
    expect(second.loss).not.toBe(first.loss);
  });

  it("is refused features of other volumes, and so is a network without an encoder", async () => {
    using network = await PlacedNetwork.build({ encoder: convNeXt, head: networks[1]?.[2] } as never);
    using input = volume();
    using one = await input.select(0, 0);
    using single = await Tensor.gather([one], [0]);
    using features = await network.embed(single);
    await expect(network.decode(features, input)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/of 2 volumes/),
    });
    using unet = await PlacedNetwork.build({
      model: { family: "unet-3d", channels: 1, outputs: 1, features: 4, levels: 2, depthScale: 1 },
    });
    await expect(unet.decode(features, single)).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});

describe("a study with frozen encoders", () => {
  let folder: string;
  let results: StudyResults;
  const split = { train: 3, validation: 1, test: 2 };

  const study = (output: string) => ({
    ...quickStudy(folder, output),
    split,
    models: [
      {
        name: "profound",
        encoder: { ...convNeXt, channels: 3 } as never,
        decoder: { kind: "upernet", hidden: 8, auxiliary: 4 } as const,
        denoiser: { kind: "unetr", featureSize: 4 } as const,
        subpixel: { featureSize: 4 },
        pretrain: { epochs: 1, batchSize: 3, decoderDim: 8 },
        finetune: "frozen" as const,
      },
    ],
    tasks: [
      "lesion-segmentation" as const,
      "super-resolution" as const,
      { kind: "distortion-correction" as const, source: "rectum-or-behind-gland" as const },
      { kind: "modality-translation" as const, samplingSteps: 2 },
    ],
    comparators: ["fine-tuned" as const, "pretrained" as const],
    untrainedHead: "trained" as const,
    training: { epochs: 3, batchSize: 2, learningRate: 1e-3 },
  });
  const fineTuned = (task: string) =>
    results.cells.find((cell) => cell.task === task && cell.comparator === "fine-tuned")?.result;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-frozen-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 11, voxels: [32, 32, 16] });
    await runStudy(study("results"));
    results = await readResults(join(folder, "results"));
  }, 240_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each([
    ["lesion-segmentation", 2],
    ["super-resolution", 1],
    ["distortion-correction", 2],
  ])("runs the encoder of %s in the first epoch alone, on %i draws of each training case", (task, draws) => {
    expect(fineTuned(task)?.cost.epochEmbedded).toEqual([split.train * draws + split.validation, 0, 0]);
  });

  it("runs it in every epoch where the input holds noise that is drawn anew", () => {
    const epochs = fineTuned("modality-translation")?.cost.epochEmbedded;
    expect(epochs).toEqual(Array(3).fill(split.train + 2 * split.validation));
  });

  it("trains the head: the loss changes from epoch to epoch", () => {
    const losses = fineTuned("super-resolution")?.curve.map(({ trainingLoss }) => trainingLoss) ?? [];
    expect(new Set(losses).size).toBe(3);
  });

  it("is what the pretrained model is, whose head is trained too: bit for bit", () => {
    const ofBoth = (comparator: string) =>
      results.cells.flatMap(({ comparator: one, result }) => (one === comparator ? [result] : []));
    expect(ofBoth("pretrained")).toHaveLength(4);
    for (const [index, pretrained] of ofBoth("pretrained").entries()) {
      const tuned = ofBoth("fine-tuned")[index];
      expect(pretrained?.metric).toEqual(tuned?.metric);
      expect(pretrained?.curve).toEqual(tuned?.curve);
    }
  });

  it("gives a D2P of 0, and says why", () => {
    const distances = results.distances.filter(({ name }) => name === "D2P");
    expect(distances).toHaveLength(4);
    for (const { paper, warning } of distances) {
      expect(paper.biased).toBe(0);
      expect(warning).toMatch(/frozen/);
    }
  });

  it("writes only what changes from epoch to epoch, and goes on from that to the same whole networks", async () => {
    const stopped = new AbortController();
    const cut = runStudy(study("cut"), {
      signal: stopped.signal,
      onProgress: (event) => {
        if (event.kind === "epoch" && event.cell.comparator === "fine-tuned") stopped.abort();
      },
    });
    await expect(cut).rejects.toMatchObject({ code: "ABORTED" });

    // Another cell may have begun beside it, and have no state yet.
    const progress = join(folder, "cut", "progress");
    let cell: string | undefined;
    let states: string[] = [];
    for (const id of await readdir(progress)) {
      const found = (await readdir(await progressOf(join(folder, "cut"), id))).filter((name) =>
        /^network-\d+\.safetensors$/.test(name),
      );
      if (found.length > 0) [cell, states] = [id, found];
    }
    expect(states).toHaveLength(1);
    const written = await readSafetensors(
      join(await progressOf(join(folder, "cut"), cell as string), states[0] as string),
    );
    const whole = await readSafetensors(join(folder, "results", "cells", cell as string, "last.safetensors"));
    expect(written.names.length).toBeGreaterThan(0);
    expect(written.names.length).toBeLessThan(whole.names.length);
    expect(written.names.filter((name) => name.startsWith("encoder."))).toEqual([]);
    expect(whole.names).toEqual(expect.arrayContaining(written.names));

    await runStudy(study("cut"));
    for (const name of ["last.safetensors", "best.safetensors"]) {
      const [again, once] = await Promise.all(
        ["cut", "results"].map((output) => readFile(join(folder, output, "cells", cell as string, name))),
      );
      expect(again?.equals(once as Buffer)).toBe(true);
    }
  }, 240_000);

  it("leaves no features behind, and gives the same numbers again", async () => {
    expect(await readdir(join(folder, "results", "progress")).catch(() => [])).toEqual([]);
    await runStudy(study("again"));
    expect(withoutCost(await readResults(join(folder, "again")))).toEqual(withoutCost(results));
  }, 240_000);
});
