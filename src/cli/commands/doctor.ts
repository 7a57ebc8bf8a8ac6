import type { Command } from "commander";
import { hasDriver } from "../../native/flavour.js";
import { describeFetch, fetchLibTorch, lacksParts } from "../../native/libtorch/fetch.js";
import type { LockPart } from "../../native/libtorch/lock.js";
import { locateLibTorch } from "../../native/libtorch.js";
import { answer } from "../answer.js";
import { examineMachine, type Finding } from "../doctor/examine.js";
import { examples } from "../examples.js";

/** `doctor`: what this machine has, and what to do about what it lacks. */
export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description(
      "say what was found: LibTorch, the addon, threads, CUDA devices, compiler; and what to do about the rest",
    )
    .option(
      "--install",
      "fetch the pinned LibTorch into the package's cache first, where no LibTorch that can be used is found; what is " +
        "missing or damaged in the cache is fetched again",
    )
    .option(
      "--fetch",
      "fetch the pinned LibTorch into the package's cache first, even where another one is found",
    )
    .option(
      "--cuda",
      "fetch CUDA's libraries too, even where NVIDIA's driver is not there (they are always fetched where it is)",
    )
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("doctor --install"))
    .action((options: { install?: boolean; fetch?: boolean; cuda?: boolean; json?: boolean }) =>
      answer(options, async () => {
        const parts: LockPart[] = options.cuda || hasDriver() ? ["cuda", "gpu"] : [];
        const { found } = locateLibTorch();
        if (options.fetch || (options.install && (!found || lacksParts(found, parts)))) {
          await fetchLibTorch({ onProgress: printProgress(), parts });
        }
        const examination = await examineMachine();
        return {
          value: examination,
          text: examination.findings.map(findingText).join("\n"),
          failed: !examination.ok,
        };
      }),
    );
}

const marks = { ok: "ok     ", note: "note   ", missing: "MISSING" } as const;

const findingText = ({ name, status, detail, remedy }: Finding): string =>
  [
    `${marks[status]}  ${name}: ${detail.replaceAll("\n", "\n           ")}`,
    ...(remedy ? [`           → ${remedy}`] : []),
  ].join("\n");

/** A line every few seconds while a wheel is downloaded, and every other event at once. */
function printProgress(): (event: Parameters<typeof describeFetch>[0]) => void {
  let printedAt = 0;
  return (event) => {
    const underWay = event.kind === "download" && event.bytes < event.total;
    if (underWay && Date.now() - printedAt < 3000) return;
    printedAt = Date.now();
    process.stderr.write(`${describeFetch(event)}\n`);
  };
}
