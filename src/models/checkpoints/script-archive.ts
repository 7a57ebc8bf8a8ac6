import { inflateRawSync } from "node:zlib";
import { sha256OfFile } from "../../common/checksums.js";
import { productOf } from "../../common/numbers.js";
import type { StoredType } from "../../native/number-formats.js";
import { PickleFault } from "./known-values.js";
import { OpenedFile } from "./opened-file.js";
import { PickleObject, PickleTensor, PickleTuple, type PickleValue } from "./pickle-values.js";
import { unpickle } from "./unpickler.js";
import { readZipDirectory, type ZipEntry } from "./zip-directory.js";

/** What a TorchScript file is, told without running anything of it: a plain object, ready for JSON. */
export interface ScriptInspection {
  path: string;
  kind: "torchscript";
  bytes: number;
  /** What `encoder.sha256` of a study names. */
  sha256: string;
  /** The class of the module, as PyTorch calls it. */
  module: string;
  /** `traced`: it may take no other sizes than those of its example. */
  made: "traced" | "scripted";
  /** The shapes that it was traced with; null where the file does not say. */
  example: number[][] | null;
  /** The methods of the module, as their code declares them. */
  methods: string[];
  /** All elements of its parameters. */
  parameters: number;
  /** `buffer`: it is not learnt. */
  tensors: { name: string; dtype: StoredType; shape: number[]; buffer: boolean }[];
}

/** Descriptions and code, of the largest models a few megabytes. */
const largestEntry = 2 ** 26;

/** More modules within modules than any has. */
const deepest = 64;

type Entries = ReadonlyMap<string, ZipEntry>;

/** The folder of the archive that a TorchScript file is; null for any other file. */
function folderOf(entries: Entries): string | null {
  const name = [...entries.keys()].find((entry) => /^[^/]+\/constants\.pkl$/.test(entry));
  const folder = name?.slice(0, -"constants.pkl".length) ?? null;
  return folder !== null && entries.has(`${folder}data.pkl`) ? folder : null;
}

/**
 * Reads what a TorchScript file says of itself: its modules, their tensors and methods. Its code is read as text, and
 * nothing is run.
 *
 * @returns null for a file that is none
 * @throws `BAD_CHECKPOINT` for one that is damaged
 */
export async function inspectScript(path: string): Promise<ScriptInspection | null> {
  const file = await OpenedFile.open(path);
  if (file.size < 4 || (await file.read(0, 4)).toString("latin1") !== "PK\x03\x04") return null;
  const entries = await readZipDirectory(file);
  const folder = folderOf(entries);
  if (folder === null) return null;
  const archive = new Archive(file, entries, folder);
  const root = await archive.value("data.pkl");
  if (!(root instanceof PickleObject)) throw file.refuse("its data.pkl describes no module");
  const tensors = await tensorsOf(root, archive);
  const example = entries.has(`${folder}traced_inputs.pkl`)
    ? shapesOf(await archive.value("traced_inputs.pkl"))
    : null;
  return {
    path,
    kind: "torchscript",
    bytes: file.size,
    sha256: await sha256OfFile(path),
    module: nameOf(root),
    made: example === null || example.length === 0 ? "scripted" : "traced",
    example: example === null || example.length === 0 ? null : example,
    methods: methodsIn(await archive.code(root)),
    parameters: tensors.filter(({ buffer }) => !buffer).reduce((sum, { shape }) => sum + productOf(shape), 0),
    tensors,
  };
}

/** What is read of the archive, each entry once. */
class Archive {
  readonly #classes = new Map<string, Map<string, string>>();

  constructor(
    readonly file: OpenedFile,
    private readonly entries: Entries,
    private readonly folder: string,
  ) {}

  async value(name: string): Promise<PickleValue> {
    const bytes = await this.#bytes(name);
    if (bytes === null) throw this.file.refuse(`its ${name} is missing or too large`);
    try {
      return unpickle(bytes).value;
    } catch (error) {
      if (error instanceof PickleFault) throw this.file.refuse(error.message, error);
      throw error;
    }
  }

