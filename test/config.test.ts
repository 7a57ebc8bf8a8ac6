import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { editDistance, nearest } from "../dist/common/validation.js";
import type { Study } from "../dist/study/config/schema.js";
import { checkStudy, loadStudy, planStudy } from "../dist/study/plan/load-study.js";
import { studyChanges } from "./study-changes.js";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-config-"));
  const rows = ["a", "b", "c", "d"].map(
    (id, index) =>
      `${id},${["t2w", "adc", "hbv", "lesion", "rectum"].map((role) => `${id}/${role}.nii.gz`)},${2 + index}`,
  );
  await writeFile(
    join(folder, "manifest.csv"),
    `case,t2w,adc,hbv,lesion,rectum,pirads\n${rows.join("\n")}\n`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const sound = `name: small
cohort: { manifest: manifest.csv, voxels: [32, 32, 16] }
split: { train: 2, validation: 1, test: 1 }
models:
  - name: profound
    encoder: profound-demo
    pretrain: { epochs: 2 }
`;

const load = async (text: string): Promise<Study> => {
  const path = join(folder, "study.yaml");
  await writeFile(path, text);
  return loadStudy(path);
};

const refused = async (text: string): Promise<{ code: string; message: string }> => {
  try {
    await load(text);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  throw new Error("the study was accepted");
};

describe("a study file", () => {
  it("gets the paper's defaults for what it leaves out, and absolute paths", async () => {
    const study = await load(sound);
    expect(study).toMatchObject({
      seed: 1,
      seeds: [1],
      cohort: { manifest: join(folder, "manifest.csv"), crop: { around: "gland", fieldOfView: "whole" } },
      comparators: ["fine-tuned", "pretrained", "random-weights", "from-scratch", "specialised", "trivial"],
      untrainedHead: "trained",
      alignment: { sigma: 1 },
      execution: {
        device: "cpu",
        jobs: 1,
        threads: null,
        output: join(folder, "small-results"),
        cache: join(folder, "small-results", "cache"),
      },
    });
    expect(study.models[0]).toMatchObject({
      encoder: { family: "convnext-v2-3d", channels: 3, dims: [16, 32, 64, 128] },
      finetune: "full",
      decoder: { kind: "upernet", hidden: 512, auxiliary: 256 },
      denoiser: { kind: "unetr", featureSize: 16 },
      pretrain: { maskRatio: 0.6, patch: 16, normaliseTargets: true, manifest: null },
    });
    const training = { epochs: 100, learningRate: 1e-4, schedule: "cosine", gradientClip: null };
    expect(study.tasks).toMatchObject([
      { kind: "pirads-classification", positiveFrom: 3, classWeights: "inverse-frequency", training },
      { kind: "lesion-segmentation", alpha: 0.3, beta: 0.7, prior: null, channelFill: "repeat", training },
      { kind: "super-resolution", downsampling: "average", training },
      { kind: "distortion-correction", source: "rectum", training },
      { kind: "modality-translation", prediction: "noise", sampler: "ddim", samplingSteps: 50, training },
    ]);
  });

  it("resolves to itself once it is resolved", async () => {
    const study = await load(sound);
    expect((await checkStudy(study, "/nowhere")).study).toEqual(study);
  });

  it("takes a task's own training settings over the study's", async () => {
    const study = await load(
      `${sound}training: { epochs: 7, batchSize: 3 }\ntasks: [super-resolution, { kind: lesion-segmentation, training: { epochs: 9 } }]\n`,
    );
    expect(study.tasks.map(({ kind, training }) => [kind, training.epochs, training.batchSize])).toEqual([
      ["super-resolution", 7, 3],
      ["lesion-segmentation", 9, 3],
    ]);
  });

  it("takes a task's diffusion settings over its own training, and that over the study's", async () => {
    const study = await load(
      `${sound}training: { epochs: 7, batchSize: 3, warmupEpochs: 1 }\ntasks: [{ kind: super-resolution, ` +
        "strategies: [direct, diffusion], training: { epochs: 9 }, " +
        "diffusion: { samplingSteps: 8, training: { batchSize: 5 } } }, distortion-correction]\n",
    );
    expect(study.tasks).toMatchObject([
      {
        strategies: ["direct", "diffusion"],
        training: { epochs: 9, batchSize: 3, warmupEpochs: 1 },
        diffusion: {
          noiseSchedule: "cosine",
          timeSteps: 1000,
          sampler: "ddim",
          samplingSteps: 8,
          ssimWeight: 1,
          intensityBins: 32,
          training: { epochs: 9, batchSize: 5, warmupEpochs: 1 },
        },
      },
      { strategies: ["direct"], diffusion: { samplingSteps: 50, training: { epochs: 7, batchSize: 3 } } },
    ]);
    expect((await checkStudy(study)).study).toEqual(study);
  });

  const cases: [name: string, text: string, ...parts: string[]][] = [
    [
      "a strategy that does not exist",
      `${sound}tasks: [{ kind: super-resolution, strategies: [difusion] }]\n`,
      "line 8: tasks[0].strategies[0]",
      'Did you mean "diffusion"?',
    ],
    [
      "no strategy",
      `${sound}tasks: [{ kind: super-resolution, strategies: [] }]\n`,
      "tasks[0].strategies: expected at least 1 entry",
    ],
    [
      "a strategy twice",
      `${sound}tasks: [{ kind: super-resolution, strategies: [direct, direct] }]\n`,
      'tasks[0].strategies[1]: "direct" stands here twice',
    ],
    [
      "diffusion of a classification",
      `${sound}tasks: [{ kind: pirads-classification, strategies: [diffusion] }]\n`,
      'tasks[0]: unknown key "strategies"',
    ],
    [
      "settings for diffusion of a segmentation",
      `${sound}tasks: [{ kind: lesion-segmentation, diffusion: { samplingSteps: 5 } }]\n`,
      'tasks[0]: unknown key "diffusion"',
    ],
    [
      "more sampling steps of a diffusion strategy than it has time steps",
      `${sound}tasks: [{ kind: super-resolution, diffusion: { timeSteps: 20, samplingSteps: 30 } }]\n`,
      "tasks[0].diffusion.samplingSteps: expected at most the 20 timeSteps",
    ],
    [
      "a diffusion strategy that warms up for longer than it trains",
      `${sound}tasks: [{ kind: super-resolution, strategies: [diffusion], diffusion: { training: { epochs: 3, warmupEpochs: 3 } } }]\n`,
      "tasks[0].diffusion.training.warmupEpochs: expected fewer than the 3 epochs of super-resolution by diffusion",
    ],
    [
      "an encoder with fewer channels than diffusion shows",
      `${sound}tasks: [{ kind: super-resolution, strategies: [direct, diffusion] }]\n`.replace(
        "encoder: profound-demo",
        "encoder: { family: convnext-v2-3d, channels: 2, depths: [1, 1, 1, 1], dims: [8, 8, 8, 8] }",
      ),
      "models[0].encoder: expected an encoder of at least 3 channels for super-resolution by diffusion",
    ],
    [
      "an unknown key",
      sound.replace("split:", "splits:"),
      "line 3",
      'unknown key "splits". Did you mean "split"?',
    ],
    [
      "an unknown key deep inside",
      sound.replace("epochs: 2", "epoch: 2"),
      "line 7",
      "models[0].pretrain",
      '"epochs"',
    ],
    ["a key that resembles none", `${sound}zzzzzzzz: 1\n`, "line 8", 'unknown key "zzzzzzzz". Known: "name"'],
    ["a wrong type", `${sound}seed: soon\n`, 'line 8: seed: expected a number but received "soon"'],
    ["a missing field", sound.replace("name: small\n", ""), "name: expected a string but received nothing"],
    [
      "an unknown preset",
      sound.replace("profound-demo", "profound-tinny"),
      "line 6: models[0].encoder",
      'Did you mean "profound-tiny"?',
    ],
    [
      "an unknown task",
      `${sound}tasks: [lesion-segmentaton]\n`,
      "line 8: tasks[0]",
      'Did you mean "lesion-segmentation"?',
    ],
    [
      "an unknown comparator",
      `${sound}comparators: [finetuned]\n`,
      "comparators[0]",
      'Did you mean "fine-tuned"?',
    ],
    [
      "a number out of range",
      `${sound}training: { learningRate: -1 }\n`,
      "training.learningRate: expected a number of more than 0 but received -1",
    ],
    [
      "a half epoch",
      `${sound}training: { epochs: 1.5 }\n`,
      "training.epochs: expected a whole number but received 1.5",
    ],
    [
      "an odd depth for super-resolution",
      sound.replace("32, 16]", "32, 15]"),
      "cohort.voxels[2]",
      "a depth that is a multiple of 2",
      "15",
    ],
    ["a depth too small for SSIM", sound.replace("32, 16]", "32, 10]"), "cohort.voxels[2]", "at least 11"],
    [
      "two models of one name",
      `${sound}  - { name: profound, encoder: profound-demo, pretrain: {} }\n`,
      "line 8: models[1].name",
      "twice",
    ],
    [
      "a model without weights",
      sound.replace("    pretrain: { epochs: 2 }\n", ""),
      "models[0]",
      '"weights"',
      '"pretrain"',
      "neither",
    ],
    [
      "weights that are not there",
      sound.replace("pretrain: { epochs: 2 }", "weights: no.safetensors"),
      "line 7: models[0].weights",
      "no.safetensors",
    ],
    [
      "weights that are no weights",
      sound.replace("pretrain: { epochs: 2 }", "weights: study.yaml"),
      "models[0].weights: expected a file of weights",
      "it is text",
    ],
    [
      "a key map that is not known",
      sound.replace("pretrain: { epochs: 2 }", "weights: w.pth\n    keyMap: profund"),
      "models[0].keyMap",
      "profound-masked-autoencoder",
    ],
    [
      "a key map for another family",
      sound.replace("pretrain: { epochs: 2 }", "weights: w.pth\n    keyMap: provicnet"),
      "models[0].keyMap: expected one for an encoder of the family",
    ],
    [
      "a key map without weights",
      sound.replace("pretrain: { epochs: 2 }", "pretrain: { epochs: 2 }\n    keyMap: convnext-v2-3d"),
      'models[0].keyMap: expected "weights" beside it',
    ],
    [
      "an encoder of too few channels",
      sound.replace(
        "encoder: profound-demo",
        "encoder: { family: convnext-v2-3d, channels: 1, depths: [1, 1, 1, 1], dims: [8, 8, 8, 8] }",
      ),
      "models[0].encoder",
      "at least 2 channels",
      "received 1",
    ],
    [
      "a decoder of slices on an encoder of volumes",
      sound.replace("encoder: profound-demo", "encoder: profound-demo\n    decoder: { kind: conv1 }"),
      "models[0].decoder.kind",
    ],
    [
      "a denoiser of slices on an encoder of volumes",
      sound.replace("encoder: profound-demo", "encoder: profound-demo\n    denoiser: { kind: conv1 }"),
      "models[0].denoiser.kind",
      'expected "upernet" or "unetr"',
    ],
    [
      "more sampling steps than time steps",
      `${sound}tasks: [{ kind: modality-translation, timeSteps: 20, samplingSteps: 30 }]\n`,
      "tasks[0].samplingSteps",
      "at most the 20",
    ],
    [
      "a specialised model that denoises for a task without time steps",
      `${sound}specialised: { distortion-correction: ddpm-unet }\n`,
      "specialised.distortion-correction",
      "denoises",
    ],
    [
      "a specialised model that cannot answer a task",
      `${sound}specialised: { pirads-classification: unet-3d }\n`,
      "specialised.pirads-classification",
      "resnet-3d",
    ],
    [
      "a mixture of counts and fractions",
      sound.replace("train: 2", "train: 2.5"),
      "split.train",
      "fractions",
    ],
    ["more cases than there are", sound.replace("train: 2", "train: 20"), "line 3: split", "4 patients"],
    [
      "no test cases",
      sound.replace("test: 1", "test: 0"),
      "split.test: expected at least 1 patient but received 0",
    ],
    [
      "a longer warm-up than training",
      `${sound}training: { epochs: 3, warmupEpochs: 3 }\n`,
      "training.warmupEpochs: expected fewer than the 3 epochs",
    ],
    [
      "T2W that is not in [0, 1]",
      sound.replace("16] }", "16], normalise: { t2w: { kind: z-score } } }"),
      "cohort.normalise.t2w.kind",
      "super-resolution",
    ],
    ["a device of another kind", `${sound}execution: { device: tpu }\n`, "execution.device", '"cuda:N"'],
    ["a name that is a path", sound.replace("name: small", "name: ../small"), "line 1: name"],
    ["broken YAML", `${sound}training: { epochs: 1\n`, "is not YAML", "line"],
    ["a list", "- a\n- b\n", "expected a table of keys"],
    ["nothing", "", "expected a table of keys"],
  ];
  it.each(cases)(
    "with %s is refused, saying where, what was expected and what came",
    async (_, text, ...parts) => {
      const { code, message } = await refused(text);
      expect(code).toBe("BAD_CONFIG");
      for (const part of parts) expect(message).toContain(part);
    },
  );

  it("names every wrong field at once", async () => {
    const { message } = await refused(`${sound}seed: soon\ntraining: { epochs: 0 }\n`);
    expect(message.split("\n")).toHaveLength(3);
  });

  it("that is not there is refused", async () => {
    await expect(loadStudy(join(folder, "absent.yaml"))).rejects.toMatchObject({ code: "BAD_CONFIG" });
  });

  it("with a missing or broken manifest is refused before any work", async () => {
    await expect(load(sound.replace("manifest.csv", "absent.csv"))).rejects.toMatchObject({
      code: "BAD_MANIFEST",
    });
  });
});

describe("going on in a folder with results", () => {
  it("concerns the cells whose numbers a change changes, and names it", async () => {
    const study = await load(sound);
    const longer = structuredClone(study);
    (longer.tasks[0] as Study["tasks"][number]).training.epochs = 3;
    longer.seeds = [1, 2];
    const changes = studyChanges(study, longer);
    const ofTask = (id: string) => /--pirads-classification--.*--seed/.test(id);
    const { cells } = planStudy(study);
    const trained = cells.filter(({ id, trains }) => ofTask(id) && trains !== "nothing");
    expect(changes).toEqual(Object.fromEntries(trained.map(({ id }) => [id, "training.epochs 100 -> 3"])));
    expect(trained).toHaveLength(5);
  });

  it("concerns all where the precision or the seed changed", async () => {
    const study = await load(sound);
    expect(study.execution).toMatchObject({ precision: "float32", checkpointing: false });
    const rounded: Study = { ...study, execution: { ...study.execution, precision: "bfloat16" } };
    const changes = studyChanges(study, rounded);
    expect(Object.keys(changes)).toHaveLength(planStudy(study).cells.length);
    expect(changes["profound--pretraining"]).toBe('execution.precision "float32" -> "bfloat16"');
    const other = studyChanges(study, { ...study, seed: 2 });
    expect(Object.keys(other)).toHaveLength(planStudy(study).cells.length);
  });

  it("concerns none where only the execution changed", async () => {
    const study = await load(sound);
    expect(studyChanges(study, { ...study, execution: { ...study.execution, jobs: 8 } })).toEqual({});
  });
});

describe("CUDA graphs", () => {
  it("are recorded where a study says so, and may be given up from one run to the next", async () => {
    const study = await load(`${sound}execution: { cudaGraphs: true }\n`);
    expect(study.execution.cudaGraphs).toBe(true);
    const without = { ...study, execution: { ...study.execution, cudaGraphs: false } };
    expect(studyChanges(study, without)).toEqual({});
  });

  it("are refused beside checkpointing", async () => {
    expect(await refused(`${sound}execution: { cudaGraphs: true, checkpointing: true }\n`)).toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(
        /execution\.cudaGraphs: expected either "checkpointing" or "cudaGraphs"/,
      ),
    });
  });
});

