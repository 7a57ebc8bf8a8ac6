import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listedPatients, readExclusionList } from "../dist/cohort/exclusion-list.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { originMetadata, patientsSeen } from "../dist/models/pretraining/origin.js";
import { setThreads } from "../dist/native/runtime.js";
import { readSafetensors, writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyResults } from "../dist/results/study.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { checkStudy } from "../dist/study/plan/load-study.js";
import { runStudy } from "../dist/study/run/run.js";
import { quickStudy } from "./study-fixture.js";
import { temporaryFolder } from "./temporary-folder.js";

setThreads(1);

describe("a list of patients to leave out", () => {
  const write = async (text: string): Promise<string> => {
    const path = join(await temporaryFolder(), "list");
    await writeFile(path, text);
    return path;
  };
  const cases = [
    { id: "a1", patient: "anna" },
    { id: "a2", patient: "anna" },
    { id: "b", patient: "bo" },
    { id: "c", patient: "cy" },
  ];
  const listed = async (text: string) => [
    ...listedPatients(await readExclusionList(await write(text)), cases),
  ];

  it.each([
    [
      "one a line, with a heading, blanks and remarks",
      "patient\n\n# gone\nanna \r\ncy\nnobody\n",
      ["anna", "cy"],
    ],
    ["a JSON list", '["bo"]', ["bo"]],
    ["nothing", "", []],
    [
      "splits.json, whose training patients stay",
      JSON.stringify({
        train: ["b"],
        validation: ["c"],
        test: ["a1"],
        unused: [],
        patients: { train: ["bo"], validation: ["cy"], test: ["anna"] },
      }),
      ["anna", "cy"],
    ],
    [
      "an older splits.json, which names cases alone: their patients",
      JSON.stringify({
        train: ["b"],
        validation: [],
        test: ["a2"],
        others: [{ validation: ["c"], test: [] }],
      }),
      ["anna", "cy"],
    ],
  ])("can be %s", async (_, text, patients) => {
    expect(await listed(text)).toEqual(patients);
  });

  it.each([
    ["broken JSON", '{"train": [', /not JSON/],
    ["another JSON file", '{"name": "x"}', /holds something else/],
    ["a file that is no text", Buffer.from([0xff, 0xfe, 0x00]).toString("latin1"), /cannot be read/],
  ])("is refused as %s", async (_, text, message) => {
    const path = join(await temporaryFolder(), "list");
    await writeFile(path, text, "latin1");
    await expect(readExclusionList(path)).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(message),
    });
  });

  it("that is not there is refused, naming it", async () => {
    await expect(readExclusionList("/no/such/list")).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringContaining("/no/such/list"),
    });
  });
});

