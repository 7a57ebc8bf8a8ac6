import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { readResults, tinyStudy } from "./study-fixture.js";

const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-output-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function studyFile(name: string): Promise<string> {
  const study = tinyStudy(folder, name, {
    tasks: ["lesion-segmentation"],
    comparators: ["random-weights", "from-scratch"],
  });
  const path = join(folder, `${name}.yaml`);
  await writeFile(path, stringify(study));
  return path;
}

async function expectWhole(name: string): Promise<void> {
  const { cells } = await readResults(join(folder, name));
  expect(cells.map(({ status }) => status)).toEqual(["done", "done", "done"]);
  expect(existsSync(join(folder, name, "report.html"))).toBe(true);
}

describe("a study whose progress cannot be written goes on to its end", () => {
  it("where the reader of both outputs has read enough: `2>&1 | head -2`", async () => {
    const command = `"${process.execPath}" "${program}" run "${await studyFile("head")}" 2>&1 | head -2; echo "status \${PIPESTATUS[0]}"`;
    const shell = spawn("bash", ["-c", command], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    shell.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    await once(shell, "close");
    expect(output).toMatch(/^.+\n.+\nstatus 0\n$/);
    await expectWhole("head");
  }, 60_000);

  it("where the disk under the log is full", async (context) => {
    const disk = join(folder, "disk");
    await mkdir(disk);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4k", "tmpfs", disk]).status === 0;
    if (!mounted) return context.skip();
    const log = await open(join(disk, "log"), "w");
    try {
      await log.write("x".repeat(4000)); // room for a line, not for all
      const study = await studyFile("full");
      const run = spawn(process.execPath, [program, "run", study], { stdio: ["ignore", "ignore", log.fd] });
      expect(await once(run, "close")).toEqual([0, null]);
    } finally {
      await log.close();
      spawnSync("umount", ["--lazy", disk]);
    }
    await expectWhole("full");
  }, 60_000);
});
