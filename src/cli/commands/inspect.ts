import type { Command } from "commander";
import type { ImageInspection } from "../../cohort/inspect-image.js";
import { expected } from "../../common/errors.js";
import type { ScriptInspection } from "../../models/checkpoints/script-archive.js";
import { type Answer, answer } from "../answer.js";
import { examples } from "../examples.js";
import { count, number, printable, table } from "../format.js";
import { inspectWeights, isWeights, type WeightsInspection } from "../inspect-weights.js";

/** `inspect FILE`: what an image or a file of weights is. */
export function addInspect(program: Command): void {
  program
    .command("inspect")
    .description(
      "say what a file is. An image: format, shape, spacing, orientation, range; weights: format, every tensor, whose they are; " +
        "a TorchScript module: its methods, example and tensors, without running it",
    )
    .argument(
      "<file>",
      "an image (NIfTI, MHA, MHD, NRRD), weights (PyTorch, safetensors), or a TorchScript module",
    )
    .option(
      "--of <image>",
      "the file is a mask: check that it lies on this image, by position in the patient",
    )
    .option(
      "--root <folder>",
      "the data file that an image's header names may lie anywhere in this folder (default: the image's own)",
    )
    .option(
      "--weights-state <name>",
      "which of several sets of weights in the file is meant, such as model_ema",
    )
    .option("--json", "write one JSON document to stdout")
    .addHelpText(
      "after",
      examples(
        "inspect t2w.nii.gz --json",
        "inspect lesion.nii.gz --of t2w.nii.gz",
        "inspect profound.pth.tar",
      ),
    )
    .addHelpText(
      "after",
      "\nAn image with voxels that are not finite is described, but refused by a study: exit status 1.",
    )
    .action((file: string, options: { of?: string; root?: string; weightsState?: string; json?: boolean }) =>
      answer(options, async () => {
        if (await isWeights(file)) {
          const { inspectScript } = await import("../../models/checkpoints/script-archive.js");
          const script = options.weightsState === undefined ? await inspectScript(file) : null;
          if (script !== null) return { value: script, text: scriptText(script) };
          const weights = await inspectWeights(file, options.weightsState);
          return { value: weights, text: weightsText(weights) };
        }
        if (options.weightsState !== undefined)
          throw expected("a file of weights, which --weights-state is for,", "the file", file);
        return inspectAsImage(file, options);
      }),
    );
}

async function inspectAsImage(file: string, { of, root }: { of?: string; root?: string }): Promise<Answer> {
  const where = root === undefined ? {} : { root };
  const { inspectImage } = await import("../../cohort/inspect-image.js");
  const image = await inspectImage(file, where);
  if (of !== undefined) {
    const { readImage } = await import("../../cohort/image.js");
    const { checkCovers } = await import("../../cohort/mask-coverage.js");
    const { labelled } = await import("../../cohort/mask-values.js");
    const mask = await labelled(await readImage(file, where), null);
    checkCovers(mask.image, await readImage(of, where));
  }
  const notFinite = image.nanVoxels + image.infiniteVoxels > 0;
  if (notFinite) process.stderr.write(`${printable(`${file}: ${image.warnings.join(" ")}`)}\n`);
  return { value: image, text: imageText(image), failed: notFinite };
}

function imageText(image: ImageInspection): string {
  const triple = (values: readonly number[]) =>
    values.map((value) => Number(value.toPrecision(5))).join(" x ");
  const range = image.range
    ? `${image.range.map(number).join(" to ")}, mean ${number(image.mean ?? 0)}`
    : "none";
  const rows = [
    ["file", printable(image.path)],
    [
      "format",
      `${image.format}${image.compressed ? ", compressed" : ""}, voxels stored as ${image.storedType}`,
    ],
    ["shape", `${image.shape.join(" x ")} (depth x height x width)`],
    ...(image.volumes.length > 1 ? [["volumes", String(image.volumes.length)]] : []),
    ["spacing", `${triple(image.spacing)} mm`],
    ["orientation", `${image.orientation} (where the axes i, j, k point)`],
    ["origin", `${image.origin.map((value) => Number(value.toPrecision(6))).join(", ")} mm (LPS)`],
    ["range", range],
    ...image.warnings.map((warning) => ["warning", printable(warning)]),
  ];
  return rows.map(([name, value]) => `${name?.padEnd(12)} ${value}`).join("\n");
}