describe("micro-batches", () => {
  const inTasks = (tasks: string) => `${sound}training: { batchSize: 4, microBatch: 2 }\ntasks: ${tasks}\n`;

  it("are accepted where no batch norm is trained, and where a batch has no parts", async () => {
    const study = await load(inTasks("[lesion-segmentation, super-resolution]"));
    expect(study.tasks.map(({ training }) => training.microBatch)).toEqual([2, 2]);
    const whole = `${sound}training: { batchSize: 2, microBatch: 2 }\ntasks: [pirads-classification]\n`;
    expect((await load(whole)).tasks[0]?.training.microBatch).toBe(2);
  });

  it("are refused where it is, naming the field that says so and the cell", async () => {
    expect(await refused(inTasks("[lesion-segmentation, pirads-classification]"))).toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(
        /training\.microBatch: expected null, as the head classifier on a convnext-v2-3d \(cell profound--pirads-.+\) has batch norm/,
      ),
    });
    const own = "[{ kind: pirads-classification, training: { microBatch: 3 } }]";
    expect((await refused(inTasks(own))).message).toMatch(/tasks\[0\]\.training\.microBatch: .+ received 3/);
    const none = "[{ kind: pirads-classification, training: { microBatch: null } }]";
    expect((await load(inTasks(none))).tasks[0]?.training.microBatch).toBeNull();
  });

  it("are refused for a pretraining that compares the cases of a batch", async () => {
    const contrast = sound
      .replace("profound-demo", "provicnet-demo")
      .replace("{ epochs: 2 }", "{ epochs: 2, batchSize: 4, microBatch: 1 }");
    expect((await refused(contrast)).message).toMatch(
      /models\[0\]\.pretrain\.microBatch: expected null, as patch-contrast compares the cases/,
    );
    const autoencoder = sound.replace("{ epochs: 2 }", "{ epochs: 2, batchSize: 4, microBatch: 1 }");
    expect((await load(autoencoder)).models[0]?.pretrain?.microBatch).toBe(1);
  });
});

