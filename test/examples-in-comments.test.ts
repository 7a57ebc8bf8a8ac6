import { execFile } from "node:child_process";
import { mkdir, readFile, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryFolder } from "./temporary-folder.js";

/** The code of each `@example` that a file's comments hold. */
async function examplesIn(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8");
  return [...text.matchAll(/\* @example\n((?: *\*(?! @)(?!\/).*\n)+)/g)].map(([, lines = ""]) =>
    lines.replace(/^ *\* ?/gm, ""),
  );
}

test.each([
  ["src/native/tensor.ts", 1],
  ["src/cohort/prepare-volume.ts", 1],
  ["src/alignment/embed-images.ts", 1],
  ["src/models/network.ts", 2],
  ["src/alignment/mmd.ts", 1],
  ["src/alignment/permutation-test.ts", 1],
  ["src/tasks/metrics.ts", 1],
  ["src/statistics/correlation.ts", 1],
  ["src/statistics/specification-curve.ts", 1],
])("the examples in the comments of %s run as they stand", async (file, count) => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, "node_modules"));
  await symlink(resolve("."), join(folder, "node_modules", "transfer-limits"));
  const examples = await examplesIn(file);
  expect(examples).toHaveLength(count);
  for (const example of examples) {
    const { stdout } = await promisify(execFile)("node", ["--input-type=module", "--eval", example], {
      cwd: folder,
    });
    expect(stdout).not.toBe("");
  }
});
