import { join } from "node:path";
import { messageOf, TransferLimitsError } from "../../common/errors.js";
import { isThere } from "../../common/set-aside.js";
import { readSafetensors } from "../../native/safetensors.js";
import type { Tensor } from "../../native/tensor.js";
import { cellFiles, studyPaths } from "../../results/paths.js";
import { type DepthFeatures, readPooledFeatures } from "../cell/pooled-features.js";

/** Errors that lie in the features themselves: numbers that are not finite, or a file that is not what it should be. */
const undefinedBy: ReadonlySet<string> = new Set(["BAD_INPUT", "BAD_CHECKPOINT", "NOT_FINITE"]);

/** Why features cannot be compared; throws what has another cause. */
export function reasonOf(error: unknown): string {
  if (error instanceof TransferLimitsError && undefinedBy.has(error.code)) return messageOf(error);
  throw error;
}

/** What `work` answers; null where the features leave it undefined. */
export async function orUndefined<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    reasonOf(error);
    return null;
  }
}

/** The features of the test set that a study's finished cells have kept. */
export class KeptFeatures {
  constructor(private readonly folder: string) {}

  /** [cases, features]. @throws `NOT_FINITE`, `BAD_CHECKPOINT` */
  async embeddings(id: string): Promise<Tensor> {
    const file = await readSafetensors(join(this.cell(id), cellFiles.embeddings));
    return finite(await file.tensor("embeddings"), `the embeddings of ${id}`);
  }

  /** The ids of the test cases, in the order of the rows; of two cells the same where they were tested on the same. */
  async cases(id: string): Promise<string | undefined> {
    const { metadata } = await readSafetensors(join(this.cell(id), cellFiles.embeddings));
    return metadata.cases;
  }

  /** Those along the encoder; none where the cell was computed by a version that did not keep them. */
  async depths(id: string): Promise<DepthFeatures[]> {
    if (!(await isThere(join(this.cell(id), cellFiles.depths)))) return [];
    const found = await readPooledFeatures(this.cell(id));
    return found.map((one) => ({
      ...one,
      read: async () => finite(await one.read(), `the features of ${id} at ${one.depth}`),
    }));
  }

  private cell(id: string): string {
    return studyPaths(this.folder).cell(id);
  }
}

async function finite(tensor: Tensor, what: string): Promise<Tensor> {
  const wrong = await tensor.countNotFinite();
  if (wrong === 0) return tensor;
  tensor.dispose();
  throw new TransferLimitsError(
    "NOT_FINITE",
    `Of the numbers in ${what}, ${wrong} are NaN or infinite: look at the network that made them`,
  );
}
