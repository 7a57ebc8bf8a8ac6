// Locks the folder that it is told to, says what came of it, and gives it back when it is told to.
import { lockStudy } from "../dist/study/lock.js";

let unlock = async () => {};
process.on("message", async (message) => {
  if (message.lock === undefined) {
    await unlock();
    unlock = async () => {};
    process.send("unlocked");
    return;
  }
  try {
    unlock = await lockStudy(message.lock);
    process.send(true);
  } catch (error) {
    process.send(error.code ?? String(error));
  }
});
process.on("disconnect", () => process.exit());
