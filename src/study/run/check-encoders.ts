import { mkdir } from "node:fs/promises";
import { messageOf, TransferLimitsError, throwIfAborted } from "../../common/errors.js";
import type { StudyEvent } from "../../common/progress.js";
import { isThere, type OnDamage } from "../../common/set-aside.js";
import type { EncoderFidelity } from "../../results/fidelity.js";
import { studyPaths } from "../../results/paths.js";
import { fidelityOf } from "../cell/fidelity.js";
import type { CheckedStudy } from "../plan/checked-study.js";
import { divisionOf } from "../plan/cohort-file.js";
import { withDevices } from "../plan/devices.js";
import { prepareStudyCohort } from "../plan/prepare.js";
import { encoderKey, gatedEncoders } from "../plan/pretrained-encoders.js";

/** An encoder of a study with what it was found to be, or why it was not looked at. */
export interface CheckedEncoder {
  encoder: string;
  /** `pending`: it is still to be pretrained; `refused`: its weights cannot be loaded. */
  status: "checked" | "pending" | "refused";
  found: EncoderFidelity | null;
  reason: string | null;
}

/**
 * Looks at the pretrained encoders of a study as `run` does before their first training, and trains nothing.
 *
 * @throws `BAD_CONFIG` where a device is not there; `ABORTED`
 */
export async function checkEncoders(
  asked: CheckedStudy,
  options: {
    signal?: AbortSignal | undefined;
    onProgress?: (event: StudyEvent) => void;
    devices?: readonly string[] | undefined;
  } = {},
): Promise<CheckedEncoder[]> {
  const { signal, onProgress = () => {}, devices } = options;
  const checkedStudy = withDevices(asked, devices);
  const { study, plan } = checkedStudy;
  const folder = study.execution.output;
  const onDamage: OnDamage = (damage) => onProgress({ kind: "set-aside", ...damage });
  await mkdir(folder, { recursive: true });
  const cohort = await prepareStudyCohort(checkedStudy, { signal, onProgress, onDamage, trustCache: false });
  const checked: CheckedEncoder[] = [];
  for (const encoder of gatedEncoders(plan)) {
    throwIfAborted(signal);
    const name = encoderKey(encoder);
    const pretraining = plan.cells.find(({ id }) => id === encoder.pretraining);
    if (pretraining && !(await isThere(studyPaths(folder).cell(pretraining.id)))) {
      checked.push({
        ...{ encoder: name, status: "pending", found: null },
        reason: "it is not pretrained yet: the command pretrain does so",
      });
      continue;
    }
    const division = pretraining ? divisionOf(cohort, pretraining.seed) : cohort;
    try {
      const { found } = await fidelityOf(encoder, { study, cohort: division, onDamage, signal });
      checked.push({ encoder: name, status: "checked", found, reason: null });
    } catch (error) {
      if (!(error instanceof TransferLimitsError) || error.code === "ABORTED") throw error;
      checked.push({ encoder: name, status: "refused", found: null, reason: messageOf(error) });
    }
  }
  return checked;
}
