import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { encoderArchitectures, specialisedArchitectures } from "../dist/models/architectures/index.js";
import { Network } from "../dist/models/network.js";
import type { HeadSpec, NetworkSpec } from "../dist/native/network-spec.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { DevicePool } from "../dist/study/plan/devices.js";
import { diskUseOf } from "../dist/study/plan/disk.js";
import { forwardWork } from "../dist/study/plan/estimate.js";
import { checkStudy } from "../dist/study/plan/load-study.js";
import { ratesFor } from "../dist/study/plan/time-calibration.js";
import { studyTime, timesOf } from "../dist/study/plan/time-model.js";
import { assumedRates, at, publishedRates } from "../dist/study/plan/time-rates.js";
import { simulate } from "../dist/study/plan/time-schedule.js";
import { cli } from "./cli-fixture.js";
import { tinyStudy } from "./study-fixture.js";
import { temporaryFolder } from "./temporary-folder.js";

const rates = assumedRates("a CPU", 1, 1);

/** A study of so many cases, whose images nobody opens. */
async function studyOf(cases: number, changes: Partial<StudyInput> = {}) {
  const place = join(await temporaryFolder(), String(cases));
  await mkdir(join(place, "cohort"), { recursive: true });
  const rows = Array.from(
    { length: cases },
    (_, index) => `case${index},t2w${index}.nii.gz,lesion${index}.nii.gz`,
  );
  await writeFile(join(place, "cohort", "manifest.csv"), ["case,t2w,lesion", ...rows].join("\n"));
  const tasks = ["super-resolution"] as const;
  return tinyStudy(place, "out", {
    tasks: [...tasks],
    split: { train: 0.5, validation: 0.2, test: 0.3 },
    ...changes,
  });
}
const timesIn = async (cases: number, changes: Partial<StudyInput> = {}) =>
  timesOf(await checkStudy(await studyOf(cases, changes)), rates);
const totalOf = (times: ReadonlyMap<string, { seconds: number }>) =>
  [...times.values()].reduce((sum, { seconds }) => sum + seconds, 0);

describe("The schedule of a study's cells, worked out by hand", () => {
  const cell = (id: string, seconds: number, ...dependsOn: string[]) => ({
    id,
    seconds,
    dependsOn,
    memoryBytes: 1,
  });
  const pool = (...devices: string[]) => new DevicePool(devices, () => null);

  it("is their sum where one runs at a time", () => {
    const { seconds, devices } = simulate([cell("a", 3), cell("b", 4)], 1, pool("cpu"));
    expect(seconds).toBe(7);
    expect(devices).toEqual([{ device: "cpu", workSeconds: 7, busySeconds: 7 }]);
  });

  it("starts with the longest chain: 2 then 6, beside 3 and 3, take 8 on two devices", () => {
    const cells = [cell("x", 3), cell("y", 3), cell("first", 2), cell("second", 6, "first")];
    const { seconds, chainSeconds, devices } = simulate(cells, 2, pool("cuda:0", "cuda:1"));
    expect({ seconds, chainSeconds }).toEqual({ seconds: 8, chainSeconds: 8 });
    expect(devices.map(({ workSeconds }) => workSeconds).sort()).toEqual([6, 8]);
  });

  it("leaves a device idle while all that is left waits", () => {
    const cells = [cell("pretraining", 10), cell("a", 5, "pretraining"), cell("b", 5, "pretraining")];
    const { seconds, devices } = simulate(cells, 2, pool("cuda:0", "cuda:1"));
    expect(seconds).toBe(15);
    expect(devices.map(({ busySeconds }) => busySeconds)).toEqual([15, 5]);
  });

  it("counts a device once where cells share it", () => {
    const { seconds, devices } = simulate([cell("a", 4), cell("b", 6)], 2, pool("cpu"));
    expect(seconds).toBe(6);
    expect(devices).toEqual([{ device: "cpu", workSeconds: 10, busySeconds: 6 }]);
  });

  it("goes on where a cell waits for one that is done, and is over at once where all are", () => {
    expect(simulate([cell("a", 2, "done before")], 1, pool("cpu")).seconds).toBe(2);
    expect(simulate([], 1, pool("cpu")).seconds).toBe(0);
  });
});

