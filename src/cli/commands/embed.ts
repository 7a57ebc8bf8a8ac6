import { type Command, Option } from "commander";
import type { EmbedImagesOptions } from "../../alignment/embed-images.js";
import { TransferLimitsError } from "../../common/errors.js";
import { type Answer, answer } from "../answer.js";
import { countedProgress } from "../counted-progress.js";
import { examples } from "../examples.js";
import { count, printable } from "../format.js";
import { abortOnInterrupt } from "../interrupt.js";
import { voxelCounts, wholeNumber } from "../numbers.js";

interface Options {
  out: string;
  encoder?: string;
  weights?: string;
  keyMap?: string;
  weightsState?: string;
  voxels?: [number, number, number];
  fieldOfView?: [number, number, number];
  root?: string;
  study?: string;
  images?: string[];
  device: string;
  seed: number;
  cache?: string;
  json?: boolean;
}

/** `embed IMAGES`: what an encoder makes of images, of a folder of them, or of every case of a cohort. */
export function addEmbed(program: Command): void {
  program
    .command("embed")
    .description(
      "embed images, a folder of images or every case of a cohort by an encoder, each prepared as a study prepares it, for " +
        "`align` or a script",
    )
    .argument(
      "<images...>",
      "images (NIfTI, MHA, MHD, NRRD), folders that they lie in, or the CSV of a cohort",
    )
    .requiredOption("--out <file>", "where the embeddings go: safetensors, `embeddings` [images, features]")
    .option(
      "--weights <file>",
      "the encoder's weights, such as a cell's best.safetensors (default: random, drawn from --seed)",
    )
    .option(
      "--encoder <name>",
      "preset of the encoder (default: what weights of this package say of themselves, else profound-tiny)",
    )
    .option("--key-map <name>", "the source of the weights, where their names do not tell")
    .option("--weights-state <name>", "which of several sets of weights in the file is meant")
    .option(
      "--voxels <HxWxD>",
      "height, width and depth that volumes are resampled to (default: 200x200x96)",
      voxelCounts,
    )
    .option(
      "--field-of-view <HxWxD>",
      "crop around the gland, where a case has its mask, or the middle, in mm (default: all of the image)",
      voxelCounts,
    )
    .option(
      "--root <folder>",
      "the data file that an image's header names may lie anywhere in this folder (default: the image's own)",
    )
    .addOption(
      new Option("--study <file>", "prepare images as this study file says").conflicts([
        "voxels",
        "fieldOfView",
        "root",
      ]),
    )
    .option(
      "--images <roles...>",
      "images that fill the encoder's channels in turn: t2w, adc, hbv, or those of the study's own columns (default: the reference, t2w)",
    )
    .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
    .option("--seed <number>", "seeds the random weights", wholeNumber(0), 0)
    .option("--cache <folder>", "keep preprocessed volumes here (default: none is kept)")
    .option("--json", "write one JSON document to stdout")
    .addHelpText(
      "after",
      `${examples(
        "embed scan.nii.gz --weights encoder.safetensors --out scan.safetensors",
        "embed scans/ --weights results/cells/<cell>/best.safetensors --study study.yaml --out scans.safetensors",
        "embed cohort/*/t2w.nii.gz --encoder profound-tiny --weights profound.pth.tar --out t2w.safetensors",
        "embed cohort/manifest.csv --images t2w adc hbv --weights encoder.safetensors --out cohort.safetensors",
      )}\n\nA row is called after its case, or its file without the extension. An image that cannot be used is left out and ` +
        "named\nwith the reason: exit status 1. An image by itself is prepared as T2W is.",
    )
    .action((images: string[], options: Options) => answer(options, () => embed(images, options)));
}

async function embed(images: string[], options: Options): Promise<Answer> {
  const { embedImages } = await import("../../alignment/embed-images.js");
  const { checkDevices } = await import("../../study/plan/devices.js");
  const { encoderNames } = await import("../../models/catalogue.js");
  const { encoder, weights, keyMap, weightsState, device, seed, cache, out } = options;
  checkDevices([device]);
  const chosen = encoder === undefined ? {} : { encoder: oneOf(encoderNames, encoder, "--encoder") };
  const { known, ...preparation } = await preparationOf(options);
  const channels = options.images?.map((role) => oneOf(known, role, "--images"));
  const { signal, dispose } = abortOnInterrupt();
  const view = countedProgress(process.stderr, "Embedding");
  let leftOut = 0;
  try {
    using done = await embedImages(images.length === 1 ? (images[0] as string) : images, {
      ...chosen,
      ...given({ weights, keyMap, weightsState, cache, channels }),
      ...preparation,
      ...{ device, seed, output: out, signal },
      onProgress: ({ done, total, excluded }) => {
        if (excluded !== null) leftOut++;
        view.show({ done, total, leftOut });
      },
    });
    view.close();
    for (const warning of done.warnings) process.stderr.write(`warning: ${printable(warning)}\n`);
    const { ids, excluded, encoder: name, random } = done;
    const features = done.embeddings.shape[1] as number;
    const sum =
      `${count(ids.length, "case")}, ${features} features each, by ${name} with ` +
      `${random ? `random weights (seed ${seed})` : weights}: ${out}`;
    const left = excluded.map(({ case: id, reason }) => `  ${id} is left out: ${reason}`);
    return {
      value: { output: out, cases: ids, features, encoder: name, weights: weights ?? null, excluded },
      text: printable([sum, ...left].join("\n")),
      failed: excluded.some(({ file }) => file !== null),
    };
  } finally {
    view.close();
    dispose();
  }
}

/** How images are prepared, and which there are. */
type PreparedAs = Pick<
  EmbedImagesOptions,
  "voxels" | "crop" | "normalise" | "masks" | "images" | "columns"
> & {
  known: readonly string[];
};

const ofProstate = ["t2w", "adc", "hbv"];

/** How images are prepared, as a study says or as the options do, and which images there are. */
async function preparationOf({ study, voxels, fieldOfView, root }: Options): Promise<PreparedAs> {
  if (study === undefined)
    return { known: ofProstate, ...given({ voxels }), crop: given({ fieldOfView }), images: given({ root }) };
  const { loadStudy } = await import("../../study/plan/load-study.js");
  const { voxels: grid, crop, normalise, masks, images, columns } = (await loadStudy(study)).cohort;
  const { around, fieldOfView: field } = crop;
  const grids = { voxels: grid, masks, images, crop: { ...given({ around }), fieldOfView: field } };
  return columns === "prostate"
    ? { known: ofProstate, ...grids, ...(normalise ? { normalise } : {}) }
    : {
        known: Object.keys(columns.images),
        ...grids,
        columns: columns as NonNullable<EmbedImagesOptions["columns"]>,
      };
}

/** Without what was not given. */
const given = <T extends object>(options: T) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: NonNullable<T[Key]>;
  };

function oneOf<Name extends string>(names: readonly Name[], name: string, option: string): Name {
  const found = names.find((known) => known === name);
  if (found !== undefined) return found;
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `Expected one of ${names.join(", ")} for ${option} but received "${name}"`,
  );
}
