import type { StoredType } from "../../native/number-formats.js";
import type { ParameterInfo } from "../../native/placed-network.js";
import { elementsOf, type StoredTensor } from "../../native/stored-tensor.js";
import type { CheckpointFile } from "./checkpoint-file.js";
import { again, type KeyMap, type Rule } from "./key-map.js";
import { type Reading, readingOf, sameShape } from "./layouts.js";
import { unwrap } from "./wrappers.js";

/** What of a checkpoint key maps look at: also a mere list of names and shapes will do. */
export type Described = Pick<CheckpointFile, "names" | "stored">;

/** A tensor of the file that becomes a parameter. */
export interface Fit {
  parameter: ParameterInfo;
  from: string;
  reading: Reading;
}

/** A tensor of the file that stands for a parameter and cannot become it. */
export interface Misfit {
  parameter: ParameterInfo;
  from: string;
  shape: number[];
  dtype: StoredType;
  /** It has the parameter's axes in another order. */
  permuted: boolean;
}

/** What a key map makes of a file for a network. */
export interface Match {
  keyMap: KeyMap;
  /** Wrappers of training programs that most of the file's names begin with, such as `module.`. */
  prefix: string;
  /** All wrappers that the names are taken without, wherever they stand. */
  wrappers: string[];
  fits: Fit[];
  misfits: Misfit[];
  /** Parameters and buffers that no tensor of the file stands for. */
  missing: ParameterInfo[];
  /** Tensors of the file that stand for no parameter, and what we would call them. */
  unexpected: { name: string; ours: string }[];
  /** Parameters that several tensors of the file stand for. */
  ambiguous: { parameter: string; from: string[] }[];
}

/** Whether a file bears every sign of a source. */
export const bearsSigns = (file: Described, keyMap: KeyMap): boolean => signsBorne(file, keyMap) === 1;

/** The share of a source's signs that a file bears. */
function signsBorne(file: Described, { signs }: KeyMap): number {
  const { inner } = unwrap(file.names);
  const borne = signs.filter(({ name: pattern, axes, ends = [] }) => {
    const sign = new RegExp(pattern);
    return file.names.some((name) => {
      if (!sign.test(inner.get(name) as string)) return false;
      const { shape } = file.stored(name);
      return (
        (axes === undefined || shape.length === axes) &&
        ends.every((extent, at) => shape[shape.length - ends.length + at] === extent)
      );
    });
  });
  return borne.length / signs.length;
}

/** Finds for each tensor of a file the parameter that it stands for, and how it becomes that. */
export function matchKeys(file: Described, parameters: readonly ParameterInfo[], keyMap: KeyMap): Match {
  const own = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const { prefix, wrappers, inner } = unwrap(file.names);
  const rules = keyMap.rules.map((rule) => ({ ...rule, pattern: new RegExp(rule.from) }));
  const match: Match = {
    keyMap,
    prefix,
    wrappers,
    fits: [],
    misfits: [],
    missing: [],
    unexpected: [],
    ambiguous: [],
  };
  const sources = new Map<string, string[]>();
  for (const name of file.names) {
    const { ours, rule } = renamed(inner.get(name) as string, rules);
    const parameter = candidatesOf(ours).flatMap((candidate) => own.get(candidate) ?? [])[0];
    if (parameter === undefined) {
      match.unexpected.push({ name, ours });
      continue;
    }
    const known = sources.get(parameter.name);
    if (known) {
      // A network that is held in two places has each of its tensors under two names.
      if (isSameTensor(file.stored(name), file.stored(known[0] as string)))
        match.unexpected.push({ name, ours: `${again}${ours}` });
      else known.push(name);
      continue;
    }
    sources.set(parameter.name, [name]);
    const stored = file.stored(name);
    const reading = kindsAgree(stored.dtype, parameter)
      ? readingOf(stored, parameter.shape, rule?.layout)
      : null;
    if (reading) match.fits.push({ parameter, from: name, reading });
    else match.misfits.push(misfitOf(name, stored, parameter));
  }
  match.missing = parameters.filter(({ name }) => !sources.has(name));
  match.ambiguous = [...sources]
    .filter(([, from]) => from.length > 1)
    .map(([parameter, from]) => ({ parameter, from }));
  return match;
}

/** Whether two names stand for the same bytes, read in the same way. */
const isSameTensor = (a: StoredTensor, b: StoredTensor): boolean =>
  a.path === b.path &&
  a.offset === b.offset &&
  a.dtype === b.dtype &&
  sameShape(a.shape, b.shape) &&
  sameShape(a.strides, b.strides);

