import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { Network } from "../dist/models/network.js";
import type { ConvNeXtSpec } from "../dist/native/network-spec.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { Study, StudyInput } from "../dist/study/config/schema.js";
import { largeCells, refuseTooLarge } from "../dist/study/plan/check-memory.js";
import { hoursInWords, leastHours } from "../dist/study/plan/estimate.js";
import { planStudy } from "../dist/study/plan/plan.js";
import { planWarnings } from "../dist/study/plan/plan-warnings.js";
import { runStudy } from "../dist/study/run/run.js";
import { cli } from "./cli-fixture.js";
import { stateOf, writeForeign } from "./foreign-weights.js";

let folder: string;
const encoder: ConvNeXtSpec = {
  family: "convnext-v2-3d",
  channels: 3,
  depths: [1, 1, 1, 1],
  dims: [4, 8, 8, 16],
};

/** A manifest of patients with so many cases each, with these columns of images beside T2W. No image exists. */
const writeManifest = (name: string, patients: number, each: number, columns: readonly string[]) => {
  const rows = Array.from({ length: patients * each }, (_, index) => {
    const values = columns.map((column) =>
      column === "pirads" ? 1 + (index % 5) : `${column}-${index}.mha`,
    );
    return [`case-${index}`, `patient-${Math.floor(index / each)}`, `t2w-${index}.mha`, ...values].join(",");
  });
  const header = ["case", "patient", "t2w", ...columns].join(",");
  return writeFile(join(folder, name), `${header}\n${rows.join("\n")}\n`);
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-wrong-"));
  await mkdir(join(folder, "runs"));
  await writeManifest("all.csv", 6, 1, ["adc", "hbv", "gland", "lesion", "rectum", "pirads"]);
  await writeManifest("t2w.csv", 6, 1, []);
  await writeManifest("no-rectum.csv", 6, 1, ["adc", "hbv", "gland", "lesion", "pirads"]);
  await writeManifest("pairs.csv", 3, 2, ["adc", "lesion"]);
  await copyFile(join(folder, "all.csv"), join(folder, "linked-to.csv"));
  await symlink(join(folder, "linked-to.csv"), join(folder, "link.csv"));
  using larger = await Network.create({ encoder: { ...encoder, dims: [4, 8, 8, 24] } });
  await writeForeign(join(folder, "larger.pth"), await stateOf(larger), (name, { shape, values }) => [
    name,
    shape,
    values,
  ]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const sound = (changes: Partial<StudyInput> = {}): StudyInput => ({
  name: "wrong",
  cohort: { manifest: "all.csv", voxels: [32, 32, 16] },
  split: { train: 3, validation: 1, test: 2 },
  models: [{ name: "one", encoder, pretrain: { epochs: 1, decoderDim: 8 } }],
  tasks: ["super-resolution"],
  ...changes,
});

const cohort = (manifest: string) => ({ manifest, voxels: [32, 32, 16] as [number, number, number] });
const paper = { preset: "paper", manifests: { promis: "all.csv", fewShot: "t2w.csv" } };

/** What is wrong with a study, and what the message must name: the field, and the cure. */
const wrong: [string, () => object, RegExp[]][] = [
  [
    "a task whose label no case has",
    () => sound({ cohort: cohort("t2w.csv"), tasks: ["super-resolution", "pirads-classification"] }),
    [
      /tasks\[1\]: expected cases with PI-RADS \(column "pirads"\)/,
      /none of the 6 .*fill the column .*or take/,
    ],
  ],
  [
    "a task whose images no case has",
    () => sound({ cohort: cohort("t2w.csv"), tasks: ["modality-translation"] }),
    [/tasks\[0\]: expected cases with high-b image \(column "hbv"\)/, /fill the column/],
  ],
  [
    "a task of either of two columns of which no case has one",
    () => sound({ cohort: cohort("lesion-alone.csv"), tasks: ["lesion-segmentation"] }),
    [/ADC or high-b image \(one of the columns "adc", "hbv"\)/, /fill the column/],
  ],
  [
    "a task whose mask is lacking in the whole test set",
    () =>
      sound({
        cohort: cohort("one-lesion.csv"),
        tasks: ["lesion-segmentation"],
        split: { train: 2, validation: 0, test: 4 },
      }),
    [
      /in the (test|train) set .*lack lesion mask \(column "lesion"\)\. Fill the column .*, or enlarge split\./,
    ],
  ],
  [
    "distortion correction without any rectum mask",
    () => sound({ cohort: cohort("no-rectum.csv"), tasks: ["distortion-correction"] }),
    [/tasks\[0\]: .*rectum mask/, /source to rectum-or-behind-gland/],
  ],
  [
    "a contrast of lesions without any lesion mask",
    () =>
      sound({
        cohort: cohort("t2w.csv"),
        models: [{ name: "one", encoder: "provicnet-demo", pretrain: {} }],
      }),
    [/models\[0\]\.pretrain\.method: .*lesion mask .*patch-contrast needs/, /choose another method/],
  ],
  [
    "weights of another size",
    () => sound({ models: [{ name: "one", encoder, weights: "larger.pth" }], comparators: ["fine-tuned"] }),
    [
      /models\[0\]\.weights: .*expected shape \[16.*\] for \S+ but received \S+ \[24/,
      /inspect .*larger\.pth says/,
    ],
  ],
  [
    "a cell at many times the machine's memory",
    () =>
      sound({ cohort: { manifest: "all.csv", voxels: [4096, 4096, 4096] }, comparators: ["from-scratch"] }),
    [/estimated at [\d.]+ GB, but this machine has [\d.]+ GB/, /fewer cohort\.voxels.*microBatch/],
  ],
  [
    "a field of view in centimetres",
    () => sound({ cohort: { ...cohort("all.csv"), crop: { fieldOfView: [6.4, 6.4, 6] } } }),
    [/line \d+: cohort\.crop\.fieldOfView\[0\]: expected 20 to 1000 mm, .*received 6\.4; 6\.4 cm are 64 mm/],
  ],
  [
    "a field of view in micrometres",
    () => sound({ cohort: { ...cohort("all.csv"), crop: { fieldOfView: [64, 64, 60_000] } } }),
    [/cohort\.crop\.fieldOfView\[2\]: expected 20 to 1000 mm/],
  ],
  [
    "the preset with one manifest for both cohorts",
    () => ({ preset: "paper", manifests: { promis: "all.csv", fewShot: "./all.csv" } }),
    [/line \d+: manifests\.fewShot: .*the same, .*fewShot: null/],
  ],
  [
    "the preset with one manifest under two names",
    () => ({ preset: "paper", manifests: { promis: "linked-to.csv", fewShot: "link.csv" } }),
    [/manifests\.fewShot: .*the same/],
  ],
  [
    "the preset with a copy of one manifest",
    () => ({ preset: "paper", manifests: { promis: "all.csv", fewShot: "linked-to.csv" } }),
    [/manifests\.fewShot: .*the same/],
  ],
  [
    "counts that were meant as percents",
    () => sound({ split: { train: 70, validation: 10, test: 20 } }),
    [/split: .*fractions of all patients, such as train 0\.7, validation 0\.1, test 0\.2/],
  ],
  [
    "the preset's counts above the cohort's size",
    () => paper,
    [
      /split: .*at most the 6 patients .*740 in all.*The preset says these counts: write split:/,
      /fewShotSplit: .*at most the 6 patients .*589 in all.*write fewShotSplit:/,
    ],
  ],
  [
    "counts above the cohort's size",
    () => sound({ split: { train: 30, validation: 1, test: 2 } }),
    [/line \d+: split: .*at most the 6 patients .*33 in all\. Lower the counts, or give fractions/],
  ],
  [
    "counts of cases, where there are fewer patients",
    () => sound({ cohort: cohort("pairs.csv"), split: { train: 4, validation: 1, test: 1 } }),
    [/split: .*at most the 3 patients \(of 6 cases, which stay together\)/],
  ],
];

describe("A wrong study", () => {
  beforeAll(async () => {
    await writeManifest("lesion-alone.csv", 6, 1, ["lesion"]);
    const rows = Array.from(
      { length: 6 },
      (_, index) => `c${index},t${index}.mha,a${index}.mha,${index ? "" : "l.mha"}`,
    );
    await writeFile(join(folder, "one-lesion.csv"), `case,t2w,adc,lesion\n${rows.join("\n")}\n`);
  });

  it.each(wrong)(
    "with %s is refused by plan, naming field and cure, with exit status 2",
    async (name, make, messages) => {
      const file = join(folder, `${name.replaceAll(/[^a-z]+/g, "-")}.yaml`);
      await writeFile(file, stringify(make()));
      const { status, stdout, stderr } = await cli("plan", file);
      for (const message of messages) expect(stderr).toMatch(message);
      expect(stderr).toMatch(/^error \(BAD_CONFIG\): /);
      expect(status, stdout).toBe(2);
    },
  );

  it.each(wrong)(
    "with %s is refused by run in the same words, before any work",
    async (_, make, messages) => {
      const output = join(folder, "runs", String(Math.random()));
      const input = { ...make(), execution: { output } } as unknown as StudyInput;
      const inFolder = (value: unknown): unknown =>
        JSON.parse(
          JSON.stringify(value, (__, entry: unknown) =>
            typeof entry === "string" && /\.(csv|pth)$/.test(entry) ? join(folder, entry) : entry,
          ),
        );
      const error = await runStudy(inFolder(input) as StudyInput).then(
        () => expect.unreachable("the study ran"),
        (reason: Error & { code: string }) => reason,
      );
      expect(error.code).toBe("BAD_CONFIG");
      for (const message of messages)
        expect(error.message).toMatch(new RegExp(message.source.replace("line \\d+: ", "")));
      expect(existsSync(join(output, "cells", "one--pretraining"))).toBe(false);
      expect(existsSync(join(output, "cache"))).toBe(false);
    },
  );

  it("says all that is wrong with its tasks at once", async () => {
    const file = join(folder, "several.yaml");
    const tasks: StudyInput["tasks"] = [
      "pirads-classification",
      "distortion-correction",
      "modality-translation",
    ];
    await writeFile(file, stringify(sound({ cohort: cohort("t2w.csv"), tasks })));
    const { stderr } = await cli("plan", file);
    for (const index of [0, 1, 2]) expect(stderr).toContain(`tasks[${index}]: `);
  });
});

describe("A study of which no case can be read", () => {
  it("ends before anything is trained, with the reason, and not with advice that cannot help", async () => {
    const output = join(folder, "runs", "unread");
    const study = sound({
      cohort: { ...cohort("all.csv"), manifest: join(folder, "all.csv") },
      execution: { output },
    });
    await expect(runStudy(study)).rejects.toMatchObject({
      code: "BAD_MANIFEST",
      message: expect.stringMatching(
        /Mend the 6 cases .* left out when they were read \(case-0: .*t2w-0\.mha/,
      ),
    });
    expect(existsSync(join(output, "cells", "one--pretraining"))).toBe(false);
  });
});

describe("A study that was wrong", () => {
  const planned = async (name: string, study: object) => {
    const file = join(folder, `${name}.yaml`);
    await writeFile(file, stringify(study));
    const { status, stdout, stderr } = await cli("plan", file, "--json");
    expect(stderr).toBe("");
    expect(status).toBe(0);
    return JSON.parse(stdout);
  };

  it("is planned once the preset has one cohort and counts that it can meet", async () => {
    const { cohorts } = await planned("one-cohort", {
      preset: "paper",
      manifests: { promis: "all.csv", fewShot: null },
      split: { train: 3, validation: 1, test: 2 },
    });
    expect(cohorts).toHaveLength(1);
    expect(cohorts[0].split).toEqual({ train: 3, validation: 1, test: 2, unused: 0 });
  });

  it("is planned once the few-shot split of the preset says what there is", async () => {
    await writeManifest("few.csv", 4, 1, ["rectum"]);
    const { cohorts } = await planned("few-shot", {
      preset: "paper",
      manifests: { promis: "all.csv", fewShot: "few.csv" },
      split: { train: 3, validation: 1, test: 2 },
      fewShotSplit: { train: 2, validation: 1, test: 1 },
    });
    expect(cohorts[1].split).toEqual({ train: 2, validation: 1, test: 1, unused: 0 });
  });

  it("is planned once distortion correction starts behind the gland", async () => {
    const task = { kind: "distortion-correction", source: "rectum-or-behind-gland" } as const;
    await planned("behind-gland", sound({ cohort: cohort("no-rectum.csv"), tasks: [task] }));
  });

  it("is planned with columns that nothing takes, and counts of patients and cases", async () => {
    const rows = Array.from(
      { length: 6 },
      (_, index) => `c${index};p${index % 3};t${index}.mha;7${index};Skyra`,
    );
    await writeFile(join(folder, "own.csv"), `case;patient;t2w;age;scanner\n${rows.join("\n")}\n`);
    const study = sound({ cohort: cohort("own.csv"), split: { train: 1, validation: 1, test: 1 } });
    const { cohorts } = await planned("own", study);
    expect(cohorts[0]).toMatchObject({
      cases: 6,
      patients: 3,
      untaken: ["age", "scanner"],
      split: { train: 2, validation: 2, test: 2, unused: 0 },
    });
    expect((await cli("plan", join(folder, "own.yaml"))).stdout).toContain(
      "columns that nothing takes: age, scanner",
    );
  });
});

describe("A study that runs, but not as it was meant", () => {
  const textOf = async (name: string, study: object) => {
    const file = join(folder, `${name}.yaml`);
    await writeFile(file, stringify(study));
    const { status, stdout } = await cli("plan", file);
    expect(status).toBe(0);
    return stdout;
  };

  it("is planned with how many cases of each set a task cannot use, and why", async () => {
    const rows = Array.from(
      { length: 6 },
      (_, index) => `c${index},t${index}.mha,${index < 4 ? `h${index}.mha` : ""}`,
    );
    await writeFile(join(folder, "some.csv"), `case,t2w,hbv\n${rows.join("\n")}\n`);
    const split = { train: 4, validation: 0, test: 2 };
    const text = await textOf(
      "some",
      sound({ cohort: cohort("some.csv"), split, tasks: ["modality-translation"] }),
    );
    const left = [
      ...text.matchAll(
        /left out of modality-translation: (\d) cases? of the \w+ set, because it has no high-b/g,
      ),
    ];
    expect(left.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(2);
  });

  it("is planned with a metric that its test set leaves undefined", async () => {
    const rows = Array.from({ length: 6 }, (_, index) => `c${index},t${index}.mha,4`);
    await writeFile(join(folder, "fours.csv"), `case,t2w,pirads\n${rows.join("\n")}\n`);
    const text = await textOf(
      "fours",
      sound({ cohort: cohort("fours.csv"), tasks: ["pirads-classification"] }),
    );
    expect(text).toContain(
      "Specificity at sensitivity 0.9 of pirads-classification is undefined on the test set: it has no negative case",
    );
  });

  it("is planned with how many cases are cropped without a gland mask", async () => {
    const crop = { fieldOfView: [64, 64, 60] };
    const text = await textOf(
      "no-gland",
      sound({ cohort: { ...cohort("t2w.csv"), crop } as StudyInput["cohort"] }),
    );
    expect(text).toContain("cropped around the middle of T2W, as they have no gland mask: 6 cases");
  });
});

describe("The memory of a study's cells", () => {
  const execution = (...devices: string[]) =>
    ({ execution: { device: devices[0], devices } }) as unknown as Pick<Study, "execution">;
  const cells = [
    { id: "small", memoryBytes: 1e9 },
    { id: "large", memoryBytes: 19e9 },
    { id: "huge", memoryBytes: 20e9 },
  ];

  it("is refused from twice the device's on, which no error of an estimate explains, and told from once on", () => {
    const large = largeCells(execution("cpu"), cells, () => 10e9);
    expect(large.map(({ id, certain }) => [id, certain])).toEqual([
      ["huge", true],
      ["large", false],
    ]);
    expect(() => refuseTooLarge(execution("cpu"), cells, () => 10e9)).toThrow(
      /cell huge is estimated at 20\.0 GB, but this machine has 10\.0 GB/,
    );
    expect(() => refuseTooLarge(execution("cpu"), cells, () => 11e9)).not.toThrow();
  });

  it("is that of the largest device, and nothing is said of one that is not here", () => {
    const memory = (device: string) => (device === "cuda:0" ? 8e9 : device === "cuda:1" ? 80e9 : null);
    expect(largeCells(execution("cuda:0", "cuda:1"), cells, memory)).toEqual([]);
    expect(largeCells(execution("cuda:0", "cuda:7"), cells, memory)).toEqual([]);
    expect(largeCells(execution("cuda:0"), cells, memory)).toHaveLength(2);
  });
});

describe("The hours of a study on a CPU", () => {
  const resolved = resolveStudy(
    { preset: "paper", manifests: { promis: "a.csv", fewShot: "b.csv" } },
    "/data",
  );
  const study = "study" in resolved ? resolved.study : expect.unreachable();
  const plan = planStudy(study);

  it("come with a word about CUDA where there are many, whether they were timed or not", () => {
    const timed = planWarnings(study, plan, 57_723).join("\n");
    expect(timed).toMatch(/about 57,723 hours.*CUDA GPU: set execution\.device: cuda/);
    const bound = planWarnings(study, plan, null).join("\n");
    expect(bound).toMatch(/at least [\d,]+ hours.*CUDA GPU/);
  });

  it("are nothing to warn of where there are few, or on a GPU", () => {
    const small = resolveStudy(sound(), "/data") as { study: Study };
    expect(planWarnings(small.study, planStudy(small.study), 0.2)).toEqual([]);
    const onGpu = { ...study, execution: { ...study.execution, device: "cuda" } };
    expect(planWarnings(onGpu, plan, null).join()).not.toMatch(/hours/);
  });

  it("are at least what no core can go below", () => {
    // 3.6e14 multiplications an hour and core.
    expect(leastHours(7.2e14, 1)).toBeCloseTo(2);
    expect(leastHours(7.2e14, 4)).toBeCloseTo(0.5);
    expect([0.42, 57_723.4].map(hoursInWords)).toEqual(["0.42", "57,723"]);
  });
});
