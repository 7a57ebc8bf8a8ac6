import type { VolumeRole } from "../cohort/manifest.js";
import type { PreparedCase } from "../cohort/preprocess.js";
import { expected } from "../common/errors.js";
import { readSafetensors } from "../native/safetensors.js";
import type { Tensor } from "../native/tensor.js";

export type { VolumeRole } from "../cohort/manifest.js";

/** The preprocessed volumes of one case: mapped from the cache when asked for, shared between processes. */
export interface CaseVolumes {
  readonly case: string;
  readonly roles: readonly VolumeRole[];
  /** A volume [D, H, W], float32; the caller disposes it. */
  load(role: VolumeRole): Promise<Tensor>;
}

/** Opens the preprocessed volumes of a case for a device. */
export async function openCase(prepared: PreparedCase, device: string): Promise<CaseVolumes> {
  const file = await readSafetensors(prepared.file);
  return {
    case: prepared.id,
    roles: prepared.volumes,
    load: async (role) => {
      if (!prepared.volumes.includes(role)) throw expected(`a case that has ${role}`, "case", prepared.id);
      return file.tensor(role, device);
    },
  };
}
