import { availableParallelism } from "node:os";
import { TransferLimitsError } from "../../common/errors.js";
import { ownCommand } from "../../common/own-commands.js";
import type { Study } from "../config/schema.js";
import { largeCells, largeCellsInWords, memoryNowOf } from "./check-memory.js";
import { absentDevice, absentInWords } from "./devices.js";
import { hoursInWords, leastHours } from "./estimate.js";
import type { StudyPlan } from "./plan.js";

/** From so many hours on, a study is work for a GPU. */
const longHours = 24;

/**
 * What a person should know before a sound study is run here: it may not fit, and it may take far too long.
 *
 * @param hours of all cells, one after the other, as they were estimated by timing; null where nothing was timed
 */
export function planWarnings(study: Study, { cells }: StudyPlan, hours: number | null): string[] {
  const [first, ...others] = largeCells(study, cells, memoryNowOf);
  const { device, devices = [device] } = study.execution;
  const warnings = [
    ...absentHere(devices),
    ...(first === undefined ? [] : [`it may not fit: ${largeCellsInWords([first, ...others])}`]),
    ...sameTrainings(study),
  ];
  if (!devices.includes("cpu")) return warnings;
  const cores = availableParallelism();
  const least = leastHours(
    cells.reduce((sum, { cost }) => sum + cost, 0),
    cores,
  );
  if ((hours ?? least) < longHours) return warnings;
  const long =
    hours === null
      ? `on this CPU (${cores} cores) it takes at least ${hoursInWords(least)} hours, and likely several times as many`
      : `on this CPU it takes about ${hoursInWords(hours)} hours`;
  return [...warnings, `${long}. ${cudaInWords()}`];
}

/** A frozen encoder with a trained head is what `pretrained` is, too: their difference can only be 0. */
function sameTrainings({ models, comparators, untrainedHead }: Study): string[] {
  if (
    untrainedHead !== "trained" ||
    !comparators.includes("fine-tuned") ||
    !comparators.includes("pretrained")
  )
    return [];
  const frozen = models.filter(({ finetune }) => finetune === "frozen").map(({ name }) => name);
  if (frozen.length === 0) return [];
  return [
    `fine-tuned and pretrained are one and the same training of ${frozen.join(" and ")}: finetune: frozen trains the head ` +
      "alone, and so does untrainedHead: trained. Leave one of both comparators out, or fine-tune more of the encoder",
  ];
}

/** A study may well be planned here and run where its devices are. */
function absentHere(devices: readonly string[]): string[] {
  try {
    const absent = absentDevice(devices);
    return absent === null ? [] : [`it cannot be run here: ${absentInWords(absent)}`];
  } catch (error) {
    // Without LibTorch nothing can run, and a plan is still worth having.
    if (!(error instanceof TransferLimitsError) || error.code !== "LIBTORCH_MISSING") throw error;
    return [];
  }
}

const cudaInWords = (): string =>
  "This is work for a CUDA GPU: set execution.device: cuda, and run it on a machine with an NVIDIA GPU " +
  `(${ownCommand("doctor")} says what a machine has); or make the study smaller by fewer cohort.voxels, training.epochs, ` +
  "models or tasks";
