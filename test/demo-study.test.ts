import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { prepareDemo } from "../dist/cli/demo-study.js";
import { temporaryFolder } from "./temporary-folder.js";

/** Prepares a demo up to its first cohort. */
async function begun(folder: string, trainings: number): Promise<string> {
  const path = join(folder, "study.yaml");
  const stop = new Error("the study is written");
  await prepareDemo(folder, { seed: 5, trainings }, () => {
    throw stop;
  }).catch((error: unknown) => {
    if (error !== stop) throw error;
  });
  return readFileSync(path, "utf8");
}

describe("the demo's study", () => {
  it("has a seed for each training, from the demo's own on", async () => {
    expect(parse(await begun(await temporaryFolder(), 1)).seeds).toEqual([5]);
    const text = await begun(await temporaryFolder(), 3);
    expect(parse(text).seeds).toEqual([5, 6, 7]);
  });

  it("is not gone on with for another number of trainings", async () => {
    const folder = await temporaryFolder();
    const text = await begun(folder, 1);
    await expect(begun(folder, 3)).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringContaining("number of trainings"),
    });
    expect(readFileSync(join(folder, "study.yaml"), "utf8")).toBe(text);
  });
});
