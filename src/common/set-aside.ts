import { lstat, mkdir, rename } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { messageOf, TransferLimitsError } from "./errors.js";

/** A file, or a folder, that was found damaged, and where it lies now. */
export interface Damage {
  file: string;
  reason: string;
  keptAs: string;
}

export const wordsOfDamage = ({ file, reason, keptAs }: Damage): string =>
  `${file} is damaged (${reason}): it was moved to ${keptAs}, and is computed again`;

/** Told of what is found damaged, once it is set aside. */
export type OnDamage = (damage: Damage) => void;

/**
 * Moves what is damaged into `set-aside` within `root`, under the name that it had there, with a number where that is
 * taken. Nothing is deleted: whoever wants to know what happened can look.
 *
 * @throws `BAD_FILE` where it cannot be moved
 */
export async function setAside(root: string, path: string, reason: string): Promise<Damage> {
  const wanted = join(root, "set-aside", relative(root, path));
  try {
    let keptAs = wanted;
    for (let number = 2; await isThere(keptAs); number++) keptAs = `${wanted}-${number}`;
    await mkdir(dirname(keptAs), { recursive: true });
    await rename(path, keptAs);
    return { file: path, reason, keptAs };
  } catch (error) {
    throw new TransferLimitsError(
      "BAD_FILE",
      `${path} is damaged (${reason}), and cannot be moved to ${wanted}: ${messageOf(error)}. Move it away, and run again`,
      { cause: error },
    );
  }
}

/** Whether anything has this name, a link without an end included. */
export const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );
