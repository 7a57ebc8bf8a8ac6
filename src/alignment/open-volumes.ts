import type { CasePaths } from "../cohort/case-on-grid.js";
import { openCase, type VolumeRole } from "../cohort/case-volumes.js";
import { type ColumnPreparation, prepareFiles } from "../cohort/prepare-volume.js";
import { openPreparation } from "../cohort/preprocess.js";
import { openingOf } from "../cohort/schema.js";
import { expected } from "../common/errors.js";
import type { OnDamage } from "../common/set-aside.js";
import { Tensor } from "../native/tensor.js";
import type { ListedCase } from "./image-list.js";

/** The prepared volumes of one case. */
export interface OpenVolumes extends Disposable {
  /** A volume [D, H, W] on the device; the caller disposes it. */
  load(role: VolumeRole): Promise<Tensor>;
}

/**
 * What prepares single cases: through a cache, as a study does, or in memory alone.
 *
 * @throws of the function: `Refusal` for a case that must be left out, `ABORTED`
 */
export async function openVolumes(
  preparation: ColumnPreparation,
  where: {
    cache: string | undefined;
    device: string;
    signal: AbortSignal | undefined;
    /** Told of volumes in the cache that were damaged, and are made again. */
    onDamage: OnDamage;
  },
): Promise<(one: ListedCase) => Promise<OpenVolumes>> {
  const { cache, device, signal, onDamage } = where;
  if (cache !== undefined) {
    const prepare = await openPreparation(preparation, {
      cache,
      images: openingOf(preparation.images),
      signal,
      onDamage,
    });
    return async ({ id, paths }) => {
      const { load } = await openCase(
        await prepare({ id, patient: id, labels: {}, volumes: paths as CasePaths }),
        device,
      );
      return { load: (role) => load(role), [Symbol.dispose]() {} };
    };
  }
  return async ({ id, paths }) => {
    const { tensors } = await prepareFiles(paths, preparation, signal);
    return {
      load: async (role) => {
        const tensor = tensors[role];
        if (tensor === undefined) throw expected(`a case that has ${role}`, "case", id);
        return device === "cpu" ? tensor.share() : Tensor.from(await tensor.toArray(), tensor.shape, device);
      },
      [Symbol.dispose]() {
        for (const tensor of Object.values(tensors)) tensor.dispose();
      },
    };
  };
}
