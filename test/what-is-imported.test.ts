import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { smallStudy } from "./cli-fixture.js";
import { hashFill } from "./hash-fill.js";
import { temporaryFolder } from "./temporary-folder.js";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

/** The packages of which a program read any file, as V8 lists them for a measurement of coverage. */
async function packagesReadBy(program: string, ...words: string[]): Promise<Set<string>> {
  const coverage = join(await temporaryFolder(), "coverage");
  const env = { ...process.env, NODE_V8_COVERAGE: coverage };
  await promisify(execFile)(process.execPath, [program, ...words], { env }); // rejects where it fails
  const texts = readdirSync(coverage).map((name) => readFileSync(join(coverage, name), "utf8"));
  const found = texts.flatMap((text) => [
    ...text.matchAll(/"url":"file:[^"]*\/node_modules\/((?:@[^/"]+\/)?[^/"]+)/g),
  ]);
  return new Set(found.map(([, name]) => name as string));
}

const plotting = (packages: Set<string>): string[] => [...packages].filter((name) => /^(vega|d3)/.test(name));

async function study(): Promise<string> {
  const folder = await temporaryFolder();
  await writePhantomCohort(join(folder, "cohort"), { cases: 4, seed: 1, voxels: [16, 16, 16] });
  const path = join(folder, "study.yaml");
  await writeFile(path, smallStudy());
  return path;
}

/** Two small sets of embeddings. */
async function embeddings(): Promise<string[]> {
  const folder = await temporaryFolder();
  return Promise.all(
    ["a", "b"].map(async (name) => {
      using tensor = Tensor.from(Float64Array.from(hashFill(name, 18)), [6, 3]);
      await writeSafetensors(join(folder, name), { embeddings: tensor }, {});
      return join(folder, name);
    }),
  );
}

describe("the packages that draw figures", () => {
  it.each([
    ["doctor", async () => ["doctor"]],
    ["plan", async () => ["plan", await study()]],
    ["align", async () => ["align", ...(await embeddings())]],
  ])("are not read by %s", async (_, command) => {
    const packages = await packagesReadBy(main, ...(await command()));
    expect(packages).toContain("commander");
    expect(plotting(packages)).toEqual([]);
  });

  it("are not read by a script that imports this package and draws nothing, and are by one that draws", async () => {
    const folder = await temporaryFolder();
    const url = (path: string) => JSON.stringify(new URL(`../dist/${path}`, import.meta.url).href);
    const scripts = {
      "import.mjs": `await import(${url("index.js")});`,
      "draw.mjs": `const { draw } = await import(${url("report/svg.js")});
        await draw({ mark: "point", data: { values: [{ x: 1 }] }, encoding: { x: { field: "x", type: "quantitative" } } }, "a");`,
    };
    for (const [name, text] of Object.entries(scripts)) await writeFile(join(folder, name), text);
    expect(plotting(await packagesReadBy(join(folder, "import.mjs")))).toEqual([]);
    expect(plotting(await packagesReadBy(join(folder, "draw.mjs")))).toContain("vega");
  });
});
