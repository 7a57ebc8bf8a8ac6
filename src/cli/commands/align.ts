import type { Command } from "commander";
import type { MmdPermutationTest } from "../../alignment/permutation-test.js";
import { expected, TransferLimitsError } from "../../common/errors.js";
import type { KernelDistance } from "../../study/results.js";
import { answer } from "../answer.js";
import { examples } from "../examples.js";
import { number, printable, table } from "../format.js";
import { positiveNumber, wholeNumber } from "../numbers.js";

interface Options {
  tensor?: string;
  sigma: number;
  permutations?: number;
  paired?: boolean;
  seed: number;
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
    .option("--permutations <count>", "test against so many random divisions of the rows", wholeNumber(1))
    .option("--paired", "row i of both is of the same case: the test swaps the rows of a case only")
    .option("--seed <number>", "of the random divisions", wholeNumber(0), 1)
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("align fine-tuned.safetensors random-weights.safetensors"))
    .action((a: string, b: string, options: Options) =>
      answer(options, async () => {
        const comparison = await compare(a, b, options);
        const row = (name: string, distance: Comparison) => [
          name,
          number(distance.sigma),
          number(distance.biased),
          distance.unbiased === null ? "–" : number(distance.unbiased),
          number(distance.offDiagonalMean),
          ...(distance.pValue === undefined ? [] : [number(distance.pValue)]),
        ];
        const heading = [
          ...["bandwidth", "sigma", "MMD² biased", "MMD² unbiased", "mean off-diagonal kernel"],
          ...(options.permutations === undefined ? [] : ["p"]),
        ];
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

/** MMD² at one bandwidth, with its p-value where that is asked for. */
type Comparison = KernelDistance & Partial<Pick<MmdPermutationTest, "pValue" | "permutations">>;

async function compare(pathA: string, pathB: string, options: Options) {
  const { tensor, sigma, permutations, paired = false, seed } = options;
  const { mmd2 } = await import("../../alignment/mmd.js");
  const { mmdPermutationTest } = await import("../../alignment/permutation-test.js");
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
  if (paired && permutations === undefined) {
    throw new TransferLimitsError(
      "BAD_INPUT",
      "--paired says how rows are permuted: give --permutations too",
    );
  }
  const at = async (bandwidth: number): Promise<Comparison> => ({
    sigma: bandwidth,
    ...(permutations === undefined
      ? await mmd2(a, b, { sigma: bandwidth })
      : await mmdPermutationTest(a, b, { sigma: bandwidth, permutations, paired, seed })),
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
  const { refuseDamaged } = await import("../../common/checksums.js");
  const file = await readSafetensors(path);
  await refuseDamaged(path);
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
