import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { buildCommand, ownCommand } from "../dist/common/own-commands.js";

test("a command that a message names works from any folder", () => {
  const version = execFileSync("sh", ["-c", ownCommand("--version")], { cwd: tmpdir(), encoding: "utf8" });
  expect(version.trim()).toMatch(/^\d+\.\d+\.\d+/);
});

test("the build that a message names is a script that the package is published with", () => {
  const [node, script, ...flavour] = buildCommand("cuda").split(" ");
  expect([node, ...flavour]).toEqual(["node", "--cuda"]);
  execFileSync("node", ["--check", script as string]);
});
