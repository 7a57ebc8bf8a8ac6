import { join } from "node:path";
import { cellFiles, encoderFile, studyPaths } from "../results/paths.js";
import type { StudyResults } from "../results/study.js";
import { pretrainingId } from "../study/plan/plan.js";
import { count, number, printable } from "./format.js";

/** An encoder that a study pretrained, and where it lies. */
export interface PretrainedEncoder {
  model: string;
  /** Absolute paths. */
  encoder: string;
  curve: string;
  /** How many patients it saw. The file's metadata names them. */
  patients: number | null;
  /** How many of its cohort it must not see. */
  patientsLeftOut: number;
  epochs: number;
  /** Mean losses of the first and of the last epoch. */
  firstLoss: number | null;
  lastLoss: number | null;
}

/** The encoders that are there. */
export const pretrainedEncoders = ({ pretraining }: StudyResults, folder: string): PretrainedEncoder[] =>
  pretraining
    .filter(({ status }) => status === "done")
    .map(({ id, model, curve, patients, patientsLeftOut }) => {
      const cell = studyPaths(folder).cell(id ?? pretrainingId(model, null));
      return {
        model,
        encoder: join(cell, encoderFile),
        curve: join(cell, cellFiles.curve),
        patients: patients ?? null,
        patientsLeftOut: patientsLeftOut ?? 0,
        epochs: curve.length,
        firstLoss: curve[0]?.trainingLoss ?? null,
        lastLoss: curve.at(-1)?.trainingLoss ?? null,
      };
    });

/** The pretraining of a study in words. */
export function pretrainingSummary(results: StudyResults, folder: string): string {
  const done = pretrainedEncoders(results, folder).map((one) => {
    const { model, encoder, patients, patientsLeftOut, epochs, firstLoss, lastLoss } = one;
    const loss =
      firstLoss === null || lastLoss === null ? "" : `, loss ${number(firstLoss)} to ${number(lastLoss)}`;
    const seen = patients === null ? "" : `, ${count(patients, "patient")} seen`;
    const left = patientsLeftOut === 0 ? "" : ` and ${patientsLeftOut} left out`;
    return `${printable(model)}: ${count(epochs, "epoch")}${loss}${seen}${left}\n  ${printable(encoder)}`;
  });
  const failed = results.pretraining
    .filter(({ status }) => status === "failed")
    .map(
      ({ model, reason }) => `${printable(model)} failed: ${printable(reason ?? "no reason was recorded")}`,
    );
  const excluded = results.cohort.excluded.map(
    ({ case: name, reason }) => `${printable(name)} is left out: ${printable(reason)}`,
  );
  return [...done, ...failed, ...excluded].join("\n");
}