describe("The time of a study", () => {
  it("is longer with more epochs, more voxels and more cases", async () => {
    const little = totalOf(await timesIn(20));
    expect(totalOf(await timesIn(20, { training: { epochs: 4, learningRate: 1e-3 } }))).toBeGreaterThan(
      little,
    );
    expect(totalOf(await timesIn(40))).toBeGreaterThan(little);
    const { cohort } = await studyOf(20);
    expect(
      totalOf(await timesIn(20, { cohort: { ...cohort, voxels: [48, 48, 16] } as never })),
    ).toBeGreaterThan(little);
  });

  it("counts cells that are done as nothing, and takes the others for as much slower as those were", async () => {
    const checked = await checkStudy(await studyOf(20));
    const all = studyTime(checked, rates);
    const [first] = checked.plan.cells;
    const { id } = first as { id: string };
    const unmeasured = studyTime(checked, rates, new Map([[id, null]]));
    expect(unmeasured.cells[id]?.seconds).toBe(0);
    expect(unmeasured.corrected).toBeNull();
    expect(unmeasured.schedule.seconds).toBeLessThan(all.schedule.seconds);
    const twice = studyTime(checked, rates, new Map([[id, 2 * (all.cells[id]?.seconds ?? 0)]]));
    expect(twice.corrected).toEqual({ cells: 1, factor: expect.closeTo(2, 9) });
    for (const [other, { seconds }] of Object.entries(all.cells))
      if (other !== id) expect(twice.cells[other]?.seconds).toBeCloseTo(2 * seconds, 9);
  });

  it("is never longer with one device more", async () => {
    const { schedule, withAnother } = studyTime(await checkStudy(await studyOf(20)), rates);
    expect(withAnother.seconds).toBeLessThanOrEqual(schedule.seconds);
    expect(schedule.chainSeconds).toBeLessThanOrEqual(withAnother.seconds);
  });

  it("stands in plan --json for every cell, without a step that was timed", async () => {
    const path = join(await temporaryFolder(), "study.json");
    await writeFile(path, JSON.stringify(await studyOf(20)));
    const { stdout, stderr, status } = await cli("plan", path, "--json");
    expect(status, stderr).toBe(0);
    const { cells, time } = JSON.parse(stdout) as { cells: { hours: unknown }[]; time: { rates: object } };
    expect(cells.length).toBeGreaterThan(3);
    for (const { hours } of cells) expect(hours).toBeGreaterThan(0);
    expect(time.rates).toMatchObject({ source: "measured" });
  }, 120_000);
});

describe("The disk that a study takes", () => {
  it("holds the prepared volumes of every case, weights twice, and the states of what runs at once", async () => {
    const diskOf = async (changes: Partial<StudyInput> = {}) =>
      diskUseOf(await checkStudy(await studyOf(20, changes)));
    const all = await diskOf();
    expect(all.cacheBytes).toBe(20 * 2 * 4 * 32 * 32 * 16);
    const untrained = await diskOf({ comparators: ["random-weights"] });
    expect(untrained.progressBytes).toBe(0);
    expect(untrained.resultsBytes).toBeLessThan(all.resultsBytes);
    const one = await diskOf({ execution: { jobs: 1 } });
    expect(one.progressBytes).toBeLessThan(all.progressBytes);
    expect(one.progressBytes).toBeGreaterThanOrEqual(all.progressBytes / 2);
  });
});