describe("augmentation", () => {
  const inTraining = (augmentation: string) => `${sound}training: { augmentation: ${augmentation} }\n`;

  it("is none by default, and changes what is trained", async () => {
    const study = await load(sound);
    expect(study.training.augmentation).toBeNull();
    const flipped = await load(inTraining("{ flip: [left-right] }"));
    const changes = studyChanges(study, flipped);
    expect(changes["profound--super-resolution--fine-tuned--seed1"]).toMatch(
      /training\.augmentation null -> /,
    );
    expect(changes["profound--pretraining"]).toBeUndefined();
  });

  it("gets the defaults of what it leaves out, and resolves to itself", async () => {
    const study = await load(inTraining("{ flip: [left-right], shift: { anterior-posterior: 3 } }"));
    const complete = {
      flip: ["left-right"],
      flipProbability: 0.5,
      shift: { "inferior-superior": 0, "anterior-posterior": 3, "left-right": 0 },
      intensity: { scale: 0, offset: 0 },
    };
    expect(study.training.augmentation).toEqual(complete);
    expect(study.tasks.map(({ training }) => training.augmentation)).toEqual(Array(5).fill(complete));
    expect(await load(JSON.stringify(study))).toEqual(study);
  });

  it.each([
    [
      "an unknown axis",
      "{ flip: [left] }",
      /training\.augmentation\.flip\[0\]: .*"left-right".*received "left"/,
    ],
    [
      "an axis named twice",
      "{ flip: [left-right, left-right] }",
      /augmentation\.flip: expected each axis once/,
    ],
    [
      "no probability",
      "{ flip: [left-right], flipProbability: 0 }",
      /flipProbability: expected .*more than 0/,
    ],
    ["a part of a voxel", "{ shift: 1.5 }", /augmentation\.shift: expected/],
    ["an unknown axis to shift along", "{ shift: { left: 2 } }", /shift: unknown key "left"/],
    [
      "a scale that takes all away",
      "{ intensity: { scale: 1 } }",
      /intensity\.scale: expected .*less than 1/,
    ],
    [
      "a name that it does not know",
      "{ flips: [left-right] }",
      /unknown key "flips"\. Did you mean "flip"\?/,
    ],
    ["nothing to change", "{ flipProbability: 1 }", /augmentation: expected at least one of flip, shift and/],
  ])("is refused %s", async (_, augmentation, message) => {
    expect(await refused(inTraining(augmentation))).toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(message),
    });
  });

  it("is refused shifts that leave nothing in sight, naming the field that says so", async () => {
    expect((await refused(inTraining("{ shift: 16 }"))).message).toMatch(
      /training\.augmentation\.shift: expected fewer than the 16 voxels that cohort\.voxels has inferior-superior.+received 16/,
    );
    expect((await load(inTraining("{ shift: 15 }"))).training.augmentation?.shift).toBe(15);
    const own = "{ augmentation: { shift: { left-right: 32, inferior-superior: 1 } } }";
    const ofTask = `${sound}tasks: [{ kind: lesion-segmentation, training: ${own} }]\n`;
    expect((await refused(ofTask)).message).toMatch(
      /tasks\[0\]\.training\.augmentation\.shift\.left-right: expected fewer than the 32 voxels/,
    );
    const ofModel = sound.replace("pretrain:", `training: ${own}\n    pretrain:`);
    expect((await refused(ofModel)).message).toMatch(
      /models\[0\]\.training\.augmentation\.shift\.left-right/,
    );
  });
});

describe("the nearest known word", () => {
  it("is found by the number of edits", () => {
    // Textbook values of Levenshtein's distance.
    expect(editDistance("kitten", "sitting")).toBe(3);
    expect(editDistance("flaw", "lawn")).toBe(2);
    expect(editDistance("", "abc")).toBe(3);
    expect(nearest("traning", ["training", "tasks"])).toBe("training");
    expect(nearest("colour", ["training", "tasks"])).toBeNull();
  });
});
