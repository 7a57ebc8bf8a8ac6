/**
 * The program of a process that helps to prepare a cohort: it is told how cases are prepared, and then one case after the
 * other. It dies with whoever started it.
 */
import { followStarter, tellStarter } from "../common/child-program.js";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import { Refusal } from "./case-on-grid.js";
import type { FromHelper, ToHelper } from "./preparation-messages.js";
import { type CaseToPrepare, openPreparation } from "./preprocess.js";

let preparation: ReturnType<typeof openPreparation> | undefined;

async function prepared(one: CaseToPrepare): Promise<FromHelper> {
  try {
    if (preparation === undefined) throw new Error("a case came before it was said how to prepare it");
    return { kind: "prepared", one: await (await preparation)(one) };
  } catch (error) {
    if (error instanceof Refusal) return { kind: "refused", file: error.file, reason: error.message };
    const code = error instanceof TransferLimitsError ? error.code : null;
    return { kind: "failed", code, message: messageOf(error) };
  }
}

process.on("message", (message: ToHelper) => {
  if (message.kind === "prepare") return void prepared(message.one).then(tellStarter);
  process.title = "transfer-limits cohort/preparation-helper.js";
  const { options, cache, images } = message;
  const onDamage = (damage: object) => void tellStarter({ kind: "damage", damage });
  preparation = openPreparation(options, { cache, images, signal: undefined, onDamage });
  preparation.catch(() => {}); // the first case tells it
});
followStarter();
