// A process that works on the cells that it is told to, with the claims of a study, and tells what came of it.
import { randomUUID } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { writeChecksums } from "../../dist/common/checksums.js";
import { LockWatch } from "../../dist/common/lock.js";
import { studyPaths } from "../../dist/results/paths.js";
import { CellClaim } from "../../dist/study/cell/cell-claim.js";
import { completeCell, isFinished } from "../../dist/study/cell/cell-folder.js";

/** Of how many files, written one after the other, a cell's result consists. */
const parts = 5;

async function work({ folder, id, timing, milliseconds, careless }) {
  const watch = new LockWatch(studyPaths(folder).cellLock(id), timing);
  for (;;) {
    const claim = await CellClaim.take(folder, id, watch);
    if (!(claim instanceof CellClaim)) {
      await sleep(timing.beatEvery);
      continue;
    }
    process.send({ kind: "claimed", id });
    try {
      if (await isFinished(folder, id, () => process.send({ kind: "damaged", id }))) {
        await claim.release();
        return process.send({ kind: "over", id });
      }
      const token = randomUUID();
      const fill = async (partial) => {
        process.send({ kind: "working", id });
        for (let part = 0; part < parts; part++) {
          await sleep(milliseconds / parts);
          await writeFile(join(partial, `part-${part}`), token);
        }
      };
      await (careless ? withoutAsking(folder, id, fill) : completeCell(claim, fill));
      process.send({ kind: "published", id, token });
      await claim.release();
    } catch (error) {
      process.send({ kind: "refused", id, code: error.code, message: error.message });
      await claim.release();
    }
  }
}

/** What would come of it if nobody asked whether the claim still stands: the trials must find that out. */
async function withoutAsking(folder, id, fill) {
  const partial = join(folder, randomUUID());
  await mkdir(partial);
  await fill(partial);
  await writeChecksums(partial);
  await rm(studyPaths(folder).cell(id), { recursive: true, force: true });
  await rename(partial, studyPaths(folder).cell(id));
}

process.on("message", work);
process.on("disconnect", () => process.exit());
process.send({ kind: "ready" });
