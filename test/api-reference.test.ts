import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";

/** Something that a module exports: its name there, and the declaration that TypeScript wrote, with its comment. */
interface Export {
  name: string;
  file: string;
  declaration: string;
  comment: string | null;
}

/** Everything that a compiled module exports, followed to where it is declared. */
function exportsOf(file: string): Export[] {
  const text = readFileSync(file, "utf8");
  const found: Export[] = [];
  const other = (place: string) => join(dirname(file), place.replace(/\.js$/, ".d.ts"));
  for (const [, names = "", place] of text.matchAll(/^export (?:type )?\{([^}]*)\}(?: from "(.*)")?;/gm)) {
    for (const part of names.split(",")) {
      const [original = "", name = original] = part
        .trim()
        .replace(/^type /, "")
        .split(" as ");
      if (original === "") continue;
      const declared =
        place === undefined ? declarationIn(file, original) : exportedBy(other(place), original);
      found.push({ ...declared, name });
    }
  }
  for (const [, place = ""] of text.matchAll(/^export (?:type )?\* from "(.*)";/gm))
    found.push(...exportsOf(other(place)));
  for (const [, comment, name = "", place = ""] of text.matchAll(
    /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?export \* as (\w+) from "(.*)";/g,
  ))
    found.push(
      { name, file, declaration: "namespace", comment: comment ?? null },
      ...exportsOf(other(place)).map((one) => ({ ...one, name: `${name}.${one.name}` })),
    );
  for (const [, name = ""] of text.matchAll(
    /^export (?:declare )?(?:abstract )?(?:function|class|interface|type|const) (\w+)/gm,
  ))
    if (!found.some((one) => one.name === name)) found.push(declarationIn(file, name));
  return found;
}

function exportedBy(file: string, name: string): Export {
  const found = exportsOf(file).find((one) => one.name === name);
  if (found === undefined) throw new Error(`${file} exports no ${name}`);
  return found;
}

function declarationIn(file: string, name: string): Export {
  const text = readFileSync(file, "utf8");
  const found = new RegExp(
    `(/\\*\\*(?:(?!\\*/)[\\s\\S])*\\*/\\n)?(?:export )?(?:declare )?(?:abstract )?((?:function|class|interface|type|const) ${name}\\b)`,
  ).exec(text);
  if (found === null) throw new Error(`${file} declares no ${name}`);
  return { name, file, declaration: found[2] ?? "", comment: found[1] ?? null };
}

/** The names that the pages of docs/api have a heading for, those of a namespace after its own. */
function described(): Set<string> {
  const names = ["README", "diffusion", "metrics", "statistics"].flatMap((page) => {
    const text = readFileSync(join("docs", "api", `${page}.md`), "utf8");
    const prefix = page === "README" ? "" : `${page}.`;
    const headings = [...text.matchAll(/^### (\w+)/gm)].map(([, name = ""]) => `${prefix}${name}`);
    return page === "README" ? headings : [page, ...headings];
  });
  return new Set(names);
}

describe("everything that a script can import", () => {
  const all = exportsOf("dist/index.d.ts");

  it("is found by this test as Node finds it", async () => {
    const values = Object.keys(await import("../dist/index.js")).sort();
    const isValue = ({ name, declaration }: Export) =>
      !name.includes(".") && /^(?:function|class|const|namespace)\b/.test(declaration);
    expect([...new Set(all.filter(isValue).map(({ name }) => name))].sort()).toEqual(values);
  });

  it.each(all.map((one) => [one.name, one] as const))("%s has a comment that says what it is", (_, one) => {
    const words = (one.comment ?? "").replace(/\/\*\*|\*\/|^\s*\*|@\w+/gm, " ").trim();
    expect(words.split(/\s+/).length, `${one.declaration} in ${one.file}`).toBeGreaterThanOrEqual(3);
  });

  it("stands in docs/api, and nothing else does (npm run docs makes it anew)", () => {
    expect([...described()].sort()).toEqual([...new Set(all.map(({ name }) => name))].sort());
  });
});
