import { isDeepStrictEqual } from "node:util";
import type { Command } from "commander";
import { z } from "zod";
import { flagMeaning } from "../../alignment/flags.js";
import type { MmdPermutationTest } from "../../alignment/permutation-test.js";
import { expected, TransferLimitsError } from "../../common/errors.js";
import type { Tensor } from "../../native/tensor.js";
import type { FeatureComparison, KernelDistance } from "../../results/distances.js";
import { answer } from "../answer.js";
import { examples } from "../examples.js";
import { number, printable, table } from "../format.js";
import { positiveNumber, wholeNumber } from "../numbers.js";

interface Options {
  tensor?: string;
  sigma: number;
  permutations?: number;
  paired?: boolean;
  unpaired?: boolean;
  seed: number;
  json?: boolean;
}

/** `align A B`: the distance between two sets of embeddings. */
export function addAlign(program: Command): void {
  program
    .command("align")
    .description("measure how far two sets of embeddings lie apart (MMD² and others), with its diagnostics")
    .argument("<a>", "embeddings [N, features], safetensors")
    .argument(
      "<b>",
      "embeddings [M, features], safetensors: the reference, whose spread gives a second bandwidth",
    )
    .option("--tensor <name>", "the tensor to read (default: `embeddings`, or the only tensor of the file)")
    .option("--sigma <number>", "bandwidth of the kernel exp(-|u - v|² / sigma²)", positiveNumber, 1)
    .option(
      "--permutations <count>",
      "test against so many random divisions of the rows, or all where they are few; rows of one patient stay together",
      wholeNumber(1),
    )
    .option(
      "--paired",
      "row i of both is of the same case: chance swaps the rows of a case only (default where both files list the same cases)",
    )
    .option(
      "--unpaired",
      "the rows of the files have nothing to do with each other, whatever cases they list",
    )
    .option("--seed <number>", "of the random divisions", wholeNumber(0), 1)
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("align fine-tuned.safetensors random-weights.safetensors"))
    .action((a: string, b: string, options: Options) =>
      answer(options, async () => {
        const comparison = await compare(a, b, options);
        return { value: comparison, text: inWords(comparison) };
      }),
    );
}

/** MMD² at one bandwidth, with its p-value where that is asked for. */
type Comparison = KernelDistance & Partial<Pick<MmdPermutationTest, "pValue" | "permutations" | "exact">>;

interface Answer {
  a: string;
  b: string;
  rows: [number, number];
  features: number;
  paired: boolean;
  /** Whether the files' lists of cases decided that the rows are paired. */
  sameCases: boolean;
  /** How many patients, or cases, the rows are of; null where the files don't say. */
  patients: number | null;
  given: Comparison;
  medianHeuristic: Comparison;
  /** Of paired rows. */
  withoutKernel?: FeatureComparison;
}

async function compare(pathA: string, pathB: string, options: Options): Promise<Answer> {
  const { tensor, sigma, permutations, seed } = options;
  const { compareFeatures } = await import("../../alignment/compare-features.js");
  const { mmd2 } = await import("../../alignment/mmd.js");
  const { mmdPermutationTest } = await import("../../alignment/permutation-test.js");
  const { medianDistance } = await import("../../native/kernels.js");
  if (options.paired && options.unpaired)
    throw new TransferLimitsError(
      "BAD_CONFIG",
      "--paired and --unpaired contradict each other: give one of them",
    );
  using fileA = await readEmbeddings(pathA, tensor);
  using fileB = await readEmbeddings(pathB, tensor);
  const { embeddings: a } = fileA;
  const { embeddings: b } = fileB;
  const [rowsA = 0, features = 0] = a.shape;
  const [rowsB = 0, featuresB = 0] = b.shape;
  if (features !== featuresB) {
    throw expected(`as many features as ${printable(pathA)} has (${features})`, printable(pathB), featuresB);
  }
  const sameCases = fileA.cases !== null && isDeepStrictEqual(fileA.cases, fileB.cases);
  const paired = options.paired ?? (sameCases && !options.unpaired);
  const patients = patientsOf(fileA, fileB, paired, options.unpaired ?? false);
  const at = async (bandwidth: number): Promise<Comparison> => ({
    sigma: bandwidth,
    ...(permutations === undefined
      ? await mmd2(a, b, { sigma: bandwidth, paired })
      : await mmdPermutationTest(a, b, {
          ...{ sigma: bandwidth, permutations, paired, seed },
          ...(patients === null ? {} : { patients }),
        })),
  });
  const median = await medianDistance(b);
  return {
    ...{ a: pathA, b: pathB, rows: [rowsA, rowsB], features, paired, sameCases },
    patients: patients === null ? null : new Set([...patients.a, ...patients.b]).size,
    given: await at(sigma),
    // Where most rows are equal the median is 0, and no bandwidth.
    medianHeuristic: await at(median > 0 ? median : sigma),
    ...(paired ? { withoutKernel: await compareFeatures(a, b) } : {}),
  };
}

