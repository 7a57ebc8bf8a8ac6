#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { ownCommand } from "../common/own-commands.js";
import { reportFailure } from "./answer.js";

const { version, description } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as { version: string; description: string };

const program = new Command(ownCommand())
  .description(description)
  .version(version)
  .showHelpAfterError("(--help shows how to call it)")
  .addHelpText("after", "\nExit status: 0 done, 1 something failed, 2 bad use or a bad study file.")
  .exitOverride();

/** Each command is read when it is called, or when help has to list them all: what one does not need, none waits for. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  demo: async () => (await import("./commands/demo.js")).addDemo,
  run: async () => (await import("./commands/run.js")).addRun,
  plan: async () => (await import("./commands/plan.js")).addPlan,
  prepare: async () => (await import("./commands/prepare.js")).addPrepare,
  cell: async () => (await import("./commands/cell.js")).addCell,
  collect: async () => (await import("./commands/collect.js")).addCollect,
  status: async () => (await import("./commands/status.js")).addStatus,
  cancel: async () => (await import("./commands/cancel.js")).addCancel,
  check: async () => (await import("./commands/check.js")).addCheck,
  forecast: async () => (await import("./commands/forecast.js")).addForecast,
  report: async () => (await import("./commands/report.js")).addReport,
  pretrain: async () => (await import("./commands/pretrain.js")).addPretrain,
  embed: async () => (await import("./commands/embed.js")).addEmbed,
  align: async () => (await import("./commands/align.js")).addAlign,
  inspect: async () => (await import("./commands/inspect.js")).addInspect,
  simulate: async () => (await import("./commands/simulate.js")).addSimulate,
  doctor: async () => (await import("./commands/doctor.js")).addDoctor,
  bench: async () => (await import("./commands/bench.js")).addBench,
};
const called = process.argv[2] ?? "";
for (const name of Object.hasOwn(commands, called) ? [called] : Object.keys(commands)) {
  (await commands[name]?.())?.(program);
}

// Whoever reads the answer may have read enough: `... | head` is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") reportFailure(error, false);
});
// Progress that nobody can read (`2>&1 | head`, a full disk under the log) is no reason to stop the work.
process.stderr.on("error", () => {});

try {
  await program.parseAsync();
} catch (error) {
  reportFailure(error, process.argv.includes("--json"));
}
