import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type CaseVolumes, openCase } from "../dist/cohort/case-volumes.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { prepareCohort } from "../dist/cohort/preprocess.js";
import { randomStream } from "../dist/common/random.js";
import { paperTasks, type TaskName } from "../dist/common/vocabulary.js";
import { type EncoderName, encoders, type SpecialisedName } from "../dist/models/catalogue.js";
import { channelsShown, headOf, specialisedOf } from "../dist/models/specification.js";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { Trainer } from "../dist/native/trainer.js";
import { collate } from "../dist/study/cell/batch.js";
import { taskSchema } from "../dist/study/config/schema.js";
import { taskOf } from "../dist/tasks/index.js";
import type { Task } from "../dist/tasks/task.js";

const tasks = Object.fromEntries(
  paperTasks.map((kind) => [kind, taskOf(taskSchema.parse({ kind }))]),
) as Record<TaskName, Task>;

const decoders = {
  upernet: { kind: "upernet", hidden: 16, auxiliary: 8 },
  unetr: { kind: "unetr", featureSize: 4 },
  conv1: { kind: "conv1", width: 16 },
} as const;

/** An encoder of the catalogue with the head that studies put on it for a task; by diffusion always UNETR. */
const foundation =
  (encoder: EncoderName, decoder: keyof typeof decoders) =>
  ({ shape }: Task): NetworkSpec => {
    const heads = {
      decoder: decoders[decoder],
      denoiser: decoders.unetr,
      subpixel: { featureSize: 4 },
      classifier: { bottleneck: 16 },
    };
    const spec = {
      encoder: encoders[encoder],
      head: headOf(shape, heads),
      ...(shape.intensities ? { output: shape.intensities } : {}),
    };
    return structuredClone(spec) as unknown as NetworkSpec;
  };
const specialised =
  (name: SpecialisedName) =>
  ({ shape }: Task): NetworkSpec => ({ model: specialisedOf(name, shape) });

const profound = foundation("profound-demo", "upernet");
const profoundUnetr = foundation("profound-demo", "unetr");
const provicnet = foundation("provicnet-demo", "conv1");
const provicnetUnetr = foundation("provicnet-demo", "unetr");
const resNet = foundation("resnet-demo-encoder", "upernet");
const resNetUnetr = foundation("resnet-demo-encoder", "unetr");
const [uNet, transUNet, viT] = (["unet-3d-demo", "transunet-demo", "vit-demo"] as const).map(specialised) as [
  typeof profound,
  typeof profound,
  typeof profound,
];

/**
 * Every network and task that a study may pair: what share of the loss at the start is left after so many steps, at
 * most. UperNet and `conv1` answer from a coarser grid, enlarged, and reproduce an image in part. Of noise, which a
 * diffusion model predicts for every voxel, three tenths of the loss may be left, whatever the network.
 */
const pairs: [
  TaskName,
  string,
  (task: Task) => NetworkSpec,
  { rate: number; steps: number; share: number },
][] = [
  ["pirads-classification", "ProFound's classifier", profound, { rate: 1e-2, steps: 60, share: 0.2 }],
  ["pirads-classification", "ProViCNet's classifier", provicnet, { rate: 2e-3, steps: 100, share: 0.5 }],
  ["pirads-classification", "ResNet encoder", resNet, { rate: 1e-2, steps: 40, share: 0.2 }],
  ["pirads-classification", "ResNet", specialised("resnet-demo"), { rate: 5e-3, steps: 20, share: 0.1 }],
  ["lesion-segmentation", "ProFound with UperNet", profound, { rate: 5e-3, steps: 180, share: 0.5 }],
  ["lesion-segmentation", "ProFound with UNETR", profoundUnetr, { rate: 4e-2, steps: 100, share: 0.33 }],
  ["lesion-segmentation", "ProViCNet with conv1", provicnet, { rate: 5e-3, steps: 60, share: 0.33 }],
  ["lesion-segmentation", "ResNet with UperNet", resNet, { rate: 2e-2, steps: 100, share: 0.5 }],
  ["lesion-segmentation", "U-Net", uNet, { rate: 3e-2, steps: 60, share: 0.33 }],
  ["lesion-segmentation", "TransUNet", transUNet, { rate: 4e-2, steps: 80, share: 0.5 }],
  ["lesion-segmentation", "vision transformer", viT, { rate: 5e-3, steps: 150, share: 0.33 }],
  ["super-resolution", "ProFound with a subpixel head", profound, { rate: 1e-2, steps: 30, share: 0.25 }],
  ["super-resolution", "ProViCNet with a subpixel head", provicnet, { rate: 1e-2, steps: 60, share: 0.25 }],
  ["super-resolution", "ResNet with a subpixel head", resNet, { rate: 1e-2, steps: 30, share: 0.25 }],
  ["super-resolution", "U-Net", uNet, { rate: 1e-2, steps: 30, share: 0.25 }],
  ["super-resolution", "TransUNet", transUNet, { rate: 1e-2, steps: 30, share: 0.25 }],
  ["distortion-correction", "ProFound with UperNet", profound, { rate: 5e-3, steps: 60, share: 0.8 }],
  ["distortion-correction", "ProFound with UNETR", profoundUnetr, { rate: 1e-2, steps: 40, share: 0.33 }],
  ["distortion-correction", "ProViCNet with conv1", provicnet, { rate: 5e-3, steps: 60, share: 0.6 }],
  ["distortion-correction", "ProViCNet with UNETR", provicnetUnetr, { rate: 1e-2, steps: 60, share: 0.33 }],
  ["distortion-correction", "ResNet with UperNet", resNet, { rate: 5e-3, steps: 60, share: 0.8 }],
  ["distortion-correction", "ResNet with UNETR", resNetUnetr, { rate: 1e-2, steps: 40, share: 0.33 }],
  ["distortion-correction", "U-Net", uNet, { rate: 1e-2, steps: 40, share: 0.2 }],
  ["distortion-correction", "TransUNet", transUNet, { rate: 1e-2, steps: 40, share: 0.2 }],
  ["distortion-correction", "vision transformer", viT, { rate: 5e-3, steps: 100, share: 0.33 }],
  ["modality-translation", "ProFound with UNETR", profoundUnetr, { rate: 1e-2, steps: 60, share: 0.25 }],
  ["modality-translation", "ProViCNet with UNETR", provicnetUnetr, { rate: 1e-2, steps: 60, share: 0.2 }],
  ["modality-translation", "ResNet with UNETR", resNetUnetr, { rate: 1e-2, steps: 60, share: 0.25 }],
  ["modality-translation", "U-Net", uNet, { rate: 1e-2, steps: 60, share: 0.2 }],
  ["modality-translation", "TransUNet", transUNet, { rate: 1e-2, steps: 60, share: 0.2 }],
  ["modality-translation", "vision transformer", viT, { rate: 5e-3, steps: 150, share: 0.3 }],
  [
    "modality-translation",
    "DDPM U-Net",
    specialised("ddpm-unet-demo"),
    { rate: 4e-3, steps: 200, share: 0.3 },
  ],
];

