// Takes the lock that it is told to, says what came of it, and gives it back when it is told to.
import { hostname } from "node:os";
import { takeLock } from "../dist/common/lock.js";

let lock;
const answers = {
  lock: async ({ lock: path, timing }) => {
    try {
      lock = await takeLock(path, { timing });
      return true;
    } catch (error) {
      return error.code ?? String(error);
    }
  },
  unlock: async () => {
    await lock?.release();
    lock = undefined;
    return "unlocked";
  },
  isHeld: () =>
    lock.requireHeld().then(
      () => true,
      (error) => error.code,
    ),
  host: async () => hostname(),
};
process.on("message", async (message) => process.send(await answers[Object.keys(message)[0]](message)));
process.on("disconnect", () => process.exit());
