import { type Command, Option } from "commander";
import type { BenchReport } from "../../bench/report.js";
import { type Answer, answer } from "../answer.js";
import { examples } from "../examples.js";
import { printable, table } from "../format.js";
import { abortOnInterrupt } from "../interrupt.js";
import { wholeNumber } from "../numbers.js";

interface Options {
  runs: number;
  threads: number;
  device: string;
  out?: string;
  peers: string | false;
  quick?: boolean;
  list?: boolean;
  json?: boolean;
}

/** `bench [names...]`: what the parts of a study cost on this machine, beside others that do the same. */
export function addBench(program: Command): void {
  program
    .command("bench")
    .description("time kernels, networks, reading and a study, beside peers in Python that do the same")
    .argument(
      "[names...]",
      "what to time (default: everything but what takes minutes; --list says what there is)",
    )
    .option("--runs <number>", "timed runs of each side, in turn", wholeNumber(1), 5)
    .option("--threads <number>", "threads of an operation on the CPU, for both sides", wholeNumber(1), 2)
    .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
    .option("--out <file>", "write the table there too: JSON for a name in .json, otherwise Markdown")
    .addOption(
      new Option("--peers <python>", "the Python that runs the peers (bench/peers/requirements.txt)").default(
        "python3",
      ),
    )
    .option("--no-peers", "time our side only")
    .option("--quick", "small sizes, to see that everything works: the numbers mean nothing")
    .option("--list", "say what can be timed, and time nothing")
    .option("--json", "write one JSON document to stdout")
    .addHelpText(
      "after",
      examples("bench mmd ssim --peers peers/bin/python --out bench.md", "bench --quick --no-peers"),
    )
    .addHelpText("after", "\nA peer that cannot run is shown as such; the rest goes on.")
    .action((names: string[], options: Options) =>
      answer(options, () => (options.list ? list() : bench(names, options))),
    );
}

async function list(): Promise<Answer> {
  const { benchCases } = await import("../../bench/cases/index.js");
  const value = benchCases.map(({ name, summary, onDemand = false }) => ({ name, summary, onDemand }));
  const rows = value.map(({ name, summary, onDemand }) => [
    name,
    `${summary}${onDemand ? "; only when named" : ""}`,
  ]);
  return { value, text: table(["name", "what is timed"], rows) };
}

async function bench(names: string[], options: Options): Promise<Answer> {
  const { runBench } = await import("../../bench/run.js");
  const { markdownOf } = await import("../../bench/report.js");
  const { writeFileAtomically } = await import("../../common/atomic-file.js");
  const { checkDevices } = await import("../../study/plan/devices.js");
  checkDevices([options.device]);
  const { signal, dispose } = abortOnInterrupt();
  try {
    const { runs, threads, device, quick = false, peers, out } = options;
    const report = await runBench({
      names,
      runs,
      threads,
      device,
      quick,
      python: peers === false ? null : peers,
      say: (text) => process.stderr.write(`${text}\n`),
      signal,
    });
    if (out !== undefined) {
      const text = out.endsWith(".json") ? `${JSON.stringify(report, null, 2)}\n` : markdownOf(report);
      await writeFileAtomically(out, text);
    }
    const failed = report.results.some((result) => result.failed);
    return { value: report, text: await reportText(report), failed };
  } finally {
    dispose();
  }
}

async function reportText(report: BenchReport): Promise<string> {
  const { agreementTable, comparisonTable, figureLines, machineLines, notTimed } = await import(
    "../../bench/report.js"
  );
  const comparisons = comparisonTable(report);
  const agreement = agreementTable(report);
  const parts: [string, string][] = [
    ["", machineLines(report).join("\n")],
    ["", table(comparisons.heading, comparisons.rows)],
    ["Beside the times", figureLines(report).join("\n")],
    [
      "Every peer, and how well the answers agree (relative; errors against float64)",
      agreement.rows.length > 0 ? table(agreement.heading, agreement.rows) : "",
    ],
    ["Not timed", notTimed(report).join("\n")],
  ];
  return parts
    .filter(([, body]) => body !== "")
    .map(([title, body]) => printable(title === "" ? body : `${title}\n${body}`))
    .join("\n\n");
}