describe("the losses of tasks, on one batch of phantoms", () => {
  let folder: string;
  let cases: CaseVolumes[];
  beforeAll(async () => {
    setThreads(1); // these networks are too small for more to help
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-overfit-"));
    const manifest = await writePhantomCohort(join(folder, "cohort"), {
      cases: 8,
      seed: 5,
      voxels: [32, 32, 16],
    });
    const prepared = await prepareCohort(
      await readManifest(manifest),
      { voxels: [24, 24, 12], crop: { around: "gland", fieldOfView: [56, 56, 48] } },
      { cache: join(folder, "cache") },
    );
    cases = await Promise.all(prepared.cases.map((one) => openCase(one, "cpu")));
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));
  afterEach(() => expect(Tensor.live).toBe(0));

  /** For classes, one case of each that occurs; otherwise two with a lesion. */
  const chosen = (kind: TaskName): CaseVolumes[] =>
    kind === "pirads-classification"
      ? cases.filter(
          ({ labels }, index) => cases.findIndex((other) => other.labels.pirads === labels.pirads) === index,
        )
      : cases.filter(({ emptyMasks = [] }) => !emptyMasks.includes("lesion")).slice(0, 2);

  it.each(pairs)(
    "%s: falls on %s",
    async (kind, _name, specOf, { rate, steps, share }) => {
      const task = tasks[kind];
      const spec = specOf(task);
      const channels = channelsShown(spec, task.shape.channels);
      const batch = await collate(
        await Promise.all(
          chosen(kind).map((one) => task.sample(one, channels, randomStream(1, kind, one.case))),
        ),
      );
      using input = batch.input;
      using target = batch.target;
      using network = await PlacedNetwork.build(spec, { seed: 1 });
      using trainer = await Trainer.create(network, {
        loss: task.loss(chosen(kind)),
        weightDecay: 0,
        auxiliaryWeight: 0, // the loss is then the task's alone
      });
      const losses: number[] = [];
      for (let step = 0; step < steps; step++) {
        // The rate falls to nothing, so that the last loss isn't that of a bounce.
        const learningRate = rate * (1 - step / steps);
        losses.push((await trainer.step(input, target, { learningRate, seed: step })).loss);
      }
      expect(losses.at(-1)).toBeLessThan(share * (losses[0] as number));
    },
    240_000,
  );

  it("are tried on every network that a study lets serve the task", () => {
    const names: Record<string, SpecialisedName> = {
      ResNet: "resnet-demo",
      "U-Net": "unet-3d-demo",
      TransUNet: "transunet-demo",
      "vision transformer": "vit-demo",
      "DDPM U-Net": "ddpm-unet-demo",
    };
    for (const kind of paperTasks) {
      const tried = pairs.filter(([task]) => task === kind).map(([, name]) => name);
      for (const [name, model] of Object.entries(names)) {
        const allowed = () => specialisedOf(model, tasks[kind].shape);
        if (tried.includes(name)) expect(allowed).not.toThrow();
        else expect(allowed).toThrow(/Expected a model/);
      }
    }
  });
});