/** What a study says of a module, and what of it nobody but its author knows. */
function scriptText(script: ScriptInspection): string {
  const { path, bytes, sha256, module, made, example, methods, parameters, tensors } = script;
  const facts = [
    ["file", path],
    [
      "format",
      `TorchScript, ${bytes.toLocaleString("en")} bytes: ${made} from ${module}; read as text, nothing was run`,
    ],
    ["SHA-256", sha256],
    ...(example === null ? [] : [["example", example.map((shape) => shape.join(" x ")).join(", ")]]),
    ...methods.map((method) => ["method", method]),
    ["weights", `${count(tensors.length, "tensor")}, ${parameters.toLocaleString("en")} parameters`],
    ...(parameters === 0
      ? [
          [
            "warning",
            "it was frozen, so that its weights are constants: it can be no encoder. Export it without",
          ],
        ]
      : []),
  ];
  const rows = tensors.map(({ name, dtype, shape, buffer }) => [
    printable(name),
    `${dtype}${buffer ? ", buffer" : ""}`,
    shape.join(" x ") || "scalar",
  ]);
  return factsAndTensors(facts, rows);
}

/** What is known of a file, a line each, above the table of its tensors. */
const factsAndTensors = (facts: readonly string[][], rows: string[][]): string =>
  [
    ...facts.map(([name, value]) => printable(`${(name ?? "").padEnd(12)} ${value}`)),
    "",
    table(["tensor", "type", "shape"], rows),
  ].join("\n");

function weightsText(weights: WeightsInspection): string {
  const { path, format, parameters, tensors, state, besides, metadata, architecture } = weights;
  const facts = [
    ["file", path],
    ["format", `${format}, ${weights.bytes.toLocaleString("en")} bytes`],
    ["SHA-256", weights.sha256],
    [
      "weights",
      `${count(tensors.length, "tensor")}, ${parameters.toLocaleString("en")} numbers` +
        `${state === "" ? "" : `, under ${state}`}${wrapperWords(weights)}`,
    ],
    ...weights.alternatives
      .slice(0, 5)
      .map((other) => [
        "or weights",
        `${count(other.tensors, "tensor")}${other.state && ` under ${other.state}`}`,
      ]),
    ...(weights.alternatives.length > 0 && weights.chosen !== "named"
      ? [["", `taken by its name; --weights-state names another, in a study models[].weightsState`]]
      : []),
    ["encoder", architecture === null ? "none that is known" : architectureText(architecture)],
    ...weights.keyMaps.map(({ name, title, coverage }) => [
      "key map",
      `${name} (${title})${coverage === null ? "" : `: ${(Math.floor(coverage * 1000) / 10).toFixed(1)} % of the encoder`}`,
    ]),
    ...lacksOf(weights.keyMaps[0]),
    ...(weights.unknown.length === 0
      ? []
      : [["not run", shortened(weights.unknown.slice(0, 10).join(", "))]]),
    ...besides
      .filter(({ state: name }) => !weights.alternatives.some((other) => other.state === name))
      .slice(0, 5)
      .map((group) => ["besides", `${count(group.tensors, "tensor")} under ${group.state}`]),
    ...(besides.length > 5 ? [["besides", `${besides.length - 5} more groups of tensors`]] : []),
    ...Object.entries(metadata).map(([key, value]) => [key, shortened(JSON.stringify(value))]),
  ];
  const rows = tensors.map(({ name, dtype, shape }) => [
    printable(name),
    dtype,
    shape.join(" x ") || "scalar",
  ]);
  return factsAndTensors(facts, rows);
}

/** The wrappers in the names: what most begin with, or all that stand in some. */
function wrapperWords({ prefix, wrappers }: WeightsInspection): string {
  if (wrappers.length === 0) return "";
  const within = wrappers.filter((wrapper) => !prefix.includes(wrapper));
  return `${prefix === "" ? "" : `, names with ${prefix}`}${within.length === 0 ? "" : `, some names with ${within.join(" ")}`}`;
}

/** What keeps the best key map from covering the whole encoder, by name. */
function lacksOf(best: WeightsInspection["keyMaps"][number] | undefined): string[][] {
  if (best === undefined) return [];
  const shape = (extents: readonly number[]) => extents.join(" x ") || "scalar";
  const misfits = best.misfits.map(
    ({ from, shape: stored, parameter, expected }) =>
      `${from}, ${shape(stored)}, is no ${parameter}, ${shape(expected)}`,
  );
  const shown = (name: string, all: readonly string[]) => [
    ...all.slice(0, 5).map((text) => [name, text]),
    ...(all.length > 5 ? [[name, `and ${all.length - 5} more`]] : []),
  ];
  return [...shown("does not fit", misfits), ...shown("missing", best.missing)];
}

const shortened = (text: string): string => (text.length > 200 ? `${text.slice(0, 200)}...` : text);

function architectureText({ encoder, assumed }: NonNullable<WeightsInspection["architecture"]>): string {
  const { family, ...sizes } = encoder;
  const shown = Object.entries(sizes).map(
    ([name, value]) => `${name} ${[value].flat().join(", ")}${assumed.includes(name) ? " (assumed)" : ""}`,
  );
  return `${family}: ${shown.join("; ")}`;
}
