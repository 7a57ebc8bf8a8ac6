import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCase } from "../dist/cohort/case-volumes.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { prepareCohort } from "../dist/cohort/preprocess.js";
import { randomStream } from "../dist/common/random.js";
import {
  distillationAt,
  type SelfDistillationSettings,
  type SlicedCase,
  slicedCase,
  sliceViews,
  standardiseInput,
} from "../dist/models/pretraining/self-distillation.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { type LossSpec, type SliceViews, Trainer } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";
import { temporaryFolder } from "./temporary-folder.js";

setThreads(1);

const encoder = {
  family: "dino-vit",
  channels: 3,
  patch: 8,
  embedDim: 16,
  depth: 2,
  heads: 2,
  registers: 1,
  axisTokens: 2,
} as const;
const prototypes = 12;
const spec = {
  encoder,
  head: { kind: "contrastive", outputs: 1, hidden: 24, bottleneck: 8, prototypes },
} as const;
const distillation = {
  kind: "self-distillation",
  studentTemperature: 0.2,
  centreMomentum: 0.8,
  distillationWeight: 1,
  contrastWeight: 0,
  temperature: 0.5,
  lesionShare: 0.3,
  patches: 64,
} as const satisfies LossSpec;
const still = { learningRate: 0, seed: 1, momentum: 1, teacherTemperature: 0.1 };

const [slices, edge, small] = [2, 16, 8];

/** Two global views of two slices and three local ones: irregular numbers, and a lesion in a corner. */
function viewsOf(name: string, locals = 3): SliceViews {
  const image = (part: string, views: number, size: number) =>
    Tensor.from(Float32Array.from(hashFill(`${name} ${part}`, views * slices * 3 * size * size)), [
      views * slices,
      3,
      size,
      size,
    ]);
  const position = (views: number) =>
    Tensor.from(
      Float32Array.from({ length: views * slices * 2 }, (_, index) => (index % 2 === 1 ? 5 : index % 4)),
      [views * slices, 2],
    );
  const lesion = Float32Array.from({ length: 2 * slices * edge * edge }, (_, index) =>
    index % edge < 8 && Math.floor(index / edge) % edge < 8 ? 1 : 0,
  );
  const views = {
    global: image("global", 2, edge),
    lesion: Tensor.from(lesion, [2 * slices, 1, edge, edge]),
    local: locals === 0 ? null : image("local", locals, small),
    globalPosition: position(2),
    localPosition: locals === 0 ? null : position(locals),
  };
  return {
    slices,
    ...views,
    [Symbol.dispose]() {
      for (const tensor of Object.values(views)) tensor?.dispose();
    },
  };
}

const numbers = async (tensor: Tensor): Promise<number[]> => [...((await tensor.toArray()) as Float32Array)];

/** The prototypes' outputs to the class tokens of images, a row each. */
async function outputs(
  network: PlacedNetwork,
  images: Tensor,
  position: Tensor | null,
  width = prototypes,
): Promise<number[][]> {
  using features = await network.embed(images, position ? { position } : {});
  using projected = await network.project(features.tokens.cls);
  const flat = await numbers(projected);
  return Array.from({ length: images.shape[0] as number }, (_, row) =>
    flat.slice(row * width, (row + 1) * width),
  );
}

const softmax = (logits: readonly number[], temperature: number): number[] => {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp((logit - most) / temperature));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
};
const meanRow = (rows: readonly number[][]): number[] =>
  (rows[0] as number[]).map((_, k) => rows.reduce((sum, row) => sum + (row[k] as number), 0) / rows.length);
const entropy = (shares: readonly number[]): number =>
  -shares.reduce((sum, share) => sum + (share > 0 ? share * Math.log(share) : 0), 0);

