import { readExclusionList } from "../../cohort/exclusion-list.js";
import { caseFacts } from "../../cohort/manifest.js";
import type { ManifestFiles } from "../../cohort/manifest-files.js";
import type { CaseFacts } from "../../cohort/needs.js";
import { columnsOf } from "../../cohort/own-columns.js";
import { makeSplits } from "../../cohort/splits.js";
import { messageOf, TransferLimitsError } from "../../common/errors.js";
import { tryFolder } from "../../common/folder-trial.js";
import { productOf } from "../../common/numbers.js";
import { ownCommand } from "../../common/own-commands.js";
import type { Fault } from "../../common/validation.js";
import { comesFromFile } from "../../models/architectures/index.js";
import { openCheckpoint } from "../../models/checkpoints/checkpoint-file.js";
import { weightsFit } from "../../models/checkpoints/load-weights.js";
import { contrastNeedsOf } from "../../models/pretraining/patch-contrast.js";
import { seenOf } from "../../models/pretraining/sees.js";
import { encoderOf } from "../../models/specification.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import { Tensor } from "../../native/tensor.js";
import { strategiesOf, taskOf } from "../../tasks/index.js";
import type { Study } from "../config/schema.js";
import { readingOf } from "./check-weights.js";
import type { CheckedStudy } from "./checked-study.js";
import {
  apartFrom,
  type DividedCohort,
  type DividedCohorts,
  divideCohorts,
  judgedOn,
  type Manifests,
  manifestOf,
  pretrainingCohort,
  readManifests,
  type SeedDivision,
} from "./divisions.js";
import { exposureOf, leak } from "./exposure.js";
import type { PlannedCell, StudyPlan } from "./plan.js";
import { leastCases, neverMet, tooFewCases } from "./usable-cases.js";

type Report = (path: PropertyKey[], message: string) => void;

/**
 * Looks at the files that a sound study points at, and says what is wrong with them: manifests and how they are divided, columns that tasks and
 * pretraining need, files of weights, whether they fit their encoder and whose images they saw. No image is opened, and no
 * tensor is loaded, but for an encoder that is a trusted module, which is run once: whatever can be known before any work is said here, to `plan` as to `run`.
 *
 * @throws `BAD_MANIFEST`, `DISK_FULL`, and `BAD_CONFIG` for a list of patients that cannot be read
 */
export async function checkFiles(
  study: Study,
  plan: StudyPlan,
  files: ManifestFiles,
): Promise<CheckedStudy | { faults: Fault[] }> {
  const faults: Fault[] = [];
  const fault: Report = (path, message) => faults.push({ path, message, unknownKey: null });
  const manifests = await readManifests(study, files);
  checkSplits(study, manifests, fault);
  await checkPresent(study, fault);
  await checkFolders(study, fault);
  if (faults.length > 0) return { faults };
  const divisions = divideCohorts(study, manifests);
  const exposure = await exposureOf(study, judgedOn(divisions.flatMap(({ cohorts }) => cohorts)));
  checkLeaks(study, exposure, fault);
  const checked: CheckedStudy = { study, plan, manifests, divisions, exposure };
  const once = withoutRepetition(fault);
  for (const division of divisions) {
    checkTasks(checked, division, once);
    await checkPretraining(checked, apartFrom(study, divisions, division), once);
  }
  await checkFit(checked, fault);
  return faults.length > 0 ? { faults } : checked;
}

/** Tells what is wrong with one division of the patients, and not again with each other. */
function withoutRepetition(fault: Report): Report {
  const told = new Set<string>();
  return (path, message) => {
    const key = JSON.stringify([path, message]);
    if (!told.has(key)) fault(path, message);
    told.add(key);
  };
}

