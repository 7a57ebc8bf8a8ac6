import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { cacheFolder } from "../dist/native/libtorch/lock.js";
import { cli } from "./cli-fixture.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const textOf = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const description = JSON.parse(textOf("package.json")) as {
  name: string;
  version: string;
  engines: { node: string };
  bin: Record<string, string>;
  scripts: Record<string, string>;
};

const shell = (...words: string[]) => execFileSync("bash", words, { cwd: root, encoding: "utf8" });
/** Throws where a script is none that bash can read; runs nothing of it. */
const mustParse = (script: string) =>
  execFileSync("bash", ["-n"], { input: script, stdio: ["pipe", "pipe", "pipe"] });
const all = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map(([, found]) => found as string);

const dockerfile = textOf("containers/Dockerfile");
/** The instructions of the Dockerfile, a line each. */
const instructions = dockerfile
  .replaceAll(/^#.*\n/gm, "")
  .replaceAll(/\\\n\s*/g, "")
  .trim()
  .split("\n");
const instruction = (name: string) =>
  instructions.filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(name.length + 1));

const definition = textOf("containers/transfer-limits.def");
/** A section of the Apptainer definition, its lines without their indent. */
const section = (name: string) => {
  const [, text] = new RegExp(`^%${name}\\n((?: .*\\n?)+)`, "m").exec(definition) ?? [];
  return (text ?? "").split("\n").map((line) => line.trim());
};

const workflow = parse(textOf(".github/workflows/check.yml")) as {
  jobs: Record<
    string,
    {
      container: string;
      needs?: string;
      steps: { uses?: string; run?: string; with?: Record<string, string> }[];
    }
  >;
};
const jobs = Object.values(workflow.jobs);
const steps = jobs.flatMap((job) => job.steps);

const majorOf = (image: string | undefined) => Number(/^node:(\d+)-bookworm/.exec(image ?? "")?.[1]);
const oldestNode = Number(/^>=(\d+)\./.exec(description.engines.node)?.[1]);

describe("both containers", () => {
  const copied = [instruction("COPY")[0], section("files")[0]] as string[];
  const commands = [instruction("RUN").join("\n"), section("post").join("\n")];

  it("take the tarball from where a release leaves it, by the name that npm gives it, and install it from where they put it", () => {
    const [, folder] = /--pack-destination (\w+)/.exec(textOf("scripts/release.sh")) ?? [];
    const name = `${description.name}-${description.version}.tgz`;
    for (const [index, line] of copied.entries()) {
      const [from, to] = line.split(" ");
      const [start, end] = (from as string).split("*");
      expect(`${folder}/${name}`.startsWith(start as string) && name.endsWith(end as string), from).toBe(
        true,
      );
      expect(commands[index]).toContain(`npm install --global ${to}${description.name}-*.tgz`);
      expect(commands[index]).toContain(`rm ${to}${description.name}-*.tgz`);
    }
  });

  it("stand on a Node that the package allows, with Python and pip to fetch LibTorch", () => {
    expect(oldestNode).toBe(20);
    for (const image of [instruction("FROM")[0], /^From: (.*)$/m.exec(definition)?.[1]])
      expect(majorOf(image)).toBeGreaterThanOrEqual(oldestNode);
    for (const script of commands) expect(script).toMatch(/apt-get install .*\bpython3 python3-pip\b/);
  });

  it("call commands and options that there are, in scripts that a shell can read", async () => {
    const { stdout: help } = await cli("doctor", "--help");
    for (const script of [...commands, section("runscript").join("\n")]) {
      mustParse(script);
      for (const option of all(script, /transfer-limits doctor\b.*?(--[a-z]+)/g))
        expect(help).toContain(option);
    }
    expect(help).toContain("--cuda");
    expect(JSON.parse(instruction("ENTRYPOINT")[0] as string)).toEqual(Object.keys(description.bin));
    expect(section("runscript")[0]).toBe(`exec ${Object.keys(description.bin)[0]} "$@"`);
  });

  it("fetch LibTorch into the cache that it is looked for in", () => {
    const place = { XDG_CACHE_HOME: "/opt/cache" };
    expect(cacheFolder(place)).toBe("/opt/cache/transfer-limits");
    expect(instruction("ENV")).toEqual([`XDG_CACHE_HOME=${place.XDG_CACHE_HOME}`]);
    expect(section("environment")[0]).toBe(`export XDG_CACHE_HOME=${place.XDG_CACHE_HOME}`);
    expect(section("post").join("\n")).toMatch(
      /XDG_CACHE_HOME=\/opt\/cache transfer-limits doctor --install --cuda/,
    );
  });
});

describe("the Apptainer definition", () => {
  it("puts nothing into /tmp: the host's is mounted there while its commands run", () => {
    expect(section("files")[0]?.split(" ")[1]).not.toMatch(/^\/(var\/)?tmp/);
  });
});

describe("the workflow", () => {
  it("runs scripts that are there and can be started, in images whose Node the package allows", () => {
    expect(steps.every(({ uses, run }) => (uses === undefined) !== (run === undefined))).toBe(true);
    for (const { container } of jobs) expect(majorOf(container)).toBeGreaterThanOrEqual(oldestNode);
    const scripts = steps.flatMap(({ run }) => all(run ?? "", /(?:^|bash )((?:\.ci|scripts)\/\S+)/gm));
    expect(scripts).toEqual([".ci/run", "scripts/release.sh"]);
    for (const script of scripts) accessSync(`${root}${script}`, constants.X_OK);
    for (const { run } of steps) if (run !== undefined) mustParse(run);
  });

  it("waits for jobs that there are, keeps the package's cache by files that there are, and hands over what a release makes", () => {
    for (const { needs } of jobs) if (needs !== undefined) expect(workflow.jobs).toHaveProperty(needs);
    const settings = steps.flatMap((step) => (step.with ? [step.with] : []));
    const cache = settings.find(({ key }) => key !== undefined);
    expect(cache?.path?.replace("~", homedir())).toBe(cacheFolder({}));
    const [, patterns] = /hashFiles\((.*)\)/.exec(cache?.key ?? "") ?? [];
    for (const pattern of all(patterns ?? "", /'([^']+)'/g))
      expect(shell("-c", `compgen -G '${pattern}'`)).not.toBe("");
    expect(settings.find(({ name }) => name === "release")?.path).toBe("release/");
  });

  it("calls npm's scripts, Node's and tests that there are, in all that it starts", () => {
    const readme = all(textOf("README.md"), /^```sh\n([\s\S]*?)^```/gm).join("\n");
    const texts = [textOf(".ci/run"), textOf("scripts/release.sh"), readme];
    for (const text of texts) mustParse(text);
    const text = texts.join("\n");
    const names = all(text, /\bnpm run ([\w:]+)/g);
    expect(names).toEqual(expect.arrayContaining(["build", "lint", "build:cuda", "build:typescript"]));
    for (const name of names) expect(description.scripts).toHaveProperty(name);
    const files = [...all(text, /\bnode (scripts\/\S+)/g), ...all(text, /(test\/[\w-]+\.test\.ts)/g)];
    expect(files.length).toBeGreaterThan(8);
    for (const file of files) expect(existsSync(`${root}${file}`), file).toBe(true);
  });
});
