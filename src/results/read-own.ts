import type { z } from "zod";
import { readSealedJson } from "../common/sealed-json.js";
import { type OnDamage, setAside } from "../common/set-aside.js";
import { checked } from "./checked.js";

/** A sealed file of a study's folder. One that is damaged, or not what it should be, is set aside, and counts as absent. */
export async function readOwn<T extends object>(
  folder: string,
  path: string,
  onDamage: OnDamage,
  schema?: z.ZodType,
): Promise<T | null> {
  const found = await readSealedJson<T>(path);
  if (found.state === "absent") return null;
  const reason =
    found.state === "damaged"
      ? found.reason
      : schema &&
        (({ faults }) => faults && `it does not hold what it should: ${faults}`)(
          checked(found.value, schema),
        );
  if (reason) {
    onDamage(await setAside(folder, path, reason));
    return null;
  }
  return found.state === "sound" ? found.value : null;
}
