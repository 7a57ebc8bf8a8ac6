import { describe, TransferLimitsError } from "../../common/errors.js";
import { nearest } from "../../common/validation.js";
import { elementsOf } from "../../native/stored-tensor.js";

/** Names under which training programs keep the weights, the likeliest first. Those of a teacher are the ones to use. */
const likely = [
  "state_dict",
  "model",
  "model_state_dict",
  "model_state",
  "net",
  "network",
  "network_weights",
  "weights",
  "teacher",
  "ema",
  "model_ema",
  "state_dict_ema",
  "student",
  "encoder",
  "backbone",
];
const neverWeights = /optim|scheduler|scaler|momentum|exp_avg/i;

/** Networks that one dictionary holds side by side, as the first part of each name: a student and its running average. */
const sideBySide =
  /^(?:student|teacher|model|net|network|ema|model_ema|ema_model|net_ema|ema_net|teacher_model|averaged_model|swa_model)$/;

/** Of a tensor, how large it is and where it lies: in a file, or in a storage that others may share. */
interface Placed {
  readonly shape: readonly number[];
  readonly offset: number;
  readonly path?: string;
  readonly storage?: { readonly key: string };
}

/** Tensors by name, such as those of one network. */
export interface TensorGroup<T extends Placed> {
  /** The keys that lead to it, joined by dots; empty where they are all that the file holds. */
  path: string;
  tensors: Map<string, T>;
  /** Entries that may be tensors, and depend on a class that is not run: its name, by theirs. */
  withheld: Map<string, string>;
}

/** One of the sets of tensors in a file. */
export interface WeightsState {
  /** What it is called: the keys that lead to it, joined by dots. */
  readonly state: string;
  /** How many it has. */
  readonly tensors: number;
}

/** The weights of a file, and what else could be taken for them. */
export interface ChosenState<T extends Placed> {
  chosen: TensorGroup<T>;
  how: WeightsChoice;
  /** Other sets that could be the weights: of at least half as many numbers, and not an optimiser's. */
  alternatives: WeightsState[];
  /** All other sets. */
  besides: WeightsState[];
}

/** Named by the caller, the only set that could be the weights, or the likeliest name of several. */
export type WeightsChoice = "named" | "only" | "likeliest";

/**
 * Chooses the weights among the sets of tensors of a file: the one that is named, or the likeliest.
 *
 * @throws `BAD_INPUT` where there is none of that name
 */
export function chooseState<T extends Placed>(
  groups: readonly TensorGroup<T>[],
  path: string,
  named: string | undefined,
): ChosenState<T> {
  const sized = groups.flatMap(takenApart).map((group) => ({ group, elements: sizeOf(group) }));
  const most = sized
    .filter(({ group }) => !neverWeights.test(group.path))
    .reduce((largest, { elements }) => Math.max(largest, elements), 0);
  const ranked = sized
    .map(({ group, elements }) => ({ group, rank: rankOf(group.path, elements, most) }))
    .sort((a, b) => a.rank - b.rank);
  const chosen = named === undefined ? ranked[0] : ranked.find(({ group }) => group.path === named);
  if (chosen === undefined)
    throw noSuchState(
      ranked.map(({ group }) => group.path),
      path,
      named,
    );
  const others = ranked.filter((other) => other !== chosen);
  const words = ({ group }: (typeof ranked)[number]) => ({ state: group.path, tensors: group.tensors.size });
  const alternatives = others.filter(({ rank }) => rank <= likely.length).map(words);
  const how = named !== undefined ? "named" : alternatives.length === 0 ? "only" : "likeliest";
  return { chosen: chosen.group, how, alternatives, besides: others.map(words) };
}

/** How many numbers a set has; a tensor of two names counts once. */
function sizeOf({ tensors }: TensorGroup<Placed>): number {
  const counted = new Set<string>();
  let sum = 0;
  for (const { shape, offset, path, storage } of tensors.values()) {
    const place = JSON.stringify([path ?? storage?.key, offset, shape]);
    if (!counted.has(place)) sum += elementsOf(shape);
    counted.add(place);
  }
  return sum;
}

/** How likely a set of tensors is the weights; above `likely.length` it is not. */
function rankOf(path: string, elements: number, most: number): number {
  if (neverWeights.test(path)) return likely.length + 2;
  if (elements < most / 2) return likely.length + 1;
  const name = path.slice(path.lastIndexOf(".") + 1);
  const found = name === "" ? 0 : likely.indexOf(name);
  return found < 0 ? likely.length : found;
}

const mostTold = 20;

function noSuchState(
  states: readonly string[],
  path: string,
  named: string | undefined,
): TransferLimitsError {
  const told = states.slice(0, mostTold).map((state) => describe(state));
  const more = states.length > mostTold ? ` and ${states.length - mostTold} more` : "";
  const near = nearest(named ?? "", states.slice(0, 1000));
  return new TransferLimitsError(
    "BAD_INPUT",
    `Expected a set of tensors of ${path} for weightsState (${told.join(", ")}${more}) but received ` +
      `${describe(named)}${near === null ? "" : `. Did you mean ${describe(near)}?`}`,
  );
}

/**
 * Takes networks apart that one dictionary holds side by side, `student.…` and `teacher.…`: at least two of them share
 * half of their names. What belongs to neither is left with the first dictionary.
 */
function takenApart<T extends Placed>(group: TensorGroup<T>): TensorGroup<T>[] {
  const parts = new Map<string, TensorGroup<T>>();
  const prefix = group.path === "" ? "" : `${group.path}.`;
  const placed = (name: string) => {
    const dot = name.indexOf(".");
    const first = name.slice(0, Math.max(0, dot));
    if (!sideBySide.test(first)) return null;
    const part = parts.get(first) ?? { path: prefix + first, tensors: new Map(), withheld: new Map() };
    parts.set(first, part);
    return { part, inner: name.slice(dot + 1) };
  };
  for (const [name, tensor] of group.tensors) {
    const place = placed(name);
    place?.part.tensors.set(place.inner, tensor);
  }
  const alike = [...parts.values()].filter(({ tensors }, at, all) =>
    all.some((other, index) => index !== at && shareOf(tensors, other.tensors) >= 0.5),
  );
  if (alike.length < 2) return [group];
  const isApart = (name: string) => alike.includes(placed(name)?.part as TensorGroup<T>);
  for (const [name, reason] of group.withheld) {
    const place = placed(name);
    place?.part.withheld.set(place.inner, reason);
  }
  const tensors = new Map([...group.tensors].filter(([name]) => !isApart(name)));
  const withheld = new Map([...group.withheld].filter(([name]) => !isApart(name)));
  return tensors.size === 0 ? alike : [...alike, { path: group.path, tensors, withheld }];
}

/** The share of the names of the larger that both have. */
function shareOf(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): number {
  let both = 0;
  for (const name of a.keys()) if (b.has(name)) both++;
  return both / Math.max(a.size, b.size);
}
