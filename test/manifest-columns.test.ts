import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { knownColumns, meantColumn, mostColumns } from "../dist/cohort/columns.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { prostateColumns } from "../dist/cohort/presets/prostate.js";
import { shared, sharedMissing } from "./shared.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "transfer-limits-columns-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
function write(contents: string | Uint8Array): string {
  const path = join(folder, `manifest-${count++}.csv`);
  writeFileSync(path, contents);
  return path;
}

const refusalOf = (path: string): Promise<string> =>
  readManifest(path).then(
    () => expect.unreachable("the manifest was read"),
    (error: Error & { code: string }) => {
      expect(error.code, String(error.stack)).toBe("BAD_MANIFEST");
      return error.message;
    },
  );

/** Names that cohorts' lists are published with, and the column that each of them is. */
const written: Record<string, string[]> = {
  patient: [
    ...["patient_id", "pat_id", "PatientID", "patientID", "Patient", "PATIENT", "Patient ID", "patients"],
    ...[
      "patientid",
      "patient_no2",
      "patient_num",
      "anonymised_patient_id",
      "PatID",
      "patid",
      "patient-id",
      "patinet",
      "subject",
      "subject_id",
      "participant_id",
      "PID",
      "MRN",
      "pat_nr",
    ],
  ],
  adc: ["ADC", "Adc", "adc_path", "ADC_map", "adcmap", "acd", "ADC file"],
  hbv: ["HBV", "high_b", "high-b", "highb", "High b-value", "hbv_path", "DWI", "b1400", "DWI_b1400"],
  t2w: ["T2W", "t2w_nii_gz", "T2_MRI", "t2", "T2", "t2_w", "T2w_image", "t2w_path", "T2-weighted", "tw2"],
  pirads: ["PI-RADS", "PIRADS", "PI_RADS", "PiRads", "pi-rads score", "pirads_max", "PI-RADS v2.1", "prads"],
  lesion: [
    "lesion_mask",
    "Lesion",
    "lesoin",
    "lesion_gt",
    "lesions",
    "lesionmask",
    "lesion-seg",
    "LesionSegmentation",
    "tumour",
  ],
  gland: ["prostate", "prostate_mask", "gland_seg", "Gland", "glnad", "whole_gland"],
  zones: ["zone", "Zones", "zonal_mask"],
  rectum: ["Rectum", "rectum_mask", "rectal", "retcum"],
};

/** Columns of a cohort's own, some of them close to ours by their letters. */
const foreign = [
  ...[
    "age",
    "psa",
    "PSA density",
    "center",
    "centre",
    "scanner",
    "site",
    "sex",
    "vendor",
    "date",
    "fold",
    "race",
  ],
  ...[
    "session",
    "region",
    "version",
    "phase",
    "base",
    "t1w",
    "T1",
    "dce",
    "gleason",
    "ISUP",
    "csPCa",
    "field_strength",
  ],
  ...[
    "patient_age",
    "prostate_volume",
    "gland_volume",
    "lesion_count",
    "lesion_volume",
    "series_uid",
    "study_id",
  ],
  ...["T2_map", "dwi_b50", "t2_sag", "pT", "label", "mask", "extra_patient_id"],
];

describe("A column's name", () => {
  test.each(Object.entries(written))(
    "that means %s is known for it however it is written",
    (column, names) => {
      expect(Object.fromEntries(names.map((name) => [name, meantColumn(name, prostateColumns)]))).toEqual(
        Object.fromEntries(names.map((name) => [name, column])),
      );
    },
  );

  test("that is a cohort's own stays one, and the right ones are nobody's misspelling", () => {
    expect(foreign.filter((name) => meantColumn(name, prostateColumns) !== null)).toEqual([]);
    expect(
      knownColumns(prostateColumns).filter((name) => meantColumn(name, prostateColumns) !== null),
    ).toEqual([]);
  });
});

