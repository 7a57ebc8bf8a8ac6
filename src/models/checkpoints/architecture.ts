import type { EncoderSpec } from "../../native/network-spec.js";
import { elementsOf } from "../../native/stored-tensor.js";
import type { GuessedArchitecture } from "../architectures/architecture.js";
import { architectureOf } from "../architectures/index.js";
import type { KeyMap } from "./key-map.js";
import { type Described, shapesUnderOurNames } from "./matching.js";

/** Tells the encoder of a file from the shapes of its tensors; null where it is none that is known. */
export function guessArchitecture(file: Described, keyMap: KeyMap): GuessedArchitecture | null {
  const { family } = keyMap;
  if (family === null) return null;
  const guess = architectureOf({ family }).guess(shapesUnderOurNames(file, keyMap));
  if (guess === null) return null;
  return isHeldBy(file, guess.encoder) ? guess : null;
}

/**
 * Whether a file holds about as much as an encoder has: one that names a few large axes and holds little must not make
 * anyone build a network of that size.
 */
export function isHeldBy(file: Pick<Described, "names" | "stored">, encoder: EncoderSpec): boolean {
  const held = file.names.reduce((sum, name) => sum + elementsOf(file.stored(name).shape), 0);
  return architectureOf(encoder).parameters(encoder) <= 4 * held + 1_000_000;
}
