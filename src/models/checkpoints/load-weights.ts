import { requireBoolean, requireOptions, requireText } from "../../common/arguments.js";
import { refuseDamaged } from "../../common/checksums.js";
import { describe, expected, TransferLimitsError } from "../../common/errors.js";
import { suggestion } from "../../common/validation.js";
import type { ParameterInfo, PlacedNetwork } from "../../native/placed-network.js";
import { countNotFinite } from "../../native/stored-tensor.js";
import { ofEncoder } from "../encoder-names.js";
import { type CheckpointFile, openCheckpoint } from "./checkpoint-file.js";
import type { KeyMap } from "./key-map.js";
import { keyMaps } from "./key-maps/index.js";
import { load } from "./layouts.js";
import { describeMatch, type LoadReport, networkWords } from "./load-report.js";
import { detectKeyMap, type Fit, type Match, matchKeys, parametersNamed } from "./matching.js";
import { notLookedAt, orientationOf, permutedShapes } from "./orientation.js";
import { probeFeatures, relativeChange } from "./probe.js";
import { coverageRefusal, matchRefusals, otherEncoderRefusals, withheldRefusals } from "./refusals.js";

/** What of a file of weights goes into a network, and how much of it there must be. */
export interface LoadOptions {
  /** The key map of the file's source by name, such as `"profound-masked-autoencoder"`. Default: told from its names. */
  keyMap?: string | undefined;
  /**
   * Which of several sets of weights in the file is meant, such as `"model_ema"` for their running average; `inspect`
   * names them. Default: the likeliest; the report says which, and which others there are.
   */
  weightsState?: string | undefined;
  /** `encoder`: whatever else is in the file is left alone, and so is the network's head. Default: all of the network. */
  scope?: "network" | "encoder";
  /** The least share of the encoder's parameters, and of its tensors, that the file must hold. Default: 0.95. */
  leastCoverage?: number;
  /** The network has never been trained or loaded: its embedding before is that of random weights. */
  fresh?: boolean;
}

/** A file of weights that was refused, with the report of what it would have given. */
export class WeightsRefused extends TransferLimitsError {
  constructor(readonly report: LoadReport) {
    super("BAD_CHECKPOINT", report.refusal as string);
  }
}

/** Below this the embedding of the probe volume has hardly changed. */
const leastChange = 1e-3;

/**
 * Loads a file of weights into a network: finds what it is, whose names it has, and where each tensor belongs, and tells
 * what happened to every one. Tensors are read twice, one by one: to check that all are sound, and to take them over;
 * never is more than one of them in memory.
 *
 * @throws `WeightsRefused`, a `BAD_CHECKPOINT` with the report, when the file covers too little of the encoder, holds a
 *   tensor of another shape or a number that is not finite, or no longer embeds the probe volume as its writer recorded;
 *   but for the last, the network is then as it was. `BAD_CHECKPOINT` when the file cannot be read, `BAD_INPUT` on an
 *   unknown key map
 */
export async function loadWeights(
  network: PlacedNetwork,
  path: string,
  options: LoadOptions = {},
): Promise<LoadReport> {
  requireOptions(options);
  requireBoolean(options.fresh ?? false, "fresh");
  if (options.weightsState !== undefined && typeof options.weightsState !== "string")
    throw expected("the name of a set of weights in the file", "weightsState", options.weightsState);
  const file = await openCheckpoint(path, options);
  const { match, described, unfit } = compare(network, file, options);
  const { fresh = false } = options;
  // The file is read for its hash while LibTorch takes the tensors over.
  const [sha256, outcome] = await Promise.all([
    file.sha256(),
    unfit.length > 0
      ? { embedding: null, orientation: null, refusals: unfit }
      : takeOver(network, file, match, fresh),
  ]);
  await file.unchanged();
  await refuseDamaged(path, sha256);
  const { embedding, orientation, refusals } = outcome;
  const report: LoadReport = {
    format: "transfer-limits/load-report@1",
    file: {
      path,
      format: file.format,
      bytes: file.bytes,
      sha256,
      state: file.state,
      chosen: file.chosen.how,
      alternatives: [...file.chosen.alternatives],
      prefix: match.prefix,
      wrappers: match.wrappers,
      unknown: [...file.unknown],
      metadata: file.metadata,
    },
    network: networkWords(network.spec),
    ...described,
    embedding,
    orientation: orientation ?? permutedShapes(match) ?? notLookedAt,
    warnings: [],
    refusal: refusals.length > 0 ? refusals.join(" ") : null,
  };
  if (embedding !== null || refusals.length === 0) report.warnings = warningsOf(report);
  if (report.refusal !== null) throw new WeightsRefused(report);
  return report;
}