function checkSplits(study: Study, manifests: Manifests, fault: Report): void {
  const check = (path: PropertyKey[], manifest: string, split: Study["split"]) => {
    const { cases } = manifestOf(manifests, manifest);
    try {
      makeSplits(cases, split, study.seed, columnsOf(study.cohort));
    } catch (error) {
      fault(path, messageOf(error));
    }
  };
  check(["split"], study.cohort.manifest, study.split);
  for (const [index, { cohort }] of study.tasks.entries()) {
    if (cohort) check(["tasks", index, "cohort", "split"], cohort.manifest, cohort.split);
  }
}

/** Files that models name must be there, and be what they are taken for. */
async function checkPresent(study: Study, fault: Report): Promise<void> {
  for (const [index, model] of study.models.entries()) {
    if (model.pretrain?.exclude) await readExclusionList(model.pretrain.exclude);
    if (model.weights === undefined) continue;
    try {
      await openCheckpoint(model.weights, model);
    } catch (error) {
      if (error instanceof TransferLimitsError && error.code === "BAD_INPUT") {
        fault(["models", index, "weightsState"], error.message);
        continue;
      }
      fault(["models", index, "weights"], `expected a file of weights but received: ${messageOf(error)}`);
    }
  }
}

/** Where the study writes to, files can be written, renamed and listed. @throws `DISK_FULL` */
async function checkFolders({ execution }: Study, fault: Report): Promise<void> {
  for (const name of ["output", "cache"] as const) {
    const trial = await tryFolder(execution[name]);
    if (trial.usable) continue;
    if (trial.error instanceof TransferLimitsError && trial.error.code === "DISK_FULL") throw trial.error;
    fault(
      ["execution", name],
      `expected a folder that can be written to but received ${execution[name]}: ${trial.reason}`,
    );
  }
}

/** Weights must not have seen patients that the study judges on, unless a model allows it. */
function checkLeaks(study: Study, exposures: CheckedStudy["exposure"], fault: Report): void {
  for (const [index, { name, weights, allowOverlap }] of study.models.entries()) {
    const exposure = exposures.find(({ model }) => model === name);
    if (weights === undefined || exposure === undefined || allowOverlap) continue;
    const message = leak(exposure, weights);
    if (message !== null) fault(["models", index, "weights"], message);
  }
}

/** Each task needs cases with its columns, to train and to test on. */
function checkTasks({ study, plan }: CheckedStudy, { seed, cohorts }: SeedDivision, fault: Report): void {
  const cells = plan.cells.filter((cell) => seed === null || cell.seed === seed);
  for (const [index, config] of study.tasks.entries()) {
    const { cases, splits, manifest } = cohorts.find(({ tasks }) =>
      tasks.includes(config.name),
    ) as DividedCohort;
    const facts = new Map(cases.map((one) => [one.id, caseFacts(one)]));
    const instead = `take ${config.name} out of the study's tasks`;
    const never = neverMet(config.name, taskOf(config).needs, [...facts.values()], manifest, instead);
    if (never !== null) {
      fault(["tasks", index], never);
      continue;
    }
    const faults = cells.flatMap((cell) => {
      if (cell.task !== config.name) return [];
      const task = taskOf(config, cell.strategy ?? undefined);
      const least = leastCases(cell, task, study.cohort.voxels);
      return (["train", "test"] as const).flatMap(
        (set) =>
          tooFewCases(
            config.name,
            set,
            task.needs,
            splits[set].map((id) => facts.get(id) as CaseFacts),
            least[set],
          ) ?? [],
      );
    });
    for (const message of new Set(faults)) fault(["tasks", index], message);
  }
}