describe("A manifest with a column that is nearly right", () => {
  test.each(Object.entries(written).flatMap(([column, names]) => names.map((name) => [name, column])))(
    "called %s is refused, with the right name",
    async (name, column) => {
      const header = column === "t2w" ? `case,${name}` : `case,t2w,${name}`;
      const message = await refusalOf(write(`${header}\n${header.replace(/[^,]+/g, "x")}\n`));
      expect(message).toContain(`"${name}"`);
      expect(message).toContain(`"${column}"`);
    },
  );

  test("says of a patient's column what would be lost", async () => {
    expect(await refusalOf(write("case,patient_id,t2w\na,p,a.mha\nb,p,b.mha\n"))).toContain(
      'column "patient_id": expected "patient", the name of the column of whose case it is, without which the cases of ' +
        'one patient would be spread over training and test. Rename it; where it is something else, call it "extra_patientid"',
    );
  });

  test("keeps it as a column of its own beside the right one, but not the same name in other letters", async () => {
    const { cases } = await readManifest(write("case,patient,patient_id,t2w\na,p,7,a.mha\n"));
    expect(cases[0]).toMatchObject({ patient: "p", extra: { patient_id: "7" } });
    expect(await refusalOf(write("case,t2w,adc,ADC\na,a.mha,b.mha,c.mha\n"))).toContain(
      "which stands there too",
    );
  });

  test("keeps columns of a cohort's own", async () => {
    const { cases } = await readManifest(write("case,t2w,age,psa,center,scanner\na,a.mha,71,4.2,1,Skyra\n"));
    expect(cases[0]?.extra).toEqual({ age: "71", psa: "4.2", center: "1", scanner: "Skyra" });
  });

  test.skipIf(sharedMissing)("as users wrote them is refused with every right name", async () => {
    expect(await refusalOf(shared("cases", "manifests", "pat_id.csv"))).toContain('expected "patient"');
    const upper = await refusalOf(shared("cases", "manifests", "upper_opt.csv"));
    for (const name of ["adc", "hbv", "lesion", "pirads"]) expect(upper).toContain(`expected "${name}"`);
  });
});

describe("Fields that are separated", () => {
  const rows = [
    ["case", "patient", "t2w", "adc", "pirads", "age"],
    ["a", "p", "a.mha", "", "4", "71,5"],
    ["b", "p", "b.mha", "b_adc.mha", "", ""],
  ];
  const expected = [
    { id: "a", patient: "p", labels: { pirads: 4 }, line: 2, extra: { age: "71,5" } },
    { id: "b", patient: "p", labels: {}, line: 3, extra: { age: "" } },
  ];

  test.each([
    ["semicolons", ";"],
    ["tabs", "\t"],
  ])("by %s are read, with byte-order mark and CRLF", async (_, separator) => {
    const text = rows.map((row) => row.join(separator)).join("\r\n");
    const { cases } = await readManifest(write(`\uFEFF${text}\r\n`));
    expect(cases).toMatchObject(expected);
    expect(cases.map(({ volumes }) => Object.keys(volumes))).toEqual([["t2w"], ["t2w", "adc"]]);
  });

  test("by what Excel names in a line above them are read, and lines are counted with it", async () => {
    const text = rows.map((row) => row.join(";")).join("\n");
    const { cases } = await readManifest(write(`sep=;\n${text}\n`));
    expect(cases).toMatchObject(expected.map((one) => ({ ...one, line: one.line + 1 })));
  });

  test("by bars are refused, saying what is expected", async () => {
    expect(await refusalOf(write("case|t2w|adc\na|a.mha|b.mha\n"))).toContain(
      'separated by "|": expected commas, semicolons or tabs',
    );
  });

  test.skipIf(sharedMissing)("by semicolons, as a user's, hold what their lines say", async () => {
    const path = shared("cases", "manifests", "semicolon.csv");
    const { columns, cases } = await readManifest(path);
    const lines = readFileSync(path, "utf8").trim().split(/\r?\n/).slice(1);
    expect(columns).toHaveLength(9);
    expect(cases.map(({ id, labels }) => `${id} ${labels.pirads ?? null}`)).toEqual(
      lines.map((line) => `${line.split(";")[0]} ${line.split(";")[8]}`),
    );
  });
});

describe("A manifest that is made to keep us busy is refused within seconds", () => {
  const quickly = async (contents: string): Promise<string> => {
    const path = write(contents);
    const before = process.cpuUsage();
    const message = await refusalOf(path);
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(60);
    expect(message.length).toBeLessThan(20_000);
    return message;
  };
  const megabytes = 3 * 1024 * 1024;

  test("with megabytes of columns", async () => {
    const names = Array.from({ length: megabytes / 8 }, (_, index) => `c${index}`).join(",");
    expect(await quickly(`${names}\n`)).toContain(`expected at most ${mostColumns}`);
  });

  test("with as many columns as it may have, none of them required", async () => {
    const names = Array.from({ length: mostColumns }, (_, index) => `t2w ${"x".repeat(150)}${index}`).join(
      ",",
    );
    expect(await quickly(`${names}\n`)).toContain('column "case" is missing');
  });

  test("with one long name", async () => {
    expect(await quickly(`case,t2w,${"lesoin".repeat(megabytes / 6)}\n`)).toContain(
      "has a name of 3145728 characters",
    );
    expect(await quickly("patient".repeat(megabytes / 7))).toContain("has a name of");
  });

  test("with a million lines, all of them wrong", async () => {
    expect(await quickly(`case,t2w\n${"x\n".repeat(1_000_000)}`)).toContain("more than the 100000 cases");
    expect(await quickly(`case,t2w\n${"x\n".repeat(50_000)}`)).toContain("and 49980 more");
  });
});
