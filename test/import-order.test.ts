import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, it } from "vitest";

/** From what knows nothing of the others to what knows them all. `study` runs the whole way, which `report` then draws. */
const order = [
  "common",
  "native",
  "cohort",
  "diffusion",
  "models",
  "tasks",
  "results",
  "alignment",
  "statistics",
  "study",
  "slurm",
  "report",
  "bench",
  "cli",
];

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => join("src", path));

const folderOf = (file: string): string | undefined => /^src\/([^/]+)\//.exec(file)?.[1];

it("a folder of src imports only from those before it on the way through a study", () => {
  const backwards = files.filter(folderOf).flatMap((file) => {
    const imports = [...readFileSync(file, "utf8").matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)];
    return imports.flatMap(([, path = ""]) => {
      const [from = "", to = ""] = [folderOf(file), folderOf(relative(".", join(dirname(file), path)))];
      return order.indexOf(to) > order.indexOf(from) ? [`${file} -> ${path}`] : [];
    });
  });
  expect(backwards).toEqual([]);
});

it("every folder of src has its place in that order", () => {
  const folders = new Set(files.flatMap((file) => folderOf(file) ?? []));
  expect([...folders].sort()).toEqual([...order].sort());
});
