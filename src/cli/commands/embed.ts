import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import type { VolumeRole } from "../../cohort/manifest.js";
import { TransferLimitsError, throwIfAborted } from "../../common/errors.js";
import { answer } from "../answer.js";
import { examples } from "../examples.js";
import { count, printable } from "../format.js";
import { abortOnInterrupt } from "../interrupt.js";
import { voxelCounts, wholeNumber } from "../numbers.js";

interface Options {
  out: string;
  encoder: string;
  weights?: string;
  voxels: [number, number, number];
  images: string[];
  device: string;
  seed: number;
  cache?: string;
  json?: boolean;
}

/** `embed MANIFEST`: what an encoder makes of every case of a cohort. */
export function addEmbed(program: Command): void {
  program
    .command("embed")
    .description(
      "embed every case of a cohort by an encoder, prepared as a study prepares it, for `align` or a script",
    )
    .argument("<manifest>", "the cohort's CSV")
    .requiredOption("--out <file>", "where the embeddings go: safetensors, `embeddings` [cases, features]")
    .option("--encoder <name>", "preset of the encoder", "profound-tiny")
    .option("--weights <file>", "the encoder's weights, safetensors (default: random, drawn from --seed)")
    .option(
      "--voxels <HxWxD>",
      "height, width and depth that volumes are resampled to",
      voxelCounts,
      [200, 200, 96],
    )
    .option("--images <roles...>", "images that fill the encoder's channels in turn: t2w, adc, hbv", ["t2w"])
    .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
    .option("--seed <number>", "seeds the random weights", wholeNumber(0), 0)
    .option("--cache <folder>", "keep preprocessed volumes here (default: a temporary folder)")
    .option("--json", "write one JSON document to stdout")
    .addHelpText(
      "after",
      examples("embed cohort/manifest.csv --weights encoder.safetensors --out embeddings.safetensors"),
    )
    .action((manifest: string, options: Options) =>
      answer(options, async () => {
        const { signal, dispose } = abortOnInterrupt();
        const temporary =
          options.cache === undefined ? await mkdtemp(join(tmpdir(), "transfer-limits-")) : null;
        try {
          const done = await embed(manifest, options, options.cache ?? (temporary as string), signal);
          const left = done.excluded.map(
            ({ case: name, reason }) => `  ${printable(name)} is left out: ${printable(reason)}`,
          );
          const sum = `${count(done.cases.length, "case")}, ${done.features} features each: ${printable(options.out)}`;
          return { value: done, text: [sum, ...left].join("\n") };
        } finally {
          dispose();
          if (temporary !== null) await rm(temporary, { recursive: true, force: true });
        }
      }),
    );
}

async function embed(path: string, options: Options, cache: string, signal: AbortSignal) {
  const { encoders, encoderNames } = await import("../../models/catalogue.js");
  const { readManifest } = await import("../../cohort/manifest.js");
  const { prepareCohort } = await import("../../cohort/preprocess.js");
  const { cropSchema, normaliseSchema } = await import("../../study/cohort-schema.js");
  const { Network } = await import("../../models/network.js");
  const { Tensor } = await import("../../native/tensor.js");
  const { writeSafetensors } = await import("../../native/safetensors.js");
  const { checkDevices } = await import("../../study/devices.js");

  checkDevices([options.device]);
  const encoder = oneOf(encoderNames, options.encoder, "--encoder");
  const { family } = encoders[encoder];
  const images = options.images.map((image) => oneOf(["t2w", "adc", "hbv"] as const, image, "--images"));
  // An encoder of slices fills its channels with adjacent slices itself.
  const channels = family === "dino-vit" ? images.length : encoders[encoder].channels;
  const manifest = await readManifest(path);
  const prepared = await prepareCohort(
    manifest,
    { voxels: options.voxels, crop: cropSchema.parse({}), normalise: normaliseSchema.parse({}) },
    { cache, signal },
  );

  using network = await Network.create({ encoder, device: options.device, seed: options.seed });
  if (options.weights !== undefined) await network.loadCheckpoint(options.weights, { fresh: true });
  const excluded = [...prepared.excluded];
  const cases: string[] = [];
  const rows: InstanceType<typeof Tensor>[] = [];
  try {
    for (const one of prepared.cases) {
      throwIfAborted(signal);
      const lacking = images.find((image) => !one.volumes.includes(image));
      if (lacking !== undefined) {
        excluded.push({ case: one.id, file: null, reason: `it has no ${lacking}` });
        continue;
      }
      rows.push(await embedCase(network, one, images, channels, options.device));
      cases.push(one.id);
    }
    if (rows.length === 0)
      throw new TransferLimitsError("BAD_MANIFEST", `${path} has no case that can be embedded`);
    using embeddings = await Tensor.gather(rows, [...rows.keys()]); // [cases, features]
    await writeSafetensors(options.out, { embeddings }, { cases: JSON.stringify(cases), encoder });
    return { output: options.out, cases, features: embeddings.shape[1] ?? 0, excluded };
  } finally {
    for (const row of rows) row.dispose();
  }
}

type Prepared = import("../../cohort/preprocess.js").PreparedCase;
type Encoder = import("../../models/network.js").Network;

/** The pooled features [features] of one case. */
async function embedCase(
  network: Encoder,
  prepared: Prepared,
  images: VolumeRole[],
  channels: number,
  device: string,
) {
  const { openCase } = await import("../../tasks/case-volumes.js");
  const { stackChannels } = await import("../../tasks/task.js");
  const { Tensor } = await import("../../native/tensor.js");
  const volumes = await openCase(prepared, device);
  const loaded = [];
  try {
    for (const image of images) loaded.push(await volumes.load(image));
    using stacked = await stackChannels(loaded, channels, "repeat"); // [C, D, H, W]
    using input = await Tensor.gather([stacked], [0]); // [1, C, D, H, W]
    const { pooled, stages } = await network.embed(input);
    for (const stage of stages) stage.dispose();
    try {
      return await pooled.select(0, 0);
    } finally {
      pooled.dispose();
    }
  } finally {
    for (const tensor of loaded) tensor.dispose();
  }
}

function oneOf<Name extends string>(names: readonly Name[], name: string, option: string): Name {
  const found = names.find((known) => known === name);
  if (found !== undefined) return found;
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `Expected one of ${names.join(", ")} for ${option} but received "${name}"`,
  );
}
