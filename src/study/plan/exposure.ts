import type { CohortCase } from "../../cohort/manifest.js";
import type { Splits } from "../../cohort/splits.js";
import { architectureOf } from "../../models/architectures/index.js";
import { patientsSeen } from "../../models/pretraining/origin.js";
import { encoderOf } from "../../models/specification.js";
import { readSafetensors } from "../../native/safetensors.js";
import type { PatientExposure } from "../../results/study.js";
import type { Study } from "../config/schema.js";

/** Patients that a study judges its models on, by set. */
export interface HeldOut {
  validation: ReadonlySet<string>;
  test: ReadonlySet<string>;
}

/** The patients of each set of a split. */
export function patientsOf(
  cases: readonly Pick<CohortCase, "id" | "patient">[],
  splits: Splits,
): Record<"train" | "validation" | "test", string[]> {
  const patient = new Map(cases.map((one) => [one.id, one.patient]));
  const of = (ids: readonly string[]) => [...new Set(ids.map((id) => patient.get(id) as string))].sort();
  return { train: of(splits.train), validation: of(splits.validation), test: of(splits.test) };
}

/** The patients that any of these splits holds out. */
export const heldOut = (parts: readonly Record<"validation" | "test", readonly string[]>[]): HeldOut => ({
  validation: new Set(parts.flatMap(({ validation }) => validation)),
  test: new Set(parts.flatMap(({ test }) => test)),
});

/**
 * Which of the patients that a study is judged on the weights of its models have seen, as far as the files say: their
 * own list of patients is compared with the study's by name.
 *
 * @throws `BAD_CHECKPOINT` for a file of this package whose list is damaged
 */
export async function exposureOf(
  { models }: Study,
  { validation, test }: HeldOut,
): Promise<PatientExposure[]> {
  const exposures: PatientExposure[] = [];
  for (const { name, encoder, weights, pretrain } of models) {
    const ownWeights = architectureOf(encoderOf(encoder)).comesFromFile && pretrain === undefined;
    if (weights === undefined && !ownWeights) continue;
    const seen = weights === undefined ? null : await seenBy(weights);
    const among = (held: ReadonlySet<string>) => (seen ?? []).filter((patient) => held.has(patient)).sort();
    exposures.push({
      model: name,
      patients: seen?.length ?? null,
      overlap: { validation: among(validation), test: among(test) },
    });
  }
  return exposures;
}

/** What is wrong with a model whose weights saw patients that it is judged on; null where nothing is. */
export function leak({ model, overlap }: PatientExposure, weights: string): string | null {
  const { validation, test } = overlap;
  if (validation.length + test.length === 0) return null;
  const shown = (names: readonly string[], set: string) =>
    names.length === 0
      ? []
      : [
          `${names.length} of the ${set} set (${names.slice(0, 5).join(", ")}${names.length > 5 ? ", ..." : ""})`,
        ];
  return (
    `expected weights that saw no patient that the study judges ${model} on, but those of ${weights} were pretrained on ` +
    `${[...shown(test, "test"), ...shown(validation, "validation")].join(" and ")}, so that its results would not show ` +
    "how it does on new patients. Pretrain without them (pretrain --exclude splits.json), or set allowOverlap: true for " +
    "this model: the report then says so"
  );
}

/** The patients that a file of weights names; null for a file that isn't of this package, or that cannot be read here. */
async function seenBy(path: string): Promise<string[] | null> {
  let metadata: Record<string, string>;
  try {
    ({ metadata } = await readSafetensors(path));
  } catch {
    return null; // Whatever is wrong with it, loading it says so.
  }
  return patientsSeen(path, metadata);
}
