import { execFileSync } from "node:child_process";
import { chmod, cp, mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { buildCommand } from "../dist/common/own-commands.js";
import { commands } from "./cli-fixture.js";
import { temporaryFolder } from "./temporary-folder.js";

const checkout = resolve(".");

/** The calls that a command's help gives as examples, and what stands after `Usage:`. */
function callsOf(help: string): string[] {
  const [, list = ""] = /\nExamples?:\n((?: {2}\S.*\n)+)/.exec(help) ?? [];
  const [, usage = ""] = /^Usage: (.*)$/m.exec(help) ?? [];
  return [usage, ...list.trim().split("\n")].map((line) => line.trim());
}

const helpOf = (main: string, command: string, cwd: string, path = process.env.PATH): string =>
  execFileSync(process.execPath, [main, command, "--help"], { cwd, encoding: "utf8", env: { PATH: path } });

/** The version, by a call's program as a shell in that folder starts it. */
const versionBy = (call: string, command: string, cwd: string, path = process.env.PATH): string =>
  execFileSync("sh", ["-c", `${call.slice(0, call.indexOf(` ${command}`))} --version`], {
    cwd,
    encoding: "utf8",
    env: { PATH: path, HOME: cwd, npm_config_update_notifier: "false" },
  }).trim();

/** A project with the package among its dependencies, as `npm install` leaves it. */
async function project(): Promise<{ folder: string; main: string }> {
  const folder = await temporaryFolder();
  const installed = join(folder, "node_modules", "transfer-limits");
  await mkdir(join(folder, "node_modules", ".bin"), { recursive: true });
  await cp(join(checkout, "dist"), join(installed, "dist"), { recursive: true });
  await cp(join(checkout, "package.json"), join(installed, "package.json"));
  await symlink(join(checkout, "node_modules"), join(installed, "node_modules"));
  const main = join(installed, "dist", "cli", "main.js");
  await chmod(main, 0o755);
  await symlink(
    "../transfer-limits/dist/cli/main.js",
    join(folder, "node_modules", ".bin", "transfer-limits"),
  );
  return { folder, main };
}

describe("a command that a message or a help text names works where it is read", () => {
  const main = join(checkout, "dist", "cli", "main.js");
  let version: string;
  beforeAll(async () => {
    version = JSON.parse(await readFile("package.json", "utf8")).version;
  });

  it.each(commands)("in a checkout: %s", (command) => {
    for (const call of callsOf(helpOf(main, command, checkout)))
      expect(call.startsWith(`node dist/cli/main.js ${command}`), call).toBe(true);
  });

  it("from another folder, by the absolute path", async () => {
    const elsewhere = await temporaryFolder();
    const [usage, example] = callsOf(helpOf(main, "plan", elsewhere));
    expect(example).toBe(`node ${main} plan study.yaml`);
    expect(versionBy(usage, "plan", elsewhere)).toBe(version);
  });

  it("where a project has the package installed, by npx, in its folders below too", async () => {
    const { folder, main } = await project();
    const below = join(folder, "studies", "first");
    await mkdir(below, { recursive: true });
    for (const cwd of [folder, below]) {
      const [usage, example] = callsOf(helpOf(main, "plan", cwd));
      expect(example).toBe("npx transfer-limits plan study.yaml");
      expect(versionBy(usage, "plan", cwd)).toBe(version);
    }
    expect(callsOf(helpOf(main, "plan", checkout))[1]).toBe(`node ${main} plan study.yaml`);
  });

  it("where it is installed for all projects, by its name", async () => {
    const folder = await temporaryFolder();
    await symlink(main, join(folder, "transfer-limits"));
    await chmod(main, 0o755);
    const path = `${folder}:${process.env.PATH}`;
    const [usage, example] = callsOf(helpOf(main, "plan", tmpdir(), path));
    expect(example).toBe("transfer-limits plan study.yaml");
    expect(versionBy(usage, "plan", tmpdir(), path)).toBe(version);
  });

  it("and is not another program of that name: that of a nearer project, or one that npm alone finds", async () => {
    const [nearest, other] = [await project(), await project()];
    expect(callsOf(helpOf(other.main, "plan", nearest.folder))[1]).toBe(`node ${other.main} plan study.yaml`);
    const path = `${join(other.folder, "node_modules", ".bin")}:${process.env.PATH}`;
    expect(callsOf(helpOf(other.main, "plan", checkout, path))[1]).toBe(`node ${other.main} plan study.yaml`);
  });
});

describe("commands are worded in one place", () => {
  it("and no other file of the program spells out a call", async () => {
    const files = (await readdir("src", { recursive: true })).filter((name) => name.endsWith(".ts"));
    const spelt = new RegExp(`(npx|transfer-limits) (${commands.join("|")})\\b|dist/cli/main\\.js`);
    for (const name of files) {
      const text = await readFile(join("src", name), "utf8");
      expect(`${name}: ${spelt.exec(text)?.[0] ?? "none"}`).toBe(`${name}: none`);
    }
  });

  it("in the documentation as a checkout has them, with commands that exist", async () => {
    const pages = [
      "README.md",
      ...(await readdir("docs")).filter((name) => name.endsWith(".md")).map((name) => join("docs", name)),
    ];
    const called: string[] = [];
    for (const page of pages) {
      const text = await readFile(page, "utf8");
      called.push(
        ...[...text.matchAll(/dist\/cli\/main\.js (\S+)/g)].map(([, command = ""]) =>
          command.replace(/\W+$/, ""),
        ),
      );
      const blocks = [...text.matchAll(/^```(?:sh|bash)?\n([\s\S]*?)^```/gm)].map(([, block = ""]) => block);
      for (const block of blocks) expect(block, page).not.toMatch(/^(npx )?transfer-limits /m);
    }
    expect(called).toContain("plan");
    expect([...new Set(called)].filter((command) => !commands.includes(command))).toEqual([]);
  });
});

it("the build that a message names is a script that the package is published with", () => {
  const [node, script, ...flavour] = buildCommand("cuda").split(" ");
  expect([node, ...flavour]).toEqual(["node", "--cuda"]);
  execFileSync("node", ["--check", script as string]);
  const { files } = JSON.parse(execFileSync("cat", ["package.json"], { encoding: "utf8" }));
  expect(files).toContain(dirname(script as string));
});
