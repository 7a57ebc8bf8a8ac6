import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readManifest } from "../dist/cohort/manifest.js";
import { shared, sharedMissing } from "./shared.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "transfer-limits-manifest-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
function write(contents: string | Uint8Array): string {
  const path = join(folder, `manifest-${count++}.csv`);
  writeFileSync(path, contents);
  return path;
}

async function refusal(contents: string | Uint8Array): Promise<string> {
  const path = write(contents);
  const error = await readManifest(path).then(
    () => expect.unreachable("the manifest was read"),
    (reason: unknown) => reason as Error & { code: string },
  );
  expect(error.code, String(error.stack)).toBe("BAD_MANIFEST");
  const start = `The manifest ${path} is wrong:`;
  expect(error.message.slice(0, start.length)).toBe(start);
  return error.message.slice(start.length).trim();
}

describe("A manifest is read", () => {
  test.skipIf(sharedMissing)(
    "with three real cases (needs the shared folder beside the checkout)",
    async () => {
      const manifest = await readManifest(shared("data", "prostate", "manifest.csv"));
      expect(manifest.columns).toEqual([
        "case",
        "t2w",
        "adc",
        "hbv",
        "gland",
        "zones",
        "lesion",
        "rectum",
        "pirads",
      ]);
      expect(
        manifest.cases.map(({ id, patient, labels, line }) => [id, patient, labels.pirads, line]),
      ).toEqual([
        ["11373_1001396", "11373_1001396", 4, 2],
        ["10795_1000811", "10795_1000811", 4, 3],
        ["10503_1000512", "10503_1000512", 5, 4],
      ]);
      expect(Object.keys(manifest.cases[2].volumes)).toEqual(["t2w", "adc", "hbv", "gland", "lesion"]);
      expect(manifest.cases[0].volumes.adc).toBe(shared("data", "prostate", "11373_1001396", "adc.mha"));
    },
  );

  test("with a byte-order mark, CRLF, quoted fields, blank lines, spaces, and columns of its own", async () => {
    const path = write(
      '\uFEFFcase , "t2w",pirads,patient,"centre, country",age\r\n\r\n' +
        'a-1,"images/a, first.nii.gz",5,p 1,"London, ""UK""",71\r\n,,,,,\r\n\r\n b.2 ,b.mha,,p 1,,\r\n',
    );
    const { cases, columns } = await readManifest(path);
    expect(columns).toEqual(["case", "t2w", "pirads", "patient", "centre, country", "age"]);
    expect(cases).toEqual([
      {
        id: "a-1",
        patient: "p 1",
        volumes: { t2w: join(folder, "images/a, first.nii.gz") },
        labels: { pirads: 5 },
        extra: { "centre, country": 'London, "UK"', age: "71" },
        line: 3,
      },
      {
        id: "b.2",
        patient: "p 1",
        volumes: { t2w: join(folder, "b.mha") },
        labels: {},
        extra: { "centre, country": "", age: "" },
        line: 6,
      },
    ]);
  });

  test("with absolute paths, which may lead anywhere, and without looking whether images exist", async () => {
    const { cases } = await readManifest(write("case,t2w,adc\na,/elsewhere/../data/a.mha,./x/../adc.mha\n"));
    expect(cases[0].volumes).toEqual({ t2w: "/data/a.mha", adc: join(folder, "adc.mha") });
    expect(cases[0].patient).toBe("a");
  });

  test("with a column named like a property of every object", async () => {
    const { cases } = await readManifest(write("case,t2w,__proto__,constructor\na,a.mha,x,y\n"));
    expect(Object.entries(cases[0].extra)).toEqual([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
    expect(Object.getPrototypeOf(cases[0].extra)).toBe(Object.prototype);
  });
});

describe("A manifest is refused, naming line, column, what was expected and what came", () => {
  test.each<[string, string, string]>([
    [
      "a PI-RADS of 7",
      "case,t2w,pirads\na,a.mha,3\nb,b.mha,7\n",
      'line 3, column "pirads": expected a whole number from 1 to 5, or nothing but received "7"',
    ],
    [
      "a PI-RADS of 3.5",
      "case,t2w,pirads\na,a.mha,3.5\n",
      'line 2, column "pirads": expected a whole number from 1 to 5, or nothing but received "3.5"',
    ],
    ["no T2W", "case,t2w\na,\n", 'line 2, column "t2w": expected the path of a T2W image but received ""'],
    [
      "an id that is a path",
      "case,t2w\n../a,a.mha\n",
      'line 2, column "case": expected a case id of 1 to 128 letters',
    ],
    [
      "an id that starts with a dot",
      "case,t2w\n.a,a.mha\n",
      `that does not start with '.' but received ".a"`,
    ],
    ["an id of 129 letters", `case,t2w\n${"a".repeat(129)},a.mha\n`, 'column "case"'],
    ["no id", "case,t2w\n,a.mha\n", 'line 2, column "case"'],
    [
      "an empty patient",
      "case,t2w,patient\na,a.mha,\n",
      'line 2, column "patient": expected a patient\'s id',
    ],
    [
      "an id twice",
      "case,t2w\na,a.mha\nb,b.mha\na,c.mha\n",
      'line 4, column "case": expected an id of its own but received "a", which line 2 has',
    ],
    [
      "a path that leaves the folder",
      "case,t2w,adc\na,a.mha,../secret.mha\n",
      `line 2, column "adc": expected a path inside the manifest's folder, or an absolute path, but received "../secret.mha"`,
    ],
    ["a path that leaves it by a detour", "case,t2w\na,x/../../a.mha\n", 'line 2, column "t2w"'],
    ["too few fields", "case,t2w,adc\na,a.mha\n", "line 2: expected 3 fields, one a column, but received 2"],
    [
      "too many fields",
      "case,t2w\na,a.mha,b.mha\n",
      "line 2: expected 2 fields, one a column, but received 3",
    ],
    [
      "a misspelt column",
      "case,t2\na,a.mha\n",
      'column "t2w" is missing: is it the one named "t2"?; columns there: "case", "t2"',
    ],
    ["a column in capitals", "Case,t2w\na,a.mha\n", 'column "case" is missing: is it the one named "Case"?'],
    [
      "a missing column that nothing resembles",
      "case,photograph\na,a.mha\n",
      'column "t2w" is missing; columns there: "case", "photograph"',
    ],
    ["a column twice", "case,t2w,t2w\na,a.mha,b.mha\n", 'column "t2w" stands there twice'],
    ["a column without a name", "case,t2w,\na,a.mha,x\n", "column 3 has no name"],
    ["no cases", "case,t2w\n\n", "it has column names but no case"],
    ["nothing at all", "", "it is empty"],
    ["a quote that never closes", 'case,t2w\na,"a.mha\n', "it is not CSV"],
  ])("%s", async (_, contents, reason) => {
    expect(await refusal(contents)).toContain(reason);
  });

  test("all faults at once, the first twenty of many", async () => {
    const both = await refusal("case,t2w,pirads\na,,9\n/b,b.mha,1\n");
    expect(both.split("\n").map((line) => line.trim().slice(0, 22))).toEqual([
      'line 2, column "pirads',
      'line 2, column "t2w": ',
      'line 3, column "case":',
    ]);
    const many = await refusal(`case,t2w\n${"!,x.mha\n".repeat(50)}`);
    expect(many.split("\n")).toHaveLength(21);
    expect(many).toContain("and 30 more");
  });

  test("bytes that are not UTF-8, and a file that is not there", async () => {
    expect(await refusal(Buffer.from("case,t2w\n\xe9,a.mha\n", "latin1"))).toContain("not a text in UTF-8");
    await expect(readManifest(join(folder, "none.csv"))).rejects.toMatchObject({ code: "BAD_MANIFEST" });
    await expect(readManifest(folder)).rejects.toThrow("it is not a regular file");
  });
});
