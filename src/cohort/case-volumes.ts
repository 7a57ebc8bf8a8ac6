import { expected } from "../common/errors.js";
import { foregroundAbove } from "../common/foreground.js";
import type { Motion } from "../native/augmentation.js";
import { readSafetensors } from "../native/safetensors.js";
import type { Tensor } from "../native/tensor.js";
import type { MaskRole, VolumeRole } from "./columns.js";
import type { CaseFacts } from "./needs.js";
import type { PreparedCase } from "./preprocess.js";
import type { VolumeBank } from "./volume-bank.js";

export type { VolumeRole } from "./columns.js";
export type { CaseFacts } from "./needs.js";

export const factsOf = ({ volumes, emptyMasks, labels }: PreparedCase): CaseFacts => ({
  roles: volumes,
  ...(emptyMasks ? { emptyMasks } : {}),
  labels,
});

/** The preprocessed volumes of one case: mapped from the cache when asked for, shared between processes. */
export interface CaseVolumes extends CaseFacts {
  readonly case: string;
  readonly patient: string;
  /** Voxel size in mm, [D, H, W]: k to the head, j to the back, i to the left. */
  readonly spacing: readonly [number, number, number];
  /** Where the volumes that `load` gives were moved to for training, and the case as it was; absent: they were not. */
  readonly moved?: { from: CaseVolumes; motion: Motion };
  /** Where volumes are loaded to unless `load` is told otherwise. */
  readonly device: string;
  /** A volume [D, H, W], float32; the caller disposes it. */
  load(role: VolumeRole, device?: string): Promise<Tensor>;
}

/** 1 where a mask of a case has foreground, in any of its labels, and 0 elsewhere, [D, H, W]; the caller disposes it. */
export async function loadForeground(volumes: CaseVolumes, role: MaskRole): Promise<Tensor> {
  using mask = await volumes.load(role);
  return await mask.threshold(foregroundAbove);
}

/** Opens the preprocessed volumes of a case for a device; `bank` keeps there what it has room for. */
export async function openCase(
  prepared: PreparedCase,
  device: string,
  bank?: VolumeBank,
): Promise<CaseVolumes> {
  const file = await readSafetensors(prepared.file);
  return {
    case: prepared.id,
    patient: prepared.patient,
    ...factsOf(prepared),
    spacing: prepared.spacing,
    device,
    load: async (role, on = device) => {
      if (!prepared.volumes.includes(role)) throw expected(`a case that has ${role}`, "case", prepared.id);
      if (!bank || on !== device) return file.tensor(role, on);
      return bank.volume(`${prepared.file} ${role}`, () => file.tensor(role, on));
    },
  };
}
