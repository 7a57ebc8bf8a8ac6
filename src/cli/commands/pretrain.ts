import type { Command } from "commander";
import { TransferLimitsError } from "../../common/errors.js";
import type { StudyInput } from "../../study/config/schema.js";
import type { CheckedStudy } from "../../study/plan/checked-study.js";
import { amongRanks } from "../among-ranks.js";
import { answer } from "../answer.js";
import { examples } from "../examples.js";
import { positiveNumber, voxelCounts, wholeNumber } from "../numbers.js";
import { runWithProgress } from "../run-with-progress.js";

/** What only a manifest takes: a study file says it itself. */
interface ManifestOptions {
  encoder?: string;
  method?: string;
  name?: string;
  epochs?: number;
  batchSize?: number;
  learningRate?: number;
  voxels?: [number, number, number];
  fieldOfView?: [number, number, number];
  exclude?: string;
  seed?: number;
  device?: string;
  threads?: number;
  out?: string;
  cache?: string;
}
type Options = ManifestOptions & { checkpointEvery?: number; ranks?: number; json?: boolean };

/** `pretrain STUDY`: only the pretraining cells of a study; `pretrain MANIFEST`: one encoder on a whole cohort. */
export function addPretrain(program: Command): void {
  const command = program
    .command("pretrain")
    .description(
      "pretrain an encoder on a cohort, or only the models of a study; `run` then goes on with the rest. Called again, " +
        "it goes on where it was stopped",
    )
    .argument("<file>", "a cohort's manifest (.csv), or a study file (YAML) of which a model has `pretrain`")
    .option(
      "--checkpoint-every <epochs>",
      "keep the encoder of every so many epochs beside the last one",
      wholeNumber(1),
    )
    .option(
      "--ranks <number>",
      "processes that train it together, each on its part of every batch; on GPUs each has its own",
      wholeNumber(1),
    )
    .option("--json", "write one JSON document to stdout");
  command.optionsGroup("With a manifest:");
  command
    .option("--encoder <name>", "preset of the encoder (default: profound-tiny)")
    .option(
      "--method <name>",
      "masked-autoencoder for a ConvNeXt or ResNet; patch-contrast or self-distillation for a vision transformer",
    )
    .option("--exclude <file>", "patients to leave out: one a line, or a study's splits.json")
    .option("--epochs <number>", "passes over the cohort (default: 100)", wholeNumber(1))
    .option("--batch-size <number>", "cases of a step (default: 1)", wholeNumber(1))
    .option("--learning-rate <number>", "at the top of the schedule (default: 1.5e-4)", positiveNumber)
    .option("--voxels <HxWxD>", "what volumes are resampled to (default: 200x200x96)", voxelCounts)
    .option("--field-of-view <HxWxD>", "crop around the gland, in mm (default: all of T2W)", voxelCounts)
    .option("--name <name>", "of the model (default: encoder)")
    .option("--seed <number>", "everything random follows from it (default: 1)", wholeNumber(0))
    .option("--device <name>", "cpu (default), cuda or cuda:N")
    .option("--threads <number>", "default: the machine's cores", wholeNumber(1))
    .option("--out <folder>", "where the encoder goes (default: pretraining)")
    .option("--cache <folder>", "preprocessed volumes (default: in the folder of --out)");
  command
    .addHelpText(
      "after",
      examples(
        "pretrain study.yaml",
        "pretrain cohort.csv --encoder profound-tiny --exclude results/splits.json --out pretrained",
      ),
    )
    .addHelpText("after", "\nEvery other setting: write a study file with `tasks: []`.")
    .action((path: string, options: Options) =>
      amongRanks((meeting) =>
        answer(options, async () => {
          const study = /\.csv$/i.test(path) ? await ofManifest(path, options) : await ofStudy(path, options);
          const { withExecution } = await import("../../study/plan/checked-study.js");
          const { checkpointEvery, ranks = meeting?.ranks } = options;
          const asked = withExecution(study, given({ checkpointEvery, ranks }));
          return runWithProgress(asked, { only: "pretraining" }, meeting ?? undefined);
        }),
      ),
    );
}

/** A study that pretrains one encoder on every case of a manifest, and does nothing else. */
async function ofManifest(path: string, options: Options): Promise<CheckedStudy> {
  const { ManifestFiles } = await import("../../cohort/manifest-files.js");
  const { checkStudy } = await import("../../study/plan/load-study.js");
  const files = new ManifestFiles();
  const { cases } = await files.read(path);
  const {
    encoder = "profound-tiny",
    name = "encoder",
    voxels,
    fieldOfView,
    seed,
    out = "pretraining",
  } = options;
  const { method, epochs, batchSize, learningRate, exclude, device, threads, cache } = options;
  // What is wrong with a name, the check says: a command line is text.
  const input = {
    name: "pretraining",
    ...given({ seed }),
    cohort: { manifest: path, ...given({ voxels }), ...(fieldOfView ? { crop: { fieldOfView } } : {}) },
    split: { train: cases.length, validation: 0, test: 0 },
    models: [{ name, encoder, pretrain: given({ method, epochs, batchSize, learningRate, exclude }) }],
    tasks: [],
    execution: { output: out, ...given({ device, threads, cache }) },
  };
  return checkStudy(input as StudyInput, process.cwd(), files);
}

async function ofStudy(
  path: string,
  { checkpointEvery: _, ranks: __, json: ___, ...options }: Options,
): Promise<CheckedStudy> {
  const [misplaced] = Object.keys(options);
  if (misplaced !== undefined) {
    const flag = `--${misplaced.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected ${flag} with a manifest (.csv) but received the study ${path}, which says that itself: write it there, ` +
        "so that `run` goes on from the same pretraining. Its validation and test patients are left out in any case",
    );
  }
  const { loadChecked } = await import("../../study/plan/load-study.js");
  const checked = await loadChecked(path);
  if (checked.plan.cells.some(({ kind }) => kind === "pretraining")) return checked;
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `Expected a model with "pretrain" in ${path}, and a comparator that starts from it (fine-tuned or pretrained), but ` +
      "found none: there is nothing to pretrain.",
  );
}

/** Without what was not given, for which the defaults of a study stand. */
const given = <T extends object>(options: T) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