describe("weights and the patients that they saw", () => {
  let folder: string;
  let pretrained: StudyResults;
  const manifest = () => join(folder, "cohort", "manifest.csv");
  const cohort = async () =>
    (await readFile(manifest(), "utf8"))
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.split(",")[1] as string);
  const encoderOf = (output: string) =>
    join(folder, output, "cells", "profound--pretraining", "encoder.safetensors");
  const seenIn = async (path: string) =>
    patientsSeen(path, (await readSafetensors(path)).metadata) as string[];
  const pretraining = (output: string, changes: object = {}, cases = 6): StudyInput => {
    const study = quickStudy(folder, output, { tasks: [], split: { train: cases, validation: 0, test: 0 } });
    const [model] = study.models;
    return {
      ...study,
      models: [{ ...model, pretrain: { ...model?.pretrain, epochs: 1, ...changes } }],
    } as StudyInput;
  };
  /** A study whose encoder comes from a file. */
  const using = (weights: string, output: string, changes: object = {}): StudyInput => {
    const study = quickStudy(folder, output, { comparators: ["pretrained"], tasks: ["super-resolution"] });
    const { pretrain: _, ...model } = study.models[0] as NonNullable<(typeof study.models)[0]>;
    return { ...study, models: [{ ...model, weights, ...changes }] } as StudyInput;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-patients-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
    pretrained = await runStudy(pretraining("everybody"));
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("a study without tasks pretrains and ends, and its encoder says what it is and whom it saw", async () => {
    expect(pretrained).toMatchObject({
      complete: true,
      cells: [],
      pretraining: [{ status: "done", patients: 6, patientsLeftOut: 0 }],
    });
    const { metadata } = await readSafetensors(encoderOf("everybody"));
    expect(metadata).toMatchObject({ model: "profound", pretraining: "masked-autoencoder", epoch: "1" });
    expect(metadata.package).toMatch(/^\d+\.\d+\.\d+/);
    expect(JSON.parse(metadata.encoder as string)).toMatchObject({
      family: "convnext-v2-3d",
      dims: [4, 8, 8, 16],
    });
    expect(JSON.parse(metadata.settings as string)).toMatchObject({
      epochs: 1,
      batchSize: 2,
      maskRatio: 0.6,
    });
    expect(JSON.stringify(metadata)).not.toContain(folder);
    expect(JSON.parse(metadata.patients as string)).toEqual((await cohort()).sort());
  });

  it("a study without tasks and without pretraining is refused: there is nothing to do", async () => {
    const study = { ...using(encoderOf("everybody"), "nothing"), tasks: [] };
    await expect(checkStudy(study)).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(/tasks: expected a task, or a model with "pretrain"/),
    });
  });

  it("are refused where the study tests on them, naming the patients and what to do", async () => {
    const study = using(encoderOf("everybody"), "refused");
    await expect(runStudy(study)).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(
        /models\[0\]\.weights: .*2 of the test set \(phantom-\d+, phantom-\d+\) and 1 of the validation set.*allowOverlap/,
      ),
    });
  });

  it("are taken where the model allows it, and then results and report say so first", async () => {
    const results = await runStudy(using(encoderOf("everybody"), "allowed", { allowOverlap: true }));
    const { patients } = JSON.parse(await readFile(join(folder, "allowed", "splits.json"), "utf8"));
    expect(results.exposure).toEqual([
      { model: "profound", patients: 6, overlap: { validation: patients.validation, test: patients.test } },
    ]);
    const html = await readFile(await writeReport(join(folder, "allowed")), "utf8");
    const [header] = html.split("</header>") as [string];
    expect(header).toContain(
      "The weights of profound were pretrained on 2 patients of the test set and 1 patient of the validation set",
    );
    expect(html).toContain(patients.test.join(", "));
  }, 300_000);

  it("are taken where they saw none of those, pretrained without a study's splits.json", async () => {
    const { patients } = JSON.parse(await readFile(join(folder, "allowed", "splits.json"), "utf8"));
    const exclude = join(folder, "allowed", "splits.json");
    const others = await runStudy(pretraining("others", { exclude }));
    expect(others.pretraining).toMatchObject([{ patients: 3, patientsLeftOut: 3 }]);
    expect(await seenIn(encoderOf("others"))).toEqual(patients.train);
    const results = await runStudy(using(encoderOf("others"), "clean"));
    expect(results.complete).toBe(true);
    expect(results.exposure).toEqual([
      { model: "profound", patients: 3, overlap: { validation: [], test: [] } },
    ]);
    const html = await readFile(await writeReport(join(folder, "clean")), "utf8");
    expect(html.split("</header>")[0]).not.toContain("were pretrained on");
    expect(html).toContain("its weights saw 3 patients; none of them is in a validation or test set");
  }, 300_000);

  it("of unknown origin are taken, and the report says that nobody knows whom they saw", async () => {
    const path = join(folder, "foreign.safetensors");
    const file = await readSafetensors(encoderOf("everybody"));
    const tensors: Record<string, Tensor> = {};
    for (const name of file.names) tensors[name] = await file.tensor(name);
    await writeSafetensors(path, tensors, { patients: "12", model: "somebody's" });
    for (const tensor of Object.values(tensors)) tensor.dispose();
    const results = await runStudy(using(path, "foreign"));
    expect(results.exposure).toEqual([
      { model: "profound", patients: null, overlap: { validation: [], test: [] } },
    ]);
    const html = await readFile(await writeReport(join(folder, "foreign")), "utf8");
    expect(html).toContain("it is not known which patients its weights saw");
  }, 300_000);

  it("whose list is damaged are refused", async () => {
    const origin = { model: "m", method: "x", encoder: {}, settings: {}, package: "0", patients: [] };
    const path = join(folder, "damaged.safetensors");
    using tensor = Tensor.from(new Float32Array(1), [1]);
    await writeSafetensors(path, { tensor }, { ...originMetadata(origin), patients: '{"a": 1}' });
    await expect(checkStudy(using(path, "damaged"))).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringMatching(/JSON list of patients in the metadata of .*damaged\.safetensors/),
    });
  });

  it("pretrained within a study from its whole cohort see none that it validates or tests on", async () => {
    const study = quickStudy(folder, "within", { tasks: ["super-resolution"], comparators: ["pretrained"] });
    const [model] = study.models;
    const results = await runStudy({
      ...study,
      models: [{ ...model, pretrain: { ...model?.pretrain, epochs: 1, manifest: manifest() } }],
    } as StudyInput);
    expect(results.pretraining).toMatchObject([{ status: "done", patients: 3, patientsLeftOut: 3 }]);
    const { patients } = JSON.parse(await readFile(join(folder, "within", "splits.json"), "utf8"));
    expect(await seenIn(encoderOf("within"))).toEqual(patients.train);
  }, 300_000);

  it("cannot be pretrained where each patient is held out, nor on a tested image under another name", async () => {
    const list = join(folder, "all.txt");
    await writeFile(list, (await cohort()).join("\n"));
    await expect(runStudy(pretraining("nobody", { exclude: list }))).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(/each of the 6 of the training set of .*all\.txt lists/),
    });
    const renamed = join(folder, "cohort", "renamed.csv");
    const [header, ...rows] = (await readFile(manifest(), "utf8")).trim().split("\n") as [
      string,
      ...string[],
    ];
    await writeFile(
      renamed,
      [header, ...rows.map((row, index) => row.replace(/^[^,]*,[^,]*/, `new-${index},new-${index}`))].join(
        "\n",
      ),
    );
    const study = quickStudy(folder, "renamed", { tasks: ["super-resolution"], comparators: ["pretrained"] });
    const [model] = study.models;
    const run = runStudy({
      ...study,
      models: [{ ...model, pretrain: { ...model?.pretrain, manifest: renamed } }],
    } as StudyInput);
    await expect(run).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(/disjoint .* holds 3 of their images under other patients/),
    });
  }, 300_000);
});
