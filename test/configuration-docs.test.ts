import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "./temporary-folder.js";

const page = readFileSync(new URL("../docs/configuration.md", import.meta.url), "utf8");
const script = fileURLToPath(new URL("../scripts/configuration-docs.mjs", import.meta.url));

/** What the check says of a page: nothing where its tables are the schema's. */
async function check(text: string): Promise<{ status: number | null; stderr: string }> {
  const file = join(await temporaryFolder(), "configuration.md");
  writeFileSync(file, text);
  const { status, stderr } = spawnSync(process.execPath, [script, file], { encoding: "utf8" });
  return { status, stderr };
}

const rowOf = (field: string): string => {
  const line = page.split("\n").find((one) => one.startsWith(`| \`${field}\` |`));
  if (line === undefined) throw new Error(`no row for ${field}`);
  return line;
};

describe("The page of the configuration", () => {
  it("has every field of the schema, with its values, its default and a meaning", async () => {
    expect(await check(page)).toEqual({ status: 0, stderr: "" });
  });

  it("is found wrong without a field, with one too many, another default, or without a meaning", async () => {
    const masks = rowOf("cohort.masks");
    const twice = `${masks}\n${masks.replace("cohort.masks", "cohort.mask")}`;
    const epochs = "| `100` | passes over the training set |";
    for (const wrong of [
      page.replace(`${masks}\n`, ""),
      page.replace(masks, twice),
      page.replace(epochs, epochs.replace("100", "50")),
    ]) {
      expect(wrong).not.toBe(page);
      expect((await check(wrong)).status).toBe(1);
    }
    const silent = await check(page.replace(/(\| `cohort\.masks` \|.*\|)[^|]*\|\n/, "$1  |\n"));
    expect(silent).toMatchObject({ status: 1, stderr: expect.stringContaining("cohort.masks") });
  });

  it("says what once was missing, with units", () => {
    expect(rowOf("cohort.masks")).toContain("`label-linear`, `nearest` | `label-linear`");
    expect(rowOf("cohort.normalise.t2w")).toContain("kind: range, low, high");
    expect(rowOf("cohort.crop.fieldOfView")).toContain("in mm");
    expect(rowOf("decay")).toContain("in mm");
    expect(rowOf("split.train")).toContain("patients");
  });

  it("says which columns each task needs, as the tasks' own files do", () => {
    const needs = {
      "`pirads-classification`": "`t2w`; `pirads`",
      "`lesion-segmentation`": "`t2w`; `lesion`; `adc` or `hbv`",
      "`super-resolution`": "`t2w`",
      "`distortion-correction`": "`t2w`; `rectum`, with something of it in the crop",
      "`distortion-correction` with `source: rectum-or-behind-gland`":
        "`t2w`; `rectum` or `gland`, with something of it in the crop",
      "`modality-translation`": "`t2w`; `hbv`",
      "pretraining by `patch-contrast`": "`t2w`; `lesion`",
    };
    for (const [task, columns] of Object.entries(needs)) expect(page).toContain(`| ${task} | ${columns} |`);
  });
});
