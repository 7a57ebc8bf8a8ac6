import { TransferLimitsError } from "../common/errors.js";
import { openSeal } from "../common/sealed-json.js";

/** What a file of a study's folder says, which must be what the study wrote, or never had a checksum. @throws `BAD_INPUT` */
export function unsealed(file: string, text: string): unknown {
  const found = openSeal(text);
  if (found.state === "sound") return found.value;
  throw new TransferLimitsError(
    "BAD_INPUT",
    `${file} was damaged or changed since it was written: ${found.reason}. Run the study again, which writes it anew; or, if ` +
      'it was changed on purpose, remove its entry "checksum"',
  );
}
