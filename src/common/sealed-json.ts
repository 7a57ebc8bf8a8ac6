import { writeJson } from "./atomic-file.js";
import { sha256OfText } from "./checksums.js";
import { messageOf } from "./errors.js";
import { readRegularText } from "./regular-file.js";

/*
 * JSON files that numbers rest on carry their own checksum, as the last entry: SHA-256 of the rest, written without
 * blanks. How a file is laid out may change, what it says may not.
 */

/** What a file was found to be. */
export type Sealed<T> =
  | { state: "sound"; value: T }
  | { state: "absent" }
  | { state: "damaged"; reason: string };

/** Writes an object and its checksum, atomically. */
export const writeSealedJson = (path: string, value: object): Promise<void> =>
  writeJson(path, { ...value, checksum: sha256OfText(JSON.stringify(value)) });

/** Reads what `writeSealedJson` wrote. @throws `BAD_FILE`, or the system's error, where it cannot be read at all */
export async function readSealedJson<T extends object>(path: string): Promise<Sealed<T>> {
  try {
    const found = openSeal(await readRegularText(path));
    if (found.state === "sound" && found.sealed === false)
      return { state: "damaged", reason: "it has no checksum" };
    return found as Sealed<T>;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return { state: "absent" };
    throw error;
  }
}

/** Text that was sealed, or never was; without its checksum. */
export function openSeal(
  text: string,
): { state: "sound"; value: unknown; sealed: boolean } | { state: "damaged"; reason: string } {
  let whole: unknown;
  try {
    whole = JSON.parse(text);
  } catch (error) {
    return { state: "damaged", reason: `it is not JSON: ${messageOf(error)}` };
  }
  if (typeof whole !== "object" || whole === null || !Object.hasOwn(whole, "checksum"))
    return { state: "sound", value: whole, sealed: false };
  const { checksum, ...value } = whole as { checksum: unknown };
  if (checksum !== sha256OfText(JSON.stringify(value)))
    return { state: "damaged", reason: "its checksum does not fit what it says" };
  return { state: "sound", value, sealed: true };
}
