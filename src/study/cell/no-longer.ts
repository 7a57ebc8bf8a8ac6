import { mkdir, rename, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { namesIn } from "../../common/names-in.js";
import { isThere } from "../../common/set-aside.js";
import type { Basis } from "../../results/cell.js";
import { studyPaths } from "../../results/paths.js";

/*
 * Finished cells that a study does not ask for any more, as it was changed: each lies in `no-longer-belongs/<id>/`, under the
 * beginning of the hash of what it rests on. Nothing is deleted, and where the study is changed back they are moved back.
 */

/** So much of a hash is a name: another cell of the same id, with the same beginning, is not to be expected. */
const nameOf = (hash: string): string => hash.slice(0, 16);

/** Moves a finished cell out of the way, and answers where it lies then. */
export async function moveAway(folder: string, id: string, basis: Basis | null): Promise<string> {
  const wanted = join(studyPaths(folder).noLonger, id, basis === null ? "unknown" : nameOf(basis.hash));
  let place = wanted;
  for (let number = 2; await isThere(place); number++) place = `${wanted}-${number}`;
  await mkdir(dirname(place), { recursive: true });
  await rename(studyPaths(folder).cell(id), place);
  return place;
}

/** Moves a cell back. */
export async function moveBack(folder: string, id: string, place: string): Promise<void> {
  await rename(place, studyPaths(folder).cell(id));
  await rmdir(dirname(place)).catch(() => {}); // others may lie there
}

/** Where cells of an id lie that may rest on this. */
export async function placesOf(folder: string, id: string, hash: string): Promise<string[]> {
  const all = join(studyPaths(folder).noLonger, id);
  const names = (await namesIn(all)).filter((name) => name.replace(/-\d+$/, "") === nameOf(hash));
  return names.sort().map((name) => join(all, name));
}

/** How many cells lie there, by id. */
export async function movedAway(folder: string): Promise<Map<string, number>> {
  const { noLonger } = studyPaths(folder);
  const counts = new Map<string, number>();
  for (const id of (await namesIn(noLonger)).sort()) {
    const { length } = await namesIn(join(noLonger, id));
    if (length > 0) counts.set(id, length);
  }
  return counts;
}
