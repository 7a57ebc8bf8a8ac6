import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";

/** From what knows nothing of the others to what knows them all; `study/run` goes the whole way, which `report` draws. */
const order = [
  "common",
  "native",
  "cohort",
  "diffusion",
  "models",
  "tasks",
  "results",
  "study/config",
  "study/plan",
  "study/cell",
  "alignment",
  "statistics",
  "study/run",
  "slurm",
  "report",
  "bench",
  "cli",
];

/** The way through a study, from what is asked to what is answered. */
const way = [
  "study/config",
  "study/plan",
  "cohort",
  "study/cell",
  "results",
  "alignment",
  "statistics",
  "report",
];

/** Of the way, what those before it may import from too, and why. They know no study, so that nothing leads back. */
const vocabularies: Readonly<Record<string, string>> = {
  cohort:
    "what columns, manifests, grids and splits are is said there, and a study's file and plan speak of them",
  results: "what lies on the disk is described there, and whoever writes a file writes what is described",
};

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => join("src", path));

/** The folder of a file, as it stands in the order; undefined for what lies beside the folders. */
const folderOf = (file: string): string | undefined => /^src\/(study\/[^/]+|[^/]+)\//.exec(file)?.[1];

/** The files that a file names: by imports, those of types too, and as programs of their own. */
const importsOf = new Map(
  files.map((file) => {
    const named = readFileSync(file, "utf8").matchAll(
      /\b(?:from|import|new URL)(?:\s*\(\s*|\s+)"(\.[^"]+)\.js"/g,
    );
    return [file, [...named].map(([, path]) => `${join(dirname(file), path as string)}.ts`)] as const;
  }),
);

/** The stages of the way that are no such words. */
const stages = way.filter((folder) => !(folder in vocabularies));

/** A way from a file back to itself; null where there is none. */
function circleThrough(file: string): string[] | null {
  const seen = new Set<string>();
  const search = (from: string, path: readonly string[]): string[] | null => {
    for (const next of importsOf.get(from) ?? []) {
      if (next === file) return [...path, next];
      if (seen.has(next)) continue;
      seen.add(next);
      const found = search(next, [...path, next]);
      if (found !== null) return found;
    }
    return null;
  };
  return search(file, [file]);
}

describe("The files of src", () => {
  it("import files that are there", () => {
    const unknown = [...importsOf].flatMap(([file, named]) =>
      named.flatMap((path) => (importsOf.has(path) ? [] : [`${file} -> ${path}`])),
    );
    expect(unknown).toEqual([]);
    expect([...importsOf.values()].flat().length).toBeGreaterThan(files.length);
  });

  it("import each other in no circle", () => {
    expect(files.flatMap((file) => circleThrough(file)?.join(" -> ") ?? [])).toEqual([]);
  });

  it("lie in folders that have their place in the order", () => {
    const folders = new Set(files.flatMap((file) => folderOf(file) ?? []));
    expect([...folders].sort()).toEqual([...order].sort());
    expect(files.filter((file) => folderOf(file) === undefined)).toEqual(["src/index.ts"]);
  });

  it("import from their own folder and those before it", () => {
    const backwards = [...importsOf].flatMap(([file, named]) => {
      const from = folderOf(file);
      if (from === undefined) return [];
      return named.flatMap((path) =>
        order.indexOf(folderOf(path) ?? "") > order.indexOf(from) ? [`${file} -> ${path}`] : [],
      );
    });
    expect(backwards).toEqual([]);
  });
});

describe("The order of folders", () => {
  it("is that of the way through a study, but for the folders whose words all of it speaks", () => {
    expect(order.filter((folder) => stages.includes(folder))).toEqual(stages);
  });

  it.each(Object.keys(vocabularies))("has %s, which knows nothing of a study, before all of it", (folder) => {
    const known = [...importsOf].flatMap(([file, named]) =>
      folderOf(file) === folder ? named.map(folderOf) : [],
    );
    expect(known.filter((other) => stages.includes(other ?? ""))).toEqual([]);
  });
});
