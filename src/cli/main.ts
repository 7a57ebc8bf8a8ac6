#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { ownCommand } from "../common/own-commands.js";
import { reportFailure } from "./answer.js";
import { addAlign } from "./commands/align.js";
import { addBench } from "./commands/bench.js";
import { addCancel } from "./commands/cancel.js";
import { addCell } from "./commands/cell.js";
import { addCheck } from "./commands/check.js";
import { addCollect } from "./commands/collect.js";
import { addDemo } from "./commands/demo.js";
import { addDoctor } from "./commands/doctor.js";
import { addEmbed } from "./commands/embed.js";
import { addForecast } from "./commands/forecast.js";
import { addInspect } from "./commands/inspect.js";
import { addPlan } from "./commands/plan.js";
import { addPrepare } from "./commands/prepare.js";
import { addPretrain } from "./commands/pretrain.js";
import { addReport } from "./commands/report.js";
import { addRun } from "./commands/run.js";
import { addSimulate } from "./commands/simulate.js";
import { addStatus } from "./commands/status.js";

const { version, description } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as { version: string; description: string };

const program = new Command(ownCommand())
  .description(description)
  .version(version)
  .showHelpAfterError("(--help shows how to call it)")
  .addHelpText("after", "\nExit status: 0 done, 1 something failed, 2 bad use or a bad study file.")
  .exitOverride();

for (const add of [
  addDemo,
  addRun,
  addPlan,
  addPrepare,
  addCell,
  addCollect,
  addStatus,
  addCancel,
  addCheck,
  addForecast,
  addReport,
  addPretrain,
  addEmbed,
  addAlign,
  addInspect,
  addSimulate,
  addDoctor,
  addBench,
]) {
  add(program);
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