/** The loss, as Caron et al. write it down (algorithm 1), from both networks' own outputs. */
async function written(
  student: PlacedNetwork,
  teacher: PlacedNetwork,
  views: SliceViews,
  centre: readonly number[],
  temperatures: { student: number; teacher: number },
): Promise<number> {
  const taught = (await outputs(teacher, views.global, views.globalPosition)).map((row) =>
    softmax(
      row.map((value, k) => value - (centre[k] as number)),
      temperatures.teacher,
    ),
  );
  const answered = [
    ...(await outputs(student, views.global, views.globalPosition)),
    ...(views.local ? await outputs(student, views.local, views.localPosition) : []),
  ].map((row) => softmax(row, temperatures.student));
  let sum = 0;
  let pairs = 0;
  for (let global = 0; global < 2; global++) {
    for (let view = 0; view < answered.length / slices; view++) {
      if (view === global) continue;
      for (let slice = 0; slice < slices; slice++) {
        const p = taught[global * slices + slice] as number[];
        const q = answered[view * slices + slice] as number[];
        sum -= p.reduce((total, share, k) => total + share * Math.log(q[k] as number), 0);
        pairs++;
      }
    }
  }
  return sum / pairs;
}

/** A student, a teacher that has come apart from it, and their trainer. */
async function apart(loss: LossSpec = distillation, steps = 4) {
  const student = await PlacedNetwork.build(spec, { seed: 5 });
  const teacher = await PlacedNetwork.build(spec, { seed: 6 });
  const trainer = await Trainer.create(student, { loss }, teacher);
  for (let step = 0; step < steps; step++) {
    using views = viewsOf(`before ${step}`);
    await trainer.distil(views, { learningRate: 2e-2, seed: step, momentum: 0.7, teacherTemperature: 0.1 });
  }
  return {
    student,
    teacher,
    trainer,
    [Symbol.dispose]() {
      for (const part of [trainer, teacher, student]) part.dispose();
    },
  };
}

async function centreOf(trainer: Trainer, width = prototypes): Promise<number[]> {
  const path = join(await temporaryFolder(), "trainer.safetensors");
  await trainer.save(path);
  using centre = await (await readSafetensors(path)).tensor("centre");
  expect(centre.shape).toEqual([1, width]);
  return numbers(centre);
}

async function stateOf(network: PlacedNetwork): Promise<Record<string, number[]>> {
  const state = await network.state();
  const entries: [string, number[]][] = [];
  for (const [name, tensor] of Object.entries(state)) {
    entries.push([name, [...(await tensor.toArray())].map(Number)]);
    tensor.dispose();
  }
  return Object.fromEntries(entries);
}

