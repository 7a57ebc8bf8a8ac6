import { join } from "node:path";
import { type CaseVolumes, openCase } from "../dist/cohort/case-volumes.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { prepareCohort } from "../dist/cohort/preprocess.js";
import { type Turn, turns } from "../dist/models/fidelity/images.js";
import { Tensor } from "../dist/native/tensor.js";

/** Phantoms on a grid of 16 x 32 x 32. */
export async function phantomCases(folder: string, seed: number, cases: number): Promise<CaseVolumes[]> {
  const cohort = join(folder, `phantoms-${seed}`);
  await writePhantomCohort(cohort, { cases, seed, voxels: [32, 32, 16] });
  const { cases: prepared } = await prepareCohort(
    await readManifest(join(cohort, "manifest.csv")),
    { voxels: [32, 32, 16], crop: { around: "gland", fieldOfView: "whole" } },
    { cache: join(folder, "cache") },
  );
  return Promise.all(prepared.map((one) => openCase(one, "cpu")));
}

/** The turn of these axes and flips. */
export const turnOf = (order: readonly number[], ...flipped: boolean[]): Turn =>
  turns.find((turn) => turn.order.join() === order.join() && turn.flipped.join() === flipped.join()) as Turn;

/** A case whose volumes come from another column, turned, and with other intensities. */
export const planted = (
  one: CaseVolumes,
  {
    column = (name) => name,
    turn = turns[0] as Turn,
    intensity = (value) => value,
  }: {
    column?: (name: string) => string;
    turn?: Turn;
    intensity?: (value: number) => number;
  },
): CaseVolumes => ({
  ...one,
  async load(name) {
    using volume = await one.load(column(name));
    const before = (await volume.toArray()) as Float32Array;
    const shape = volume.shape as [number, number, number];
    const steps = [shape[1] * shape[2], shape[2], 1];
    const size = turn.order.map((axis) => shape[axis] as number) as [number, number, number];
    const after = new Float32Array(before.length);
    let at = 0;
    for (let d = 0; d < size[0]; d++)
      for (let h = 0; h < size[1]; h++)
        for (let w = 0; w < size[2]; w++) {
          const from = [d, h, w].map(
            (index, axis) =>
              (turn.flipped[axis] ? (size[axis] as number) - 1 - index : index) *
              (steps[turn.order[axis] as number] as number),
          );
          after[at++] = intensity(before[from.reduce((sum, step) => sum + step, 0)] as number);
        }
    return Tensor.from(after, size);
  },
});