/** The parameters that names stand for, each under its name in the file. */
export function parametersNamed(
  names: readonly string[],
  parameters: readonly ParameterInfo[],
  keyMap: KeyMap,
): Map<string, ParameterInfo> {
  const own = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const { inner } = unwrap(names);
  const rules = keyMap.rules.map((rule) => ({ ...rule, pattern: new RegExp(rule.from) }));
  const found = new Map<string, ParameterInfo>();
  for (const name of names) {
    const { ours } = renamed(inner.get(name) as string, rules);
    const parameter = candidatesOf(ours).flatMap((candidate) => own.get(candidate) ?? [])[0];
    if (parameter !== undefined) found.set(name, parameter);
  }
  return found;
}

/** The shapes of a file's tensors under our names, where a name may stand for several the first of them. */
export function shapesUnderOurNames(file: Described, keyMap: KeyMap): Map<string, readonly number[]> {
  const { inner } = unwrap(file.names);
  const rules = keyMap.rules.map((rule) => ({ ...rule, pattern: new RegExp(rule.from) }));
  const shapes = new Map<string, readonly number[]>();
  for (const name of file.names) {
    const { ours } = renamed(inner.get(name) as string, rules);
    if (!shapes.has(ours)) shapes.set(ours, file.stored(name).shape);
  }
  return shapes;
}

function renamed(name: string, rules: readonly (Rule & { pattern: RegExp })[]) {
  const rule = rules.find(({ pattern }) => pattern.test(name));
  return { ours: rule === undefined ? name : name.replace(rule.pattern, rule.to), rule };
}

/** A ConvNeXt alone has names without the `encoder.` that they have below a head. */
const candidatesOf = (name: string): string[] =>
  name.startsWith("encoder.") ? [name, name.slice("encoder.".length)] : [name, `encoder.${name}`];

/** Weights are numbers with a fraction; integers in their place are codes of a quantised network. */
const kindsAgree = (stored: StoredType, { dtype, buffer }: ParameterInfo): boolean =>
  buffer || /^(?:bfloat|float)/.test(stored) === dtype.startsWith("float");

function misfitOf(
  from: string,
  { shape, dtype }: { shape: readonly number[]; dtype: StoredType },
  parameter: ParameterInfo,
): Misfit {
  const sorted = (extents: readonly number[]) => [...extents].sort((a, b) => a - b);
  const permuted = !sameShape(shape, parameter.shape) && sameShape(sorted(shape), sorted(parameter.shape));
  return { parameter, from, shape: [...shape], dtype, permuted };
}

/**
 * The share of the tensors of these parameters, buffers not counted, that a match covers; those that such files never
 * hold are left out. Half of a network's tensors, its biases and norms, hold a few percent of its numbers.
 */
export function tensorCoverageOf(match: Match, parameters: readonly ParameterInfo[]): number {
  const fits = new Set(match.fits.map(({ parameter }) => parameter.name));
  const wanted = parameters.filter(
    ({ name, buffer }) => !buffer && (fits.has(name) || !isAbsentBy(match.keyMap, name)),
  );
  return wanted.length === 0 ? 1 : wanted.filter(({ name }) => fits.has(name)).length / wanted.length;
}

/** Whether files of a source never hold a parameter. */
export const isAbsentBy = ({ absent = [] }: KeyMap, name: string): boolean =>
  absent.some((pattern) => candidatesOf(name).some((candidate) => new RegExp(pattern).test(candidate)));

/** The share of these parameters, buffers not counted, that a match covers. */
export function coverageOf(match: Match, parameters: readonly ParameterInfo[]): number {
  const weights = new Map(
    parameters.filter(({ buffer }) => !buffer).map(({ name, shape }) => [name, elementsOf(shape)]),
  );
  const total = [...weights.values()].reduce((sum, count) => sum + count, 0);
  const covered = match.fits.reduce((sum, { parameter }) => sum + (weights.get(parameter.name) ?? 0), 0);
  return total === 0 ? 1 : covered / total;
}

/**
 * The key map for a file: of those whose signs the file bears, the one that covers most of the encoder, and the first of
 * equals; where it bears those of none, the nearest: by coverage, then by signs, and the most general of equals.
 */
export function detectKeyMap(
  file: Described,
  encoder: readonly ParameterInfo[],
  maps: readonly KeyMap[],
): { keyMap: KeyMap; bears: boolean } {
  const rated = maps.map((keyMap) => ({
    keyMap,
    signs: signsBorne(file, keyMap),
    coverage: coverageOf(matchKeys(file, encoder, keyMap), encoder),
  }));
  const bearing = rated.filter(({ signs }) => signs === 1);
  if (bearing.length > 0) {
    const best = bearing.reduce((first, other) => (other.coverage > first.coverage ? other : first));
    return { keyMap: best.keyMap, bears: true };
  }
  const nearest = rated.reduce((last, other) =>
    other.coverage > last.coverage || (other.coverage === last.coverage && other.signs >= last.signs)
      ? other
      : last,
  );
  return { keyMap: nearest.keyMap, bears: false };
}