describe("self-distillation", () => {
  it("starts with a teacher that is the student, to the bit", async () => {
    using pair = await apart(distillation, 0);
    expect(await stateOf(pair.teacher)).toEqual(await stateOf(pair.student));
  });

  it.each([
    ["with local views", 3],
    ["with global views alone", 0],
  ])("%s has the loss that the paper writes down, from the networks' own outputs", async (_, locals) => {
    using pair = await apart();
    using views = viewsOf("measured", locals);
    const centre = await centreOf(pair.trainer);
    expect(Math.max(...centre.map(Math.abs))).toBeGreaterThan(1e-3);
    const wanted = await written(pair.student, pair.teacher, views, centre, { student: 0.2, teacher: 0.1 });
    const { loss } = await pair.trainer.distil(views, still);
    expect(Math.abs(loss - wanted) / wanted).toBeLessThan(1e-5);
    expect(wanted).toBeGreaterThan(0.1);
  });

  it("has the gradient that central differences give while the teacher stays", async () => {
    const path = join(await temporaryFolder(), "trainer.safetensors");
    const name = "axis_pos.weight";
    const settings = { loss: distillation, trainable: [name], weightDecay: 0 };
    using pair = await apart();
    using views = viewsOf("measured");
    using probe = await Trainer.create(pair.student, settings, pair.teacher);
    // The teacher of this trainer became the student; take it elsewhere, where it then stays.
    using elsewhere = await PlacedNetwork.build(spec, { seed: 77 });
    const weights = await elsewhere.state();
    await pair.teacher.assign(weights);
    for (const tensor of Object.values(weights)) tensor.dispose();
    await probe.save(path);
    const { gradientNorm } = await probe.distil(views, still);
    const own = (await stateOf(pair.student))[name] as number[];
    const step = 1e-2;
    let sum = 0;
    for (let index = 0; index < own.length; index++) {
      const lossAt = async (change: number) => {
        using moved = Tensor.from(
          Float32Array.from(own, (value, place) => value + (place === index ? change : 0)),
          [own.length, 1],
        );
        await pair.student.assign({ [name]: moved });
        await probe.load(path); // the centre as it was
        return (await probe.distil(views, still)).loss;
      };
      sum += (((await lossAt(step)) - (await lossAt(-step))) / (2 * step)) ** 2;
    }
    expect(gradientNorm).toBeGreaterThan(1e-3);
    expect(Math.abs(Math.sqrt(sum) - gradientNorm) / gradientNorm).toBeLessThan(0.01);
  });

  it("lets no gradient reach the teacher: with a momentum of 1 it stays, to the bit, while the student moves", async () => {
    using pair = await apart();
    const [teacher, student] = [await stateOf(pair.teacher), await stateOf(pair.student)];
    for (let step = 0; step < 3; step++) {
      using views = viewsOf(`frozen ${step}`);
      await pair.trainer.distil(views, { ...still, learningRate: 1e-2 });
    }
    expect(await stateOf(pair.teacher)).toEqual(teacher);
    expect(await stateOf(pair.student)).not.toEqual(student);
  });

  it("moves every weight of the teacher towards the student's by 1 - momentum, after the step", async () => {
    using pair = await apart();
    const before = await stateOf(pair.teacher);
    using views = viewsOf("moving");
    const momentum = 0.9;
    await pair.trainer.distil(views, { ...still, learningRate: 1e-2, momentum });
    const [after, student] = [await stateOf(pair.teacher), await stateOf(pair.student)];
    let moved = 0;
    for (const [name, values] of Object.entries(after)) {
      values.forEach((value, index) => {
        const [t, s] = [before[name]?.[index] as number, student[name]?.[index] as number];
        expect(Math.abs(value - (momentum * t + (1 - momentum) * s))).toBeLessThan(1e-6 * (1 + Math.abs(t)));
        if (value !== t) moved++;
      });
    }
    expect(moved).toBeGreaterThan(1000);
  });

  it("centres by the moving average of the teacher's outputs: (1 - m^n) of their mean after n equal steps", async () => {
    using student = await PlacedNetwork.build(spec, { seed: 5 });
    using teacher = await PlacedNetwork.build(spec, { seed: 5 });
    using trainer = await Trainer.create(student, { loss: distillation }, teacher);
    using views = viewsOf("centred");
    const mean = meanRow(await outputs(teacher, views.global, views.globalPosition));
    expect(await centreOf(trainer)).toEqual(Array(prototypes).fill(0));
    for (let step = 1; step <= 3; step++) {
      await trainer.distil(views, still);
      const centre = await centreOf(trainer);
      mean.forEach((value, k) => {
        expect(Math.abs((centre[k] as number) - (1 - 0.8 ** step) * value)).toBeLessThan(1e-6);
      });
    }
  });

  it("adds the patch contrast of the student's global views with its weight", async () => {
    const lossWith = async (contrastWeight: number, distillationWeight: number) => {
      using pair = await apart({ ...distillation, contrastWeight, distillationWeight }, 0);
      using views = viewsOf("measured");
      return (await pair.trainer.distil(views, still)).loss;
    };
    const [alone, contrast, both] = [await lossWith(0, 1), await lossWith(1, 0), await lossWith(0.5, 2)];
    expect(contrast).toBeGreaterThan(0.1);
    expect(Math.abs(both - (2 * alone + 0.5 * contrast))).toBeLessThan(1e-5);

    // The same contrast by itself: of the two global views as the middle slices of volumes of three.
    using network = await PlacedNetwork.build(
      { encoder: { ...encoder, axisTokens: 0 }, head: spec.head },
      { seed: 5 },
    );
    using own = await PlacedNetwork.build(
      { encoder: { ...encoder, axisTokens: 0 }, head: spec.head },
      { seed: 5 },
    );
    using views = viewsOf("measured");
    const loss = { ...distillation, contrastWeight: 1, distillationWeight: 0 };
    using distilling = await Trainer.create(network, { loss }, own);
    const nowhere = { ...views, globalPosition: null, localPosition: null };
    const { loss: found } = await distilling.distil(nowhere, still);
    using tokens = await network.embed(views.global, {});
    expect(tokens.tokens.patches.shape).toEqual([4, 4, 16]);
    using plain = await Trainer.create(network, { loss: { ...distillation, kind: "patch-contrast" } });
    // A volume of one slice whose three images are the view's channels: its slices are the views.
    using volume = Tensor.from((await views.global.toArray()) as Float32Array, [4, 3, 1, edge, edge]);
    using mask = Tensor.from((await views.lesion.toArray()) as Float32Array, [4, 1, 1, edge, edge]);
    const { loss: wanted } = await plain.step(volume, mask, { learningRate: 0, seed: 1 });
    expect(Math.abs(found - wanted)).toBeLessThan(1e-6);
  });

  it("leaves prototypes that are frozen as they are, to the bit", async () => {
    using pair = await apart(distillation, 0);
    const name = "CL_Head.last_layer.weight_v";
    const before = (await stateOf(pair.student))[name];
    using views = viewsOf("frozen");
    await pair.trainer.distil(views, { ...still, learningRate: 1e-2, prototypesFrozen: true });
    expect((await stateOf(pair.student))[name]).toEqual(before);
    await pair.trainer.distil(views, { ...still, learningRate: 1e-2 });
    expect((await stateOf(pair.student))[name]).not.toEqual(before);
  });

  it("goes on from what was saved in the same bits: student, teacher, centre and moments", async () => {
    const folder = await temporaryFolder();
    const [network, optimiser] = ["network", "optimiser"].map((name) =>
      join(folder, `${name}.safetensors`),
    ) as [string, string];
    const go = async (trainer: Trainer, from: number) => {
      const losses: number[] = [];
      for (let step = from; step < from + 3; step++) {
        using views = viewsOf(`on ${step}`);
        const how = { learningRate: 1e-2, seed: step, momentum: 0.9, teacherTemperature: 0.08 };
        losses.push((await trainer.distil(views, how)).loss);
      }
      return losses;
    };
    using pair = await apart();
    await pair.student.save(network);
    await pair.trainer.save(optimiser);
    const losses = await go(pair.trainer, 10);

    using student = await PlacedNetwork.build(spec, { seed: 91 });
    using teacher = await PlacedNetwork.build(spec, { seed: 92 });
    using trainer = await Trainer.create(student, { loss: distillation }, teacher);
    await student.restore(network);
    await trainer.load(optimiser);
    expect(await go(trainer, 10)).toEqual(losses);
    expect(await stateOf(student)).toEqual(await stateOf(pair.student));
    expect(await stateOf(teacher)).toEqual(await stateOf(pair.teacher));
    expect(await centreOf(trainer)).toEqual(await centreOf(pair.trainer));
  });

  it("refuses a teacher of another kind, the student as its own teacher, and steps that lack one", async () => {
    using student = await PlacedNetwork.build(spec, { seed: 1 });
    using other = await PlacedNetwork.build(
      { encoder: { ...encoder, depth: 1 }, head: spec.head },
      { seed: 1 },
    );
    using views = viewsOf("refused");
    using input = Tensor.from(new Float32Array(3 * edge * edge), [1, 1, 3, edge, edge]);
    const bad = (message: RegExp) => ({ code: "BAD_INPUT", message: expect.stringMatching(message) });
    await expect(Trainer.create(student, { loss: distillation }, other)).rejects.toMatchObject(
      bad(/built as/),
    );
    await expect(Trainer.create(student, { loss: distillation }, student)).rejects.toMatchObject(
      bad(/another/),
    );
    using headless = await PlacedNetwork.build({ encoder }, { seed: 1 });
    using twin = await PlacedNetwork.build({ encoder }, { seed: 1 });
    await expect(Trainer.create(headless, { loss: distillation }, twin)).rejects.toMatchObject(
      bad(/contrastive/),
    );
    using without = await Trainer.create(student, { loss: distillation });
    await expect(without.distil(views, still)).rejects.toMatchObject(bad(/teacher/));
    await expect(without.step(input, input, { learningRate: 0, seed: 1 })).rejects.toMatchObject(
      bad(/distil/),
    );
    using teacher = await PlacedNetwork.build(spec, { seed: 1 });
    using trainer = await Trainer.create(student, { loss: distillation }, teacher);
    await expect(trainer.distil(views, { ...still, momentum: 1.5 })).rejects.toMatchObject(bad(/momentum/));
    await expect(trainer.distil(views, { ...still, teacherTemperature: 0 })).rejects.toMatchObject(
      bad(/temperature above 0/),
    );
    await expect(trainer.distil({ ...views, slices: 3 }, still)).rejects.toMatchObject(bad(/of 3 slices/));
    await expect(trainer.distil({ ...views, lesion: views.global }, still)).rejects.toMatchObject(
      bad(/lesion mask/),
    );
  });
});