describe("Rates", () => {
  it("of a CPU are measured once, and anew where the file that keeps them is damaged", async () => {
    const kept = join(await temporaryFolder(), "calibration");
    const execution = { device: "cpu", devices: ["cpu"], threads: 3, jobs: 1, ranks: 1 } as never;
    let measured = 0;
    const { convolution, product, depthwise, pass, call } = rates;
    const callOf = (factor: number) => ({ forward: factor * call.forward, backward: factor * call.backward });
    const measure = async () => ({ convolution, product, depthwise, pass, call: callOf(++measured) });
    const ask = () => ratesFor({ execution }, kept, measure);
    expect((await ask()).call).toEqual(call);
    expect((await ask()).call).toEqual(call);
    expect(measured).toBe(1);
    const [name = ""] = await readdir(kept);
    const text = await readFile(join(kept, name), "utf8");
    await writeFile(join(kept, name), text.slice(0, text.length / 2));
    expect((await ask()).call).toEqual(callOf(2));
    await writeFile(join(kept, name), text.replace(/"processor": ?"[^"]*"/, '"processor": "another"'));
    expect((await ask()).call).toEqual(callOf(3));
    expect((await ask()).call).toEqual(callOf(3));
  });

  it("of a GPU are half of its sheet's operations, times a utilisation, and said to be published", () => {
    const { source, device, convolution, pass } = publishedRates("NVIDIA H200", "bfloat16");
    expect({ source, device }).toEqual({ source: "published", device: "H200" });
    expect(convolution.at(-1)?.speed.forward).toBe((0.25 * 989e12) / 2);
    expect(pass[0]?.speed.forward).toBe(0.55 * 4800e9);
    expect(publishedRates("NVIDIA H100 PCIe", "float32").device).toBe("H100 PCIe");
    expect(publishedRates(null, "float32").device).toMatch(/not here, taken for one like A100/);
  });

  it("between two sizes lie on a straight line of logarithms, and beyond them stay", () => {
    const speed = (forward: number) => ({ forward, backward: forward });
    const curve = [
      { at: 4, speed: speed(10) },
      { at: 16, speed: speed(40) },
    ];
    expect([1, 4, 8, 16, 64].map((size) => at(curve, size).forward)).toEqual([2.5, 10, 20, 40, 40]);
    const falling = [
      { at: 4, speed: speed(40) },
      { at: 16, speed: speed(10) },
    ];
    expect([1, 8].map((size) => at(falling, size).forward)).toEqual([40, 20]);
    for (const either of [curve, falling]) expect(0 / at(either, 0).forward).toBe(0);
  });
});

describe("The operations of a network have as many weights as the network itself", () => {
  /** Tables of positions are looked up, and what only training has is not in an answer. */
  const apart = /pos_embed|position|mask_token|register_tokens|cls_token|bias_table|auxiliary|gamma|beta/;
  const ofVolumes: (HeadSpec | undefined)[] = [
    undefined,
    { kind: "classifier", classes: 3 },
    { kind: "upernet", outputs: 2, hidden: 32 },
    { kind: "unetr", outputs: 2, featureSize: 8 },
    { kind: "subpixel", outputs: 1, featureSize: 8 },
    { kind: "masked-autoencoder", decoderDim: 32 },
  ];
  const ofSlices: (HeadSpec | undefined)[] = [
    undefined,
    { kind: "conv1", outputs: 2 },
    { kind: "unetr", outputs: 2, featureSize: 8 },
    { kind: "subpixel", outputs: 1, featureSize: 8 },
  ];
  const encoders = Object.values(encoderArchitectures).flatMap((architecture) =>
    Object.entries(architecture.presets)
      .filter(([name]) => name.includes("demo"))
      .flatMap(([name, encoder]) =>
        (architecture.slices ? ofSlices : ofVolumes).map((head): [string, NetworkSpec] => [
          `${name} ${head?.kind ?? "alone"}`,
          { encoder, ...(head ? { head } : {}) } as NetworkSpec,
        ]),
      ),
  );
  const models = Object.values(specialisedArchitectures).flatMap(({ presets, complete, answers }) =>
    Object.entries(presets)
      .filter(([name]) => name.includes("demo"))
      .map(([name, sizes]): [string, NetworkSpec] => {
        const task = { answers, channels: 3, outputs: 2, depthScale: 1 };
        return [name, { model: complete(sizes as never, task as never) } as NetworkSpec];
      }),
  );

  it.each([...encoders, ...models])("%s", async (_, spec) => {
    using network = await Network.build(spec);
    const weights = network.parameters
      .filter(({ name, shape, buffer }) => shape.length > 1 && !buffer && !apart.test(name))
      .reduce((sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1), 0);
    const { encoder, rest } = forwardWork(spec, [64, 64, 32]);
    const counted = [...encoder, ...rest].reduce((sum, one) => sum + one.weights, 0);
    expect(counted / weights).toBeGreaterThan(0.97);
    expect(counted / weights).toBeLessThan(1.03);
  });
});
