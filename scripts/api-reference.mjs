// Makes docs/api from the comments in src/: `npm run docs`. Without --write it only checks that the pages in docs/api are what
// the comments say, and that every export has one. TypeDoc is not among what everyone installs: it has a lock of its own in
// scripts/api-reference, which is installed the first time.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const tools = join(root, "scripts", "api-reference");
const pages = join(root, "docs", "api");
/** Where TypeDoc puts the pages of namespaces, and where they lie with us. */
const namespaces = "transfer-limits/namespaces/";

install();
const made = make();
const old = existsSync(pages) ? readdirSync(pages).filter((name) => name.endsWith(".md")) : [];
const stale = [...new Set([...made.keys(), ...old])].filter(
  (name) => !old.includes(name) || readFileSync(join(pages, name), "utf8") !== made.get(name),
);
if (process.argv.includes("--write")) {
  rmSync(pages, { recursive: true, force: true });
  mkdirSync(pages, { recursive: true });
  for (const [name, text] of made) writeFileSync(join(pages, name), text);
} else if (stale.length > 0) {
  console.error(`docs/api is not what the comments in src/ say (${stale.join(", ")}): npm run docs`);
  process.exitCode = 1;
}

/** Installs what the lock names, unless that is there. */
function install() {
  const installed = join(tools, "node_modules", ".package-lock.json");
  const wanted = JSON.parse(readFileSync(join(tools, "package-lock.json"), "utf8")).packages;
  const there = existsSync(installed) ? JSON.parse(readFileSync(installed, "utf8")).packages : {};
  const missing = Object.entries(wanted).some(
    ([name, { version, optional }]) => name !== "" && !optional && there[name]?.version !== version,
  );
  if (missing) run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
}

/** The pages by name, as they should lie in docs/api. */
function make() {
  const folder = mkdtempSync(join(tmpdir(), "transfer-limits-api-"));
  try {
    run(process.execPath, ["node_modules/typedoc/bin/typedoc", "--out", folder, "--logLevel", "Warn"]);
    const found = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".md"));
    return new Map(
      found.sort().map((name) => {
        const page = name.replace(namespaces, "");
        if (dirname(page) !== ".")
          throw new Error(`TypeDoc made the page ${name}, for which nobody has a place`);
        const text = readFileSync(join(folder, name), "utf8");
        return [page, text.replaceAll(namespaces, "").replaceAll("../../README.md", "README.md")];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function run(program, words) {
  const { status } = spawnSync(program, words, { cwd: tools, stdio: "inherit" });
  if (status !== 0) {
    console.error(`${program} ${words[0]} failed; the reason stands above`);
    process.exit(1);
  }
}