describe("the schedule of self-distillation", () => {
  it("raises the momentum to 1 as a half cosine and the teacher's temperature in a line, and frees the prototypes", () => {
    const settings = {
      momentum: 0.9,
      teacherTemperature: 0.07,
      teacherTemperatureStart: 0.04,
      teacherTemperatureEpochs: 3,
      frozenPrototypeEpochs: 1,
    } as SelfDistillationSettings;
    expect(distillationAt(settings, 1, 0)).toEqual({
      momentum: 0.9,
      teacherTemperature: 0.04,
      prototypesFrozen: true,
    });
    const middle = distillationAt(settings, 2, 0.5);
    expect(middle.momentum).toBeCloseTo(0.95, 12);
    expect(middle.teacherTemperature).toBeCloseTo(0.05, 12);
    expect(middle.prototypesFrozen).toBe(false);
    expect(distillationAt(settings, 9, 1).momentum).toBeCloseTo(1, 12);
    expect(distillationAt(settings, 9, 1).teacherTemperature).toBeCloseTo(0.07, 12);
  });
});

describe("self-distillation on a few phantoms", () => {
  const settings: SelfDistillationSettings = {
    weight: 1,
    contrastWeight: 0,
    slices: 4,
    localViews: 4,
    globalScale: [0.5, 1],
    localScale: [0.15, 0.5],
    intensityJitter: 0.2,
    momentum: 0.98,
    centreMomentum: 0.9,
    studentTemperature: 0.1,
    teacherTemperature: 0.04,
    teacherTemperatureStart: 0.04,
    teacherTemperatureEpochs: 0,
    frozenPrototypeEpochs: 0,
  };
  const wide = { ...encoder, embedDim: 48, heads: 3 } as const;
  const many = 64;
  const network = () =>
    PlacedNetwork.build(
      {
        encoder: wide,
        head: { kind: "contrastive", outputs: 1, hidden: 192, bottleneck: 32, prototypes: many },
      },
      { seed: 2 },
    );
  let folder: string;
  let cases: SlicedCase[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-distillation-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 4, seed: 8, voxels: [32, 32, 12] });
    const prepared = await prepareCohort(
      await readManifest(join(folder, "cohort", "manifest.csv")),
      { voxels: [32, 32, 12], crop: { around: "centre", fieldOfView: "whole" } },
      { cache: join(folder, "cache") },
    );
    cases = await Promise.all(prepared.cases.map(async (one) => slicedCase(await openCase(one, "cpu"))));
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const viewsAt = (step: number) =>
    sliceViews(
      cases,
      cases.map((_, index) => randomStream(4, "views", step, index)),
      { ...wide, takesPosition: true },
      settings,
    );
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

  /** Trains a fresh network; the losses of its steps, and what its teacher then says of slices that it has not seen. */
  async function distilled(steps: number, centreMomentum: number) {
    using student = await network();
    using teacher = await network();
    await standardiseInput(student, cases);
    const loss: LossSpec = { ...distillation, studentTemperature: 0.1, centreMomentum };
    using trainer = await Trainer.create(student, { loss }, teacher);
    const losses: number[] = [];
    for (let step = 0; step < steps; step++) {
      using views = await viewsAt(step);
      const schedule = distillationAt(settings, 1, step / steps);
      const learningRate = 5e-4 * Math.min(1, (step + 1) / 100); // without a warm-up nothing is learnt
      losses.push((await trainer.distil(views, { learningRate, seed: step, ...schedule })).loss);
    }
    const centre = await centreOf(trainer, many);
    using views = await viewsAt(100_000);
    const taught = (await outputs(teacher, views.global, views.globalPosition, many)).map((row) =>
      softmax(
        row.map((value, k) => value - (centre[k] as number)),
        settings.teacherTemperature,
      ),
    );
    return { losses, together: entropy(meanRow(taught)), each: mean(taught.map(entropy)) };
  }

  it("shows slices of every case, those with a lesion more often, with the lesion where it is", async () => {
    expect(cases.some(({ lesionSlices }) => lesionSlices.length > 0)).toBe(true);
    using views = await viewsAt(1);
    expect(views.slices).toBe(16);
    expect(views.global.shape).toEqual([32, 3, 32, 32]);
    expect(views.local?.shape).toEqual([64, 3, 16, 16]);
    const positions = await numbers(views.globalPosition as Tensor);
    expect(positions.filter((_, index) => index % 2 === 1)).toEqual(Array(32).fill(12));
    using again = await viewsAt(1);
    expect(await numbers(again.global)).toEqual(await numbers(views.global));

    const lesions = async (contrastWeight: number) => {
      using sight = await sliceViews(
        cases,
        cases.map((_, index) => randomStream(4, "lesions", index)),
        { ...wide, takesPosition: true },
        { ...settings, contrastWeight, slices: 40, localViews: 0, globalScale: [1, 1] },
      );
      expect(sight.local).toBeNull();
      const mask = await numbers(sight.lesion);
      expect(new Set(mask)).toEqual(new Set([0, 1]));
      const slice = 32 * 32;
      return Array.from({ length: mask.length / slice }, (_, index) =>
        mask.slice(index * slice, (index + 1) * slice).some((value) => value > 0),
      ).filter(Boolean).length;
    };
    expect(await lesions(1)).toBeGreaterThan(1.3 * (await lesions(0)));
  });

  it("begins as if images had mean 0 and deviation 1, seeing them as they are", async () => {
    using plain = await network();
    using begun = await network();
    await standardiseInput(begun, cases);
    const average = (of: (one: SlicedCase) => number) => mean(cases.map(of));
    const middle = average((one) => one.mean);
    const deviation = Math.sqrt(average((one) => one.deviation ** 2 + one.mean ** 2) - middle ** 2);
    using views = await viewsAt(3);
    const raw = (await views.global.toArray()) as Float32Array;
    using standard = Tensor.from(
      raw.map((value) => (value - middle) / deviation),
      views.global.shape,
    );
    const wanted = await outputs(plain, standard, views.globalPosition, many);
    const found = await outputs(begun, views.global, views.globalPosition, many);
    wanted.flat().forEach((value, index) => {
      expect(Math.abs((found.flat()[index] as number) - value)).toBeLessThan(1e-4);
    });
  });

  it("lowers the loss, and the teacher neither says the same of all slices nor nothing of any", async () => {
    const { losses, together, each } = await distilled(250, settings.centreMomentum);
    // At first the centre is not yet where the outputs are, and all agree on one prototype: the loss rises before it falls.
    const settled = mean(losses.slice(60, 90));
    const last = mean(losses.slice(-20));
    expect(last).toBeLessThan(0.95 * settled);
    // log K is the loss of a student that says nothing.
    expect(last).toBeLessThan(0.9 * Math.log(many));
    // Collapsed onto one prototype, the mean over slices would have no entropy; onto all, each slice would have log K.
    expect(together).toBeGreaterThan(0.7 * Math.log(many));
    expect(each).toBeLessThan(together - 0.2);
  }, 300_000);

  it("collapses onto one prototype without centring, which is what the centre is for", async () => {
    const { losses, together } = await distilled(100, 0.999_999_999);
    expect(mean(losses.slice(-10))).toBeLessThan(0.3);
    expect(together).toBeLessThan(0.1);
  }, 300_000);
});