/**
 * Why names and shapes of a file do not fit a network, in the words that `loadWeights` refuses it with; empty where they
 * do. No tensor is loaded.
 *
 * @throws as `loadWeights` where the file cannot be read, or an option is wrong
 */
export async function misfitsOf(
  network: PlacedNetwork,
  path: string,
  options: LoadOptions = {},
): Promise<string[]> {
  return compare(network, await openCheckpoint(path, options), options).unfit;
}

/** What a file is for a network by its names and shapes, and why it does not do. */
function compare(network: PlacedNetwork, file: CheckpointFile, options: LoadOptions) {
  const { leastCoverage = 0.95, scope = "network" } = options;
  if (typeof leastCoverage !== "number" || !(leastCoverage >= 0 && leastCoverage <= 1))
    throw expected("a share in [0, 1]", "leastCoverage", leastCoverage);
  if (scope !== "network" && scope !== "encoder") throw expected('"network" or "encoder"', "scope", scope);
  const all = network.parameters;
  const encoder = all.filter(ofEncoder(network));
  const parameters = scope === "encoder" ? encoder : all;
  const { keyMap, chosen } = chooseKeyMap(file, network, encoder, options.keyMap);
  const match = matchKeys(file, parameters, keyMap);
  const described = {
    keyMap: { name: keyMap.name, title: keyMap.title, chosen },
    ...describeMatch(match, file, { parameters, encoder }),
  };
  const unfit = [
    ...matchRefusals(match, file.path),
    ...otherEncoderRefusals(match, file.path, network),
    ...withheldRefusals(parametersNamed([...file.withheld.keys()], match.missing, keyMap), file, file.path),
    ...coverageRefusal(described, file, network, leastCoverage),
  ];
  return { match, described, unfit };
}

/** What became of the network: nothing, where there are refusals before it was touched. */
interface Outcome {
  embedding: LoadReport["embedding"];
  /** Null where the network was not touched. */
  orientation: LoadReport["orientation"] | null;
  refusals: string[];
}

/** Checks that all tensors are sound, gives them to the network, and looks at how it embeds the probe volume then. */
async function takeOver(
  network: PlacedNetwork,
  file: CheckpointFile,
  match: Match,
  fresh: boolean,
): Promise<Outcome> {
  const unsound = await notFinite(match, file.path);
  if (unsound.length > 0) return { embedding: null, orientation: null, refusals: unsound };
  await file.unchanged();

  const before = await probeFeatures(network);
  for (const { parameter, reading } of match.fits) {
    using tensor = await load(reading);
    await network.assign({ [parameter.name]: tensor });
  }
  await file.unchanged();
  const after = await probeFeatures(network);
  if (before === null || after === null) return { embedding: null, orientation: null, refusals: [] };
  const embedding: Outcome["embedding"] = {
    change: relativeChange(before, after),
    before: fresh ? "random weights" : "the weights before",
  };
  const orientation = await orientationOf(network, file, match, after);
  const refused = orientation.verdict === "permuted" || orientation.verdict === "not as recorded";
  const refusals = refused ? [`${file.path} fits the network but is refused. ${orientation.words}`] : [];
  return { embedding, orientation, refusals };
}

function chooseKeyMap(
  file: CheckpointFile,
  network: PlacedNetwork,
  encoder: readonly ParameterInfo[],
  named: string | undefined,
): { keyMap: KeyMap; chosen: LoadReport["keyMap"]["chosen"] } {
  const { spec } = network;
  const family = "encoder" in spec ? spec.encoder.family : null;
  if (named !== undefined) {
    requireText(named, "keyMap", "the name of a key map");
    const keyMap = keyMaps.find(({ name }) => name === named);
    const names = keyMaps.filter((map) => map.family === family).map(({ name }) => name);
    if (keyMap === undefined)
      throw new TransferLimitsError(
        "BAD_INPUT",
        `Expected a key map but received ${describe(named)}${suggestion(named, names)}`,
      );
    if (keyMap.family !== family) {
      throw expected(
        `a key map for a network of the family ${family ?? networkWords(spec)} (${names.join(", ") || "there is none"})`,
        "keyMap",
        named,
      );
    }
    return { keyMap, chosen: "named" };
  }
  if (family === null) return { keyMap: sameNames, chosen: "nearest" };
  const { keyMap, bears } = detectKeyMap(
    file,
    encoder,
    keyMaps.filter((map) => map.family === family),
  );
  return { keyMap, chosen: bears ? "detected" : "nearest" };
}