/**
 * Whose each row is, by the patients that both files list, or by their cases: chance moves all rows of one together. Null
 * where the files don't say.
 */
function patientsOf(fileA: Embeddings, fileB: Embeddings, paired: boolean, unrelated: boolean) {
  // Of paired rows one file says whose they are.
  const both = (listA: string[] | null, listB: string[] | null) => {
    const [ofA, ofB] = paired ? [listA ?? listB, listB ?? listA] : [listA, listB];
    return ofA === null || ofB === null ? null : { a: ofA, b: ofB };
  };
  // One case may have another name in each file, where --paired says that it is one.
  const cases = paired ? fileA.cases : fileB.cases;
  const lists = both(fileA.patients, fileB.patients) ?? both(fileA.cases, cases);
  if (lists === null || !unrelated) return lists;
  return { a: lists.a.map((name) => `a ${name}`), b: lists.b.map((name) => `b ${name}`) };
}

function inWords(comparison: Answer): string {
  const { given, medianHeuristic, withoutKernel, paired, sameCases, patients, rows } = comparison;
  const tested = given.pValue !== undefined;
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
    ...(tested ? ["p"] : []),
  ];
  const pairing = paired
    ? `Paired: row i of both is of one case${sameCases ? ", since both files list the same cases in the same order (--unpaired takes them as unrelated)" : ""}.`
    : "Not paired: the files do not list the same cases in the same order, or --unpaired was given.";
  const divisions = given.exact
    ? `p is exact, over all ${given.permutations} divisions`
    : `p is over ${given.permutations} random divisions`;
  const units =
    patients === null || (paired ? rows[0] : rows[0] + rows[1]) === patients
      ? ""
      : ` of ${patients} patients`;
  const undefinedOr = (value: number | null) => (value === null ? "undefined" : number(value));
  return [
    `${rows.join(" and ")} rows of ${comparison.features} features`,
    pairing,
    table(heading, [row("as given", given), row("median distance in b", medianHeuristic)]),
    ...(tested ? [`${divisions}${units}.`] : []),
    ...(withoutKernel
      ? [
          `Linear CKA ${undefinedOr(withoutKernel.linearCka)}, Procrustes distance ${undefinedOr(withoutKernel.procrustes)}, ` +
            `mean shift ${undefinedOr(withoutKernel.meanShift)} standard deviations.`,
        ]
      : []),
    ...[given, medianHeuristic].flatMap(({ sigma, flags }) =>
      flags.map((flag) => `With sigma = ${number(sigma)}, ${flag}: ${flagMeaning[flag]}.`),
    ),
  ].join("\n");
}

/** What a file of embeddings holds; cases and patients are null where it doesn't list them. */
interface Embeddings extends Disposable {
  embeddings: Tensor;
  cases: string[] | null;
  patients: string[] | null;
}

async function readEmbeddings(path: string, wanted: string | undefined): Promise<Embeddings> {
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
  const list = (key: string) => namesIn(file.metadata[key], key, path, shape[0] ?? 0);
  const [cases, patients] = [list("cases"), list("patients")];
  const embeddings = await file.tensor(name);
  return { embeddings, cases, patients, [Symbol.dispose]: () => embeddings.dispose() };
}

/** A list of names, one a row, as `embed` and a study write it beside embeddings. */
function namesIn(text: string | undefined, key: string, path: string, rows: number): string[] | null {
  if (text === undefined) return null;
  const wanted = z.array(z.string()).length(rows);
  let names: unknown;
  try {
    names = JSON.parse(text);
  } catch {
    // It is refused below.
  }
  const list = wanted.safeParse(names);
  if (list.success) return list.data;
  throw new TransferLimitsError(
    "BAD_CHECKPOINT",
    `Expected ${rows} names, one a row, as JSON in the metadata "${key}" of ${printable(path)}. ` +
      "Write the file anew, or without that entry",
  );
}
