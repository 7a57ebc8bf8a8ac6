import type { Command } from "commander";
import { expected, TransferLimitsError } from "../../common/errors.js";
import type { KernelDistance } from "../../study/results.js";
import { answer } from "../answer.js";
import { number, printable, table } from "../format.js";
import { positiveNumber } from "../numbers.js";

interface Options {
  tensor?: string;
  sigma: number;
  json?: boolean;
}

/** `align A B`: the distance between two sets of embeddings. */
export function addAlign(program: Command): void {
  program
    .command("align")
    .description("measure how far two sets of embeddings lie apart (MMD²), with its diagnostics")
    .argument("<a>", "embeddings [N, features], safetensors")
    .argument("<b>", "embeddings [M, features], safetensors")
    .option("--tensor <name>", "the tensor to read (default: `embeddings`, or the only tensor of the file)")
    .option("--sigma <number>", "bandwidth of the kernel exp(-|u - v|² / sigma²)", positiveNumber, 1)
    .option("--json", "write one JSON document to stdout")
    .addHelpText(
      "after",
      "\nExample:\n  transfer-limits align fine-tuned.safetensors random-weights.safetensors",
    )
    .action((a: string, b: string, options: Options) =>
      answer(options, async () => {
        const comparison = await compare(a, b, options);
        const row = (name: string, distance: KernelDistance) => [
          name,
          number(distance.sigma),
          number(distance.biased),
          distance.unbiased === null ? "–" : number(distance.unbiased),
          number(distance.offDiagonalMean),
        ];
        const heading = ["bandwidth", "sigma", "MMD² biased", "MMD² unbiased", "mean off-diagonal kernel"];
        return {
          value: comparison,
          text: [
            `${comparison.rows.join(" and ")} rows of ${comparison.features} features`,
            table(heading, [
              row("as given", comparison.given),
              row("median distance", comparison.medianHeuristic),
            ]),
            ...(comparison.given.saturated
              ? [
                  `Saturated: sigma = ${number(options.sigma)} says nothing about these features. Read the second row.`,
                ]
              : []),
          ].join("\n"),
        };
      }),
    );
}

async function compare(pathA: string, pathB: string, { tensor, sigma }: Options) {
  const { mmd2 } = await import("../../alignment/mmd.js");
  const { medianDistance } = await import("../../native/kernels.js");
  using a = await readEmbeddings(pathA, tensor);
  using b = await readEmbeddings(pathB, tensor);
  if (a.shape[1] !== b.shape[1]) {
    throw expected(
      `as many features as ${printable(pathA)} has (${a.shape[1]})`,
      printable(pathB),
      b.shape[1],
    );
  }
  const at = async (bandwidth: number): Promise<KernelDistance> => ({
    sigma: bandwidth,
    ...(await mmd2(a, b, { sigma: bandwidth })),
  });
  const median = await medianDistance(a, b);
  return {
    a: pathA,
    b: pathB,
    rows: [a.shape[0] ?? 0, b.shape[0] ?? 0],
    features: a.shape[1] ?? 0,
    given: await at(sigma),
    // Where most rows are equal the median is 0, and no bandwidth.
    medianHeuristic: await at(median > 0 ? median : sigma),
  };
}

async function readEmbeddings(path: string, wanted: string | undefined) {
  const { readSafetensors } = await import("../../native/safetensors.js");
  const file = await readSafetensors(path);
  const name = wanted ?? (file.names.includes("embeddings") ? "embeddings" : file.names[0]);
  if (name === undefined || (wanted === undefined && name !== "embeddings" && file.names.length > 1)) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `${path} holds ${file.names.length} tensors and none is called "embeddings"; name one with --tensor. ` +
        `There are: ${file.names.slice(0, 10).join(", ")}`,
    );
  }
  const shape = file.shape(name);
  if (shape.length !== 2) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `Expected embeddings [N, features] in ${path} but "${name}" is [${shape.join(", ")}]`,
    );
  }
  return file.tensor(name);
}
