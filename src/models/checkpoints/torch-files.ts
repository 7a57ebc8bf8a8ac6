import { storedTypes } from "../../native/number-formats.js";
import { PickleFault } from "./known-values.js";
import type { OpenedFile } from "./opened-file.js";
import type { PickleStorage, PickleValue } from "./pickle-values.js";
import { PickleCutShort, type Unpickled, unpickle } from "./unpickler.js";
import { readZipDirectory, type ZipEntry } from "./zip-directory.js";

/** What a file of PyTorch holds, and where its storages lie. */
export interface TorchFile {
  value: PickleValue;
  littleEndian: boolean;
  /** Classes and functions that it names and that are not known here. */
  unknown: string[];
  /** The byte at which a storage begins. @throws `BAD_CHECKPOINT` where the file does not hold all of it */
  place(storage: PickleStorage): number;
}

/**
 * Pickles describe tensors and do not hold them: even of large models they have a few megabytes. But arrays of NumPy that
 * lie beside the tensors stand in them.
 */
const largestPickle = 2 ** 28;

/** Bytes of a storage. */
const lengthOf = ({ dtype, length }: PickleStorage, elements = length): number =>
  elements * (dtype === null ? 1 : storedTypes[dtype]);

/**
 * Reads what PyTorch writes since version 1.6: a zip file with a pickle that describes the tensors, and an entry for
 * each storage.
 *
 * @throws `BAD_CHECKPOINT`
 */
export async function readTorchZip(file: OpenedFile): Promise<TorchFile> {
  const entries = await readZipDirectory(file);
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [name] = pickles;
  if (name === undefined || pickles.length > 1) {
    throw file.unusable(
      "it is a zip file, but not one of PyTorch, which holds one folder with data.pkl. Is it an archive that contains " +
        "the checkpoint?",
    );
  }
  const folder = name.slice(0, -"data.pkl".length);
  if (entries.has(`${folder}constants.pkl`)) {
    throw file.unusable(
      "it is a TorchScript program, not a state dict. Save the model's state_dict() with torch.save, or name the file as " +
        'an encoder itself, by family "torchscript"',
    );
  }
  const pickle = stored(file, name, entries.get(name) as ZipEntry);
  if (pickle.size > largestPickle) throw file.refuse(`its data.pkl claims ${pickle.size} bytes`);
  const bytes = await file.read(pickle.offset, pickle.size);
  const { value, unknown } = inFile(file, () => unpickle(bytes));
  return {
    value,
    unknown,
    littleEndian: await isLittleEndian(file, entries.get(`${folder}byteorder`)),
    place: (storage) => {
      const entry = entries.get(`${folder}data/${storage.key}`);
      if (entry === undefined)
        throw file.refuse(`the numbers of storage ${storage.key.slice(0, 40)} are missing`);
      stored(file, storage.key, entry);
      const needed = lengthOf(storage, storage.whole);
      if (needed > entry.size)
        throw file.refuse(`storage ${storage.key} claims ${needed} bytes, but its entry has ${entry.size}`);
      return entry.offset + lengthOf(storage, storage.start);
    },
  };
}

function stored(file: OpenedFile, name: string, entry: ZipEntry): ZipEntry {
  if (!entry.compressed) return entry;
  throw file.unusable(
    `its entry ${JSON.stringify(name.slice(0, 80))} is compressed. PyTorch stores entries as they are; unpack the file ` +
      "and save the checkpoint again with torch.save",
  );
}

async function isLittleEndian(file: OpenedFile, entry: ZipEntry | undefined): Promise<boolean> {
  if (entry === undefined) return true;
  const order = entry.size <= 16 ? (await file.read(entry.offset, entry.size)).toString("latin1") : "";
  if (order !== "little" && order !== "big") throw file.refuse("its byte order is neither little nor big");
  return order === "little";
}

const magic = 0x1950a86a20f9469cfc6cn;

/**
 * Reads what PyTorch wrote before version 1.6: pickles one after the other (a magic number, a version, facts about the
 * machine, the value, the keys of the storages), and then the storages in the order of their keys, each with its length
 * before it.
 *
 * @throws `BAD_CHECKPOINT`
 */
export async function readTorchLegacy(file: OpenedFile): Promise<TorchFile> {
  const { pickles, end } = await readPickles(file);
  const [number, version, facts, described, listed] = pickles;
  if (number?.value !== magic) {
    throw file.unusable(
      "it is a pickle, but not a checkpoint of PyTorch. Save the state_dict() with torch.save",
    );
  }
  if (version?.value !== 1001) throw file.refuse("it is of a version of PyTorch's format that is not known");
  if (facts?.value instanceof Map && facts.value.get("little_endian") === false)
    throw file.unusable("it was written on a machine of the other byte order");
  const keys = listed?.value;
  if (described === undefined || !Array.isArray(keys))
    throw file.refuse("the list of its storages is missing");
  const places = new Map<string, { offset: number; size: number }>();
  const storages = new Map(described.storages.map((storage) => [storage.key, storage]));
  let at = end;
  await file.reading(async (read) => {
    for (const key of keys) {
      if (typeof key !== "string" || places.has(key))
        throw file.refuse("the list of its storages is malformed");
      const storage = storages.get(key);
      const words = key.slice(0, 40);
      if (storage === undefined)
        throw file.refuse(`storage ${words} belongs to no tensor, so that its size is not known`);
      if (at > file.size - 8) throw file.refuse(`it ends before storage ${words}; it was cut short`);
      const length = (await read(at, 8)).readBigInt64LE();
      if (length !== BigInt(storage.whole))
        throw file.refuse(`storage ${words} has ${length} elements where ${storage.whole} are described`);
      const size = lengthOf(storage, storage.whole);
      places.set(key, { offset: at + 8, size });
      at += 8 + size;
      if (at > file.size) throw file.refuse(`it ends within storage ${words}; it was cut short`);
    }
  });
  if (at !== file.size) throw file.refuse(`${file.size - at} bytes follow its last storage`);
  return {
    value: described.value,
    unknown: described.unknown,
    littleEndian: true,
    place: (storage) => {
      const place = places.get(storage.key);
      if (place === undefined)
        throw file.refuse(`the numbers of storage ${storage.key.slice(0, 40)} are missing`);
      if (lengthOf(storage, storage.whole) > place.size)
        throw file.refuse(`storage ${storage.key.slice(0, 40)} is described in two ways`);
      return place.offset + lengthOf(storage, storage.start);
    },
  };
}

/** The five pickles at the file's beginning. How long they are shows only while they are read. */
async function readPickles(file: OpenedFile): Promise<{ pickles: Unpickled[]; end: number }> {
  for (let length = Math.min(file.size, 2 ** 20); ; length = Math.min(file.size, largestPickle, 8 * length)) {
    const bytes = await file.read(0, length);
    try {
      return inFile(file, () => {
        const pickles: Unpickled[] = [];
        let end = 0;
        while (pickles.length < 5) {
          const next = unpickle(bytes, end);
          pickles.push(next);
          end = next.end;
          if (pickles.length === 1 && next.value !== magic) break;
        }
        return { pickles, end };
      });
    } catch (error) {
      const more = length < file.size && length < largestPickle;
      if (!more || !((error as Error).cause instanceof PickleCutShort)) throw error;
    }
  }
}

/** Turns what is wrong in a pickle into a refusal of its file. */
function inFile<T>(file: OpenedFile, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof PickleFault) throw file.refuse(error.message, error);
    throw error;
  }
}