/** For networks that are no foundation models: only what this package wrote is loaded into them. */
const sameNames: KeyMap = {
  name: "same-names",
  title: "the network's own names",
  family: null,
  signs: [],
  rules: [],
};

/** Refuses numbers that are NaN or infinite, naming the tensors. */
async function notFinite({ fits }: Match, path: string): Promise<string[]> {
  const bad: string[] = [];
  for (const fit of fits) {
    const count = await notFiniteIn(fit);
    if (count > 0) bad.push(`${fit.from} (${count})`);
  }
  if (bad.length === 0) return [];
  const more = bad.length > 3 ? ` and ${bad.length - 3} more` : "";
  return [
    `${path} holds weights that are not finite: ${bad.slice(0, 3).join(", ")}${more}. Did training diverge, or was the file damaged?`,
  ];
}

async function notFiniteIn({ reading }: Fit): Promise<number> {
  if (reading.inflate === null) return countNotFinite(reading.stored);
  using tensor = await load(reading);
  return tensor.countNotFinite();
}

const mostNamed = 5;

/** That other weights could have been taken, and how. */
function choiceWarning({ state, chosen, alternatives }: LoadReport["file"]): string[] {
  if (chosen !== "likeliest") return [];
  const named = alternatives
    .slice(0, mostNamed)
    .map(({ state: other, tensors }) => `${other || "the file's own dictionary"} (${tensors} tensors)`);
  const more = alternatives.length > mostNamed ? ` and ${alternatives.length - mostNamed} more` : "";
  return [
    `The file holds several sets of weights: ${state || "the file's own dictionary"} was taken, by its name. There ` +
      `${alternatives.length === 1 ? "is" : "are"} also ${named.join(", ")}${more}. weightsState names the one that is meant.`,
  ];
}

function warningsOf({
  file,
  loaded,
  embedding,
  missing,
  orientation,
  keyMap,
  coverage,
}: LoadReport): string[] {
  const warnings = choiceWarning(file);
  const resized = loaded.find(({ change }) => change?.startsWith("position embedding"));
  if (resized) warnings.push(`${resized.name}: ${resized.change}, of ${resized.from}.`);
  if (embedding !== null && !(embedding.change >= leastChange)) {
    warnings.push(
      `The embedding of the probe volume hardly changed (by ${embedding.change.toExponential(1)} of its length) against ` +
        `${embedding.before}: did the weights load?`,
    );
  }
  const surprising = missing.filter(({ expected: isExpected }) => !isExpected);
  if (coverage.encoder < 1 && surprising.length > 0) {
    warnings.push(
      `${surprising.length} ${surprising.length === 1 ? "parameter keeps its" : "parameters keep their"} ` +
        `values, such as ${surprising[0]?.name}.`,
    );
  }
  if (keyMap.chosen === "nearest" && keyMap.name !== sameNames.name)
    warnings.push(`The file bears the signs of no known source; ${keyMap.name} came nearest.`);
  if (orientation.verdict === "suspect") warnings.push(orientation.words);
  return warnings;
}

/**
 * Loads the encoder of a network from a file of weights in any format and under any key map that is known; anything
 * else in the file is left alone, and so is the network's head.
 *
 * @throws `BAD_CHECKPOINT` when the file holds less than 95 % of the encoder's parameters, or is not sound
 */
export const loadEncoder = (
  network: PlacedNetwork,
  path: string,
  options: Pick<LoadOptions, "keyMap" | "weightsState" | "fresh"> = {},
): Promise<LoadReport> => loadWeights(network, path, { ...options, scope: "encoder" });

/**
 * Why a file's names and shapes are not those of a network's encoder, in words; empty where they are. No tensor is loaded.
 *
 * @throws `BAD_CHECKPOINT` where the file cannot be read
 */
export const weightsFit = (
  network: PlacedNetwork,
  path: string,
  options: Pick<LoadOptions, "keyMap" | "weightsState"> = {},
): Promise<string[]> => misfitsOf(network, path, { ...options, scope: "encoder" });