/** A model that is pretrained needs patients to see whom nothing is judged on, with what its method looks at. */
async function checkPretraining(
  { study, plan, manifests }: CheckedStudy,
  cohorts: DividedCohorts,
  fault: Report,
): Promise<void> {
  const isPlanned = new Set(plan.cells.flatMap(({ kind, model }) => (kind === "pretraining" ? [model] : [])));
  for (const [index, { name, pretrain }] of study.models.entries()) {
    if (!pretrain || !isPlanned.has(name)) continue;
    try {
      const { cases, manifest } = await pretrainingCohort(name, pretrain, cohorts, manifests);
      if (pretrain.method !== "patch-contrast") continue;
      const facts = cases.map(caseFacts);
      const instead = "choose another method, or weights";
      const sees = seenOf(columnsOf(study.cohort), pretrain.mask);
      if (sees.mask === null) {
        const message =
          "expected a mask among the cohort's columns, whose foreground patch-contrast tells apart";
        fault(["models", index, "pretrain", "method"], `${message}, but there is none: ${instead}`);
        continue;
      }
      const lacking = neverMet(pretrain.method, contrastNeedsOf(sees), facts, manifest.path, instead);
      if (lacking !== null) fault(["models", index, "pretrain", "method"], lacking);
    } catch (error) {
      if (!(error instanceof TransferLimitsError) || error.code !== "BAD_CONFIG") throw error;
      fault(["models", index, "pretrain"], error.message);
    }
  }
}

/** Names and shapes of a file of weights must be those of its encoder. */
async function checkFit({ study, plan: { cells } }: CheckedStudy, fault: Report): Promise<void> {
  const starts = ({ model, startsFrom, kind }: PlannedCell, name: string) =>
    kind === "cell" && model === name && startsFrom === "pretrained";
  for (const [index, { name, encoder, weights, ...reading }] of study.models.entries()) {
    if (comesFromFile(encoderOf(encoder))) {
      const refusal = await refusalOfModule(study, index);
      if (refusal !== null) {
        fault(["models", index, "encoder"], refusal);
        continue;
      }
    }
    if (weights === undefined || !cells.some((cell) => starts(cell, name))) continue;
    try {
      using network = await PlacedNetwork.build({ encoder: encoderOf(encoder) });
      const refusals = await weightsFit(network, weights, readingOf(reading));
      if (refusals.length === 0) continue;
      const mend = `${ownCommand("inspect", weights)} says which encoder they are of`;
      fault(["models", index, "weights"], `${refusals.join(" ")} ${mend}`);
    } catch (error) {
      // Without LibTorch nothing can run, and a plan is still worth having.
      if (!(error instanceof TransferLimitsError) || error.code !== "LIBTORCH_MISSING") throw error;
      return;
    }
  }
}

/** Values a voxel of the volumes that a module from a file is tried with: they differ, and are as intensities are. */
const tried = (index: number): number => (index % 97) / 97;

/**
 * Why a module from a file cannot be this study's encoder, in words; null where it can. It is trusted, so it is run: on two
 * volumes of each size that a task shows, as a batch of training has them.
 */
async function refusalOfModule(
  { models, cohort, tasks, execution: { device } }: Study,
  index: number,
): Promise<string | null> {
  const { encoder: chosen } = models[index] as Study["models"][number];
  const encoder = encoderOf(chosen);
  const [height, width, depth] = cohort.voxels;
  const shown = tasks.flatMap((task) =>
    strategiesOf(task).map((strategy) => depth / taskOf(task, strategy).shape.depthScale),
  );
  try {
    using network = await PlacedNetwork.build({ encoder }, { device });
    for (const slices of new Set(shown)) {
      const shape = [2, encoder.channels, slices, height, width];
      const count = productOf(shape);
      const values = Float32Array.from({ length: count }, (_, at) => tried(at));
      using volumes = Tensor.from(values, shape, device);
      (await network.embed(volumes))[Symbol.dispose]();
    }
    return null;
  } catch (error) {
    if (!(error instanceof TransferLimitsError)) throw error;
    // Without LibTorch nothing can run, and a plan is still worth having; what memory is short of, a run sees to itself.
    return error.code === "LIBTORCH_MISSING" || error.code === "OUT_OF_MEMORY" ? null : error.message;
  }
}