  /** The code of a module's class; empty where the file does not have it. */
  async code(module: PickleObject): Promise<string> {
    const parts = module.words.split(".");
    const name = parts.pop() as string;
    const path = `code/${parts.join("/")}.py`;
    const classes = this.#classes.get(path) ?? classesIn((await this.#bytes(path))?.toString("utf8") ?? "");
    this.#classes.set(path, classes);
    return classes.get(name) ?? "";
  }

  async #bytes(name: string): Promise<Buffer | null> {
    const entry = this.entries.get(`${this.folder}${name}`);
    if (entry === undefined || Math.max(entry.size, entry.inFile) > largestEntry) return null;
    const bytes = await this.file.read(entry.offset, entry.inFile);
    if (!entry.compressed) return bytes;
    try {
      return inflateRawSync(bytes, { maxOutputLength: largestEntry });
    } catch (error) {
      throw this.file.refuse(`its ${name.slice(0, 80)} cannot be decompressed`, error);
    }
  }
}

/** The body of each class in a file of code, by its name. */
function classesIn(code: string): Map<string, string> {
  const classes = new Map<string, string>();
  for (const part of `\n${code}`.split(/\n(?=\S)/)) {
    const name = /^class (\w+)\(/.exec(part)?.[1];
    if (name !== undefined) classes.set(name, part);
  }
  return classes;
}

/** Without the names that PyTorch adds where two classes have one. */
const nameOf = ({ words }: PickleObject): string =>
  words
    .split(".")
    .filter((part) => part !== "__torch__" && !part.startsWith("___torch_mangle_"))
    .join(".");

const methodsIn = (code: string): string[] =>
  [...code.matchAll(/^ {2}def (\w+)\(([^)]*)\)(?: -> ([^\n]+))?:$/gm)].map(
    ([, name, given = "", back = ""]) => {
      const inputs = given
        .split(",")
        .slice(1)
        .map((one) => one.trim().replace(/\s+/g, " "));
      return `${name}(${inputs.join(", ")})${back === "" ? "" : ` -> ${back}`}`;
    },
  );

/** Every tensor of a module and of those in it, under its name; what the code does not call a parameter is a buffer. */
async function tensorsOf(root: PickleObject, archive: Archive): Promise<ScriptInspection["tensors"]> {
  const found: ScriptInspection["tensors"] = [];
  const seen = new Set<PickleValue>();
  const visit = async (module: PickleObject, prefix: string, depth: number): Promise<void> => {
    if (depth > deepest) throw archive.file.refuse(`its modules lie more than ${deepest} deep in each other`);
    const listed = /__parameters__ = \[([^\]]*)\]/.exec(await archive.code(module))?.[1] ?? "";
    const parameters = new Set([...listed.matchAll(/"([^"]+)"/g)].map(([, name]) => name));
    for (const [name, value] of module.attributes.flatMap((attributes) => [...attributes])) {
      if (typeof name !== "string" || seen.has(value)) continue;
      if (value instanceof PickleTensor) {
        seen.add(value);
        found.push({
          name: `${prefix}${name}`,
          dtype: value.dtype,
          shape: [...value.shape],
          buffer: !parameters.has(name),
        });
      } else if (value instanceof PickleObject) {
        seen.add(value);
        await visit(value, `${prefix}${name}.`, depth + 1);
      }
    }
  };
  await visit(root, "", 0);
  return found;
}

/** The shapes of the tensors in a value, in their order. */
function shapesOf(value: PickleValue, depth = 0): number[][] {
  if (value instanceof PickleTensor) return [[...value.shape]];
  if (depth > 4) return [];
  // What says of which type a list is.
  if (value instanceof PickleObject) return shapesOf(value.given[0] ?? null, depth + 1);
  const inner =
    value instanceof Map ? [...value.values()] : value instanceof PickleTuple ? value.items : value;
  return Array.isArray(inner) ? inner.flatMap((one) => shapesOf(one as PickleValue, depth + 1)) : [];
}
