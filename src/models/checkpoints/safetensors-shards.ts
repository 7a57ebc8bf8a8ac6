import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { messageOf, TransferLimitsError } from "../../common/errors.js";
import { countKeys } from "../../native/json-keys.js";
import { readSafetensors, type SafetensorsFile } from "../../native/safetensors.js";
import type { StoredTensor } from "../../native/stored-tensor.js";
import { OpenedFile } from "./opened-file.js";
import type { Plain } from "./state-dict.js";

/** Three times as much as the largest models that are published have. */
const largestIndex = 25_000_000;
const mostNames = 250_000;
const mostShards = 10_000;

const indexSchema = z.object({
  metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).default({}),
  weight_map: z.record(z.string(), z.string()),
});

/**
 * Reads the index of safetensors that are spread over several files, and the header of each. The files lie beside the
 * index: a name that leads elsewhere is refused.
 *
 * @throws `BAD_CHECKPOINT`
 */
export async function readSafetensorsShards(index: OpenedFile): Promise<{
  tensors: Map<string, StoredTensor>;
  /** The index and the shards, in the order of their names. */
  files: (OpenedFile & { name: string })[];
  metadata: { [key: string]: Plain };
}> {
  const { weight_map: places, metadata } = await readIndex(index);
  const names = [...new Set(Object.values(places))].sort();
  if (names.length === 0) throw index.refuse("its index names no tensor");
  if (names.length > mostShards) throw index.refuse(`its index names ${names.length} files`);
  const shards = new Map<string, { file: SafetensorsFile; known: Set<string> }>();
  const files = [Object.assign(index, { name: basename(index.path) })];
  for (const name of names) {
    if (!/^[^/\\\0]+\.safetensors$/.test(name) || name.startsWith("."))
      throw index.refuse(
        `its index leads to ${JSON.stringify(name.slice(0, 80))}, not to a safetensors file beside it`,
      );
    const path = join(dirname(index.path), name);
    files.push(Object.assign(await openShard(index, path), { name }));
    const file = await readSafetensors(path);
    shards.set(name, { file, known: new Set(file.names) });
  }
  const tensors = new Map<string, StoredTensor>();
  for (const [tensor, name] of Object.entries(places)) {
    const { file, known } = shards.get(name) as { file: SafetensorsFile; known: Set<string> };
    if (!known.has(tensor))
      throw index.refuse(`${name} has no tensor ${JSON.stringify(tensor.slice(0, 80))}`);
    tensors.set(tensor, file.stored(tensor));
  }
  return { tensors, files, metadata };
}

async function readIndex(index: OpenedFile): Promise<z.infer<typeof indexSchema>> {
  if (index.size > largestIndex) throw index.refuse(`it begins as JSON, but has ${index.size} bytes`);
  const bytes = await index.read(0, index.size);
  const { inner } = countKeys(bytes);
  if (inner > mostNames) throw index.refuse(`its index has ${inner} entries, more than ${mostNames}`);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw index.refuse(`it begins as JSON, but is not: ${messageOf(error)}`, error);
  }
  const parsed = indexSchema.safeParse(value);
  if (!parsed.success)
    throw index.refuse("it is JSON, but not the index of sharded safetensors, which has a weight_map");
  return parsed.data;
}

async function openShard(index: OpenedFile, path: string): Promise<OpenedFile> {
  try {
    return await OpenedFile.open(path);
  } catch (error) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `${index.path} names a file that is not there: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
