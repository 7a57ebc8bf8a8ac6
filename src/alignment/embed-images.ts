import { lstat, mkdir, realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { Refusal } from "../cohort/case-on-grid.js";
import type { CohortColumns } from "../cohort/columns.js";
import { type ColumnsInput, columnsSchema } from "../cohort/own-columns.js";
import {
  type ColumnPreparation,
  type PreparationOptions,
  preparationOf,
  preparationOfColumns,
} from "../cohort/prepare-volume.js";
import { exclusionOf } from "../cohort/preprocess.js";
import { prostateColumns } from "../cohort/presets/prostate.js";
import {
  requireCallback,
  requireList,
  requireOptions,
  requirePath,
  requireSignal,
} from "../common/arguments.js";
import { describe, expected, TransferLimitsError, throwIfAborted } from "../common/errors.js";
import { tryFolder } from "../common/folder-trial.js";
import { type OnDamage, wordsOfDamage } from "../common/set-aside.js";
import { withCodedErrors } from "../common/system-errors.js";
import { checked } from "../common/validation.js";
import { type EncoderSource, type OpenEncoder, openEncoder } from "../models/encoder-source.js";
import { channelsShown } from "../models/specification.js";
import { writeSafetensors } from "../native/safetensors.js";
import { Tensor } from "../native/tensor.js";
import type { Exclusion } from "../results/study.js";
import { type ChannelFill, stackChannels } from "../tasks/task.js";
import { type CaseOfColumns, type ImageList, listImages } from "./image-list.js";
import { type OpenVolumes, openVolumes } from "./open-volumes.js";

export type { CaseOfColumns, NamedCaseFiles } from "./image-list.js";

/** An image that can be shown to an encoder: `t2w`, `adc`, `hbv`, or one of `columns`. @useDeclaredType */
export type ImageRole = string;

/** How far the embedding of images has come. */
export interface EmbeddingEvent {
  done: number;
  total: number;
  /** The case that was looked at last. */
  case: string;
  /** Why it is left out; null where it is embedded. */
  excluded: string | null;
}

/** By which encoder images are embedded, how they are prepared, and where the result goes. */
export interface EmbedImagesOptions extends EncoderSource, PreparationOptions {
  /**
   * What images and masks there are, as `cohort.columns` of a study file says it; `crop` and `channels` then name these, and a
   * case of several files has them by these names. Default: a prostate's.
   */
  columns?: ColumnsInput;
  /** Which images of a case fill the encoder's channels in turn. Default: the reference, `["t2w"]`. */
  channels?: readonly ImageRole[];
  /** What further channels hold: the images again (default), or zeros. */
  channelFill?: ChannelFill;
  /** A safetensors file for the embeddings, as `embed` and `align` of the command line write and read it. */
  output?: string;
  /** A folder that keeps prepared volumes, for another call or a study with the same preparation. Default: none is kept. */
  cache?: string;
  /** Stops the work between two images. */
  signal?: AbortSignal;
  /** Told after each image. What it throws ends the work. */
  onProgress?: (event: EmbeddingEvent) => void;
}

/** What an encoder made of images. Disposing of it disposes `embeddings`. */
export interface ImageEmbeddings extends Disposable {
  /** What each row is of: a case's id, or the file's name without what all names share: folders and the extension. */
  ids: string[];
  /** [N, features], float32, on the CPU: the mean of the encoder's last feature map over all positions. */
  embeddings: Tensor;
  /** Images that could not be used, each with its file (null where the reason is none) and the reason. */
  excluded: Exclusion[];
  /** The preset's name, or the encoder's specification as JSON. */
  encoder: string;
  /** Whether its weights are random. */
  random: boolean;
  /** What loading the weights warned of, and volumes in the cache that were damaged and made again. */
  warnings: string[];
}

/**
 * Embeds images by an encoder, each prepared as a study prepares it. Images are read and embedded one by one, the next being
 * read meanwhile: memory holds two, however many there are. One that cannot be used is left out with its reason.
 *
 * @example
 * import { embedImages, writePhantomCohort } from "transfer-limits";
 *
 * const manifest = await writePhantomCohort("phantoms", { cases: 2, seed: 1 });
 * const options = { encoder: "profound-demo", voxels: [64, 64, 32] };
 * const { ids, embeddings, excluded } = await embedImages(manifest, options);
 * console.log(ids, embeddings.shape, excluded); // [2, 128]: one row a case
 * embeddings.dispose();
 *
 * @param images an image file, a folder whose images are meant (not those of folders in it), a cohort's manifest, or a list
 *   of files, folders and cases of several files
 * @throws `BAD_INPUT` for a wrong option, a folder without images, an image that is named twice; `BAD_IMAGE` where no image
 *   can be used, with the reasons; `BAD_CHECKPOINT` for weights that do not fit or are of no encoder; `NOT_FINITE` where the
 *   encoder answers with NaN; `BAD_FILE` where `output` cannot be written; `BAD_MANIFEST`, `ABORTED`
 */
export async function embedImages(
  images: string | readonly (string | CaseOfColumns)[],
  options: EmbedImagesOptions = {},
): Promise<ImageEmbeddings> {
  requireOptions(options);
  const { encoder, weights, keyMap, weightsState, device, seed } = options;
  const { channelFill = "repeat", output, cache, signal, onProgress } = options;
  const config = checked(columnsSchema, options.columns, "options.columns");
  const preparation: ColumnPreparation =
    config === "prostate"
      ? preparationOf(options, otherOptions)
      : preparationOfColumns(config, options, otherOptions);
  const { columns = prostateColumns } = preparation;
  const { channels = [columns.reference] } = options;
  requireRoles(channels, columns);
  if (channelFill !== "repeat" && channelFill !== "zeros")
    throw expected('"repeat" or "zeros"', "channelFill", channelFill);
  if (output !== undefined) requirePath(output, "output");
  if (cache !== undefined) requirePath(cache, "cache");
  requireSignal(signal);
  requireCallback(onProgress, "onProgress");
  const list = await listImages(images, columns);
  if (output !== undefined) await checkOutput(output, list, weights);
  throwIfAborted(signal);

  const source = { encoder, weights, keyMap, weightsState, device, seed };
  using opened = await openEncoder(source as EncoderSource);
  const shown = { opened, channels, channelFill };
  requireRoom(shown);
  const warnings = [...(opened.report?.warnings ?? [])];
  const onDamage: OnDamage = (damage) => warnings.push(wordsOfDamage(damage));
  const how = { preparation, cache, signal, onProgress, onDamage };
  const { rows, ids, excluded } = await embedAll(list, shown, how);
  if (rows.length === 0) throw nothingEmbedded(images, list, excluded);

  const features = (rows[0] as Float32Array).length;
  const all = new Float32Array(rows.length * features);
  for (const [index, row] of rows.entries()) all.set(row, index * features);
  const embeddings = Tensor.from(all, [rows.length, features]);
  try {
    if (output !== undefined) await write(output, embeddings, { ids, list, opened, preparation });
  } catch (error) {
    embeddings.dispose();
    throw error;
  }
  const { name, report } = opened;
  return {
    ids,
    embeddings,
    excluded,
    encoder: name,
    random: report === null && opened.built,
    warnings,
    [Symbol.dispose]: () => embeddings.dispose(),
  };
}

/** The options that are none of the preparation. */
const otherOptions = Object.keys({
  encoder: 0,
  weights: 0,
  keyMap: 0,
  weightsState: 0,
  device: 0,
  seed: 0,
  columns: 0,
  channels: 0,
  channelFill: 0,
  output: 0,
  cache: 0,
  signal: 0,
  onProgress: 0,
} satisfies Record<Exclude<keyof EmbedImagesOptions, keyof PreparationOptions>, 0>);

function requireRoles(
  channels: unknown,
  { images }: CohortColumns,
): asserts channels is readonly ImageRole[] {
  const known = Object.keys(images);
  requireList(channels, "channels", `an array of ${known.join(", ")}`);
  if (channels.length === 0 || channels.length > known.length)
    throw expected(
      known.length === 3
        ? `one to three of ${known.join(", ")}`
        : `1 to ${known.length} of ${known.join(", ")}`,
      "channels",
      channels,
    );
  for (const [index, role] of channels.entries())
    if (!known.includes(role as ImageRole))
      throw expected(`one of ${known.join(", ")}`, `channels[${index}]`, role);
}

/** An encoder, and what its channels are filled with. */
interface Shown {
  opened: OpenEncoder;
  channels: readonly ImageRole[];
  channelFill: ChannelFill;
}

const encoderChannels = ({ opened: { network } }: Shown): number =>
  "encoder" in network.spec ? network.spec.encoder.channels : 0;

function requireRoom(shown: Shown): void {
  const room = encoderChannels(shown);
  if (shown.channels.length > room)
    throw expected(`at most ${room}, as many as the encoder's channels,`, "channels", shown.channels);
}

/** Embeds the cases of a list in turn, while the next is read. */
async function embedAll(
  { cases, manifest }: ImageList,
  shown: Shown,
  how: {
    preparation: ColumnPreparation;
    cache: string | undefined;
    signal: AbortSignal | undefined;
    onProgress: EmbedImagesOptions["onProgress"] | undefined;
    onDamage: OnDamage;
  },
) {
  const { signal, onProgress } = how;
  const { network } = shown.opened;
  const open = await openVolumes(how.preparation, { ...how, device: network.device });
  const [rows, ids, excluded]: [Float32Array[], string[], Exclusion[]] = [[], [], []];
  const start = (index: number): Promise<OpenVolumes> | null => {
    const one = cases[index];
    if (one === undefined) return null;
    const opening = open(one);
    opening.catch(() => {}); // looked at when it is this case's turn
    return opening;
  };
  let next = start(0);
  try {
    for (const [index, { id, paths }] of cases.entries()) {
      const opening = next as Promise<OpenVolumes>;
      next = null;
      let refused: Exclusion | null = null;
      const lacking = shown.channels.find((role) => paths[role] === undefined);
      try {
        using volumes = await opening;
        next = start(index + 1);
        throwIfAborted(signal);
        if (lacking === undefined) {
          rows.push(await embedOne(shown, volumes, id));
          ids.push(id);
        } else refused = { case: id, file: null, reason: `it has no ${lacking}` };
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        next ??= start(index + 1);
        refused = exclusionOf(error, id, manifest === null ? null : dirname(manifest));
      }
      if (refused !== null) excluded.push(refused);
      onProgress?.({ done: index + 1, total: cases.length, case: id, excluded: refused?.reason ?? null });
    }
  } finally {
    (await next?.catch(() => null))?.[Symbol.dispose]();
  }
  return { rows, ids, excluded };
}

/** The pooled features [features] of one case. */
async function embedOne(shown: Shown, volumes: OpenVolumes, id: string): Promise<Float32Array> {
  const { network } = shown.opened;
  const loaded: Tensor[] = [];
  try {
    for (const role of shown.channels) loaded.push(await volumes.load(role));
    const channels = channelsShown(network.spec, shown.channels.length);
    using stacked = await stackChannels(loaded, channels, shown.channelFill); // [C, D, H, W]
    using input = await Tensor.gather([stacked], [0]); // [1, C, D, H, W]
    using features = await network.embed(input);
    const row = (await features.pooled.toArray()) as Float32Array;
    if (row.every(Number.isFinite)) return row;
    throw new TransferLimitsError(
      "NOT_FINITE",
      `Expected finite numbers, but the encoder's embedding of ${id} holds NaN or infinity. Look at the weights with inspect`,
    );
  } finally {
    for (const tensor of loaded) tensor.dispose();
  }
}

function nothingEmbedded(
  images: unknown,
  { manifest, cases }: ImageList,
  excluded: readonly Exclusion[],
): TransferLimitsError {
  const reasons = [...new Set(excluded.map(({ reason }) => reason))];
  const more = reasons.length > 3 ? `\n  and ${reasons.length - 3} more reasons` : "";
  const listed = reasons
    .slice(0, 3)
    .map((reason) => `\n  ${reason}`)
    .join("");
  if (manifest !== null)
    return new TransferLimitsError(
      "BAD_MANIFEST",
      `${String(images)} has no case that can be embedded:${listed}${more}`,
    );
  if (cases.length === 1) return new TransferLimitsError("BAD_IMAGE", reasons[0] as string);
  return new TransferLimitsError(
    "BAD_IMAGE",
    `None of ${cases.length} images can be embedded:${listed}${more}`,
  );
}

/** Looks, before hours of work, whether their result can be written, and does not replace what it is made from. */
async function checkOutput(output: string, { cases, manifest }: ImageList, weights: string | undefined) {
  const own = await lstat(output).catch(() => null);
  if (own !== null && !own.isFile())
    throw new TransferLimitsError(
      "BAD_FILE",
      `Expected a file that can be written, or none yet, for output but ${describe(output)} is a folder, a link or a device`,
    );
  const trial = await tryFolder(dirname(resolve(output)));
  if (!trial.usable)
    throw new TransferLimitsError("BAD_FILE", `${output} cannot be written: ${trial.reason}`, {
      cause: trial.error,
    });
  if (own === null) return;
  const place = await realpath(output);
  const sources = [manifest, weights, ...cases.flatMap(({ paths }) => Object.values(paths))];
  for (const path of sources)
    if (path && (await realpath(path).catch(() => null)) === place)
      throw new TransferLimitsError(
        "BAD_INPUT",
        `Expected a file of its own for output but received ${describe(output)}, which the embeddings are made from`,
      );
}

/** `embeddings` [N, features]; as metadata the ids in order, whose they are where that is known, and what the rows rest on. */
async function write(
  path: string,
  embeddings: Tensor,
  {
    ids,
    list,
    opened,
    preparation,
  }: { ids: string[]; list: ImageList; opened: OpenEncoder; preparation: ColumnPreparation },
): Promise<void> {
  const { images: _, columns, ...rest } = preparation;
  const grid = columns
    ? { ...rest, images: Object.keys(columns.images), reference: columns.reference }
    : rest;
  const patientOf = new Map(list.cases.map(({ id, patient }) => [id, patient]));
  const patients = ids.map((id) => patientOf.get(id));
  await withCodedErrors(async () => {
    await mkdir(dirname(resolve(path)), { recursive: true });
    await writeSafetensors(
      path,
      { embeddings },
      {
        cases: JSON.stringify(ids),
        ...(patients.includes(undefined) ? {} : { patients: JSON.stringify(patients) }),
        encoder: opened.name,
        ...(opened.report ? { weights: opened.report.file.sha256 } : {}),
        preparation: JSON.stringify(grid),
      },
    );
  });
}
