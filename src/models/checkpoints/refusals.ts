import type { PlacedNetwork } from "../../native/placed-network.js";
import { architectureOf } from "../architectures/index.js";
import type { CheckpointFile } from "./checkpoint-file.js";
import { keyMaps } from "./key-maps/index.js";
import type { LoadReport } from "./load-report.js";
import { bearsSigns, type Match } from "./matching.js";

const some = (names: readonly string[]): string =>
  names.slice(0, 3).join(", ") + (names.length > 3 ? " and others" : "");

/** Tensors that stand for a parameter and cannot become it, or that stand for the same one. */
export function matchRefusals({ misfits, ambiguous }: Match, path: string): string[] {
  const reasons: string[] = [];
  const [misfit] = misfits;
  if (misfit) {
    const { from, shape, dtype, parameter, permuted } = misfit;
    const others = misfits.length > 1 ? ` So it is with ${misfits.length - 1} more tensors.` : "";
    reasons.push(
      `${path} does not fit the network: expected shape [${parameter.shape.join(", ")}] for ${parameter.name} but ` +
        `received ${dtype} [${shape.join(", ")}] of ${from}${permuted ? ", which has the axes in another order" : ""}.${others}`,
    );
  }
  const [twice] = ambiguous;
  if (twice) reasons.push(`${path} holds several tensors for ${twice.parameter}: ${some(twice.from)}.`);
  return reasons;
}

/**
 * That a file's encoder is another one than the network's, though it holds all that the network asks for: it has blocks that
 * the network lacks, or parts that the family never has. What was loaded of it would answer other than it does.
 */
export function otherEncoderRefusals(
  { keyMap, unexpected, missing, fits, misfits }: Match,
  path: string,
  { spec }: PlacedNetwork,
): string[] {
  if (!("encoder" in spec)) return [];
  for (const { name, means } of keyMap.foreign ?? []) {
    const pattern = new RegExp(name);
    const found = unexpected.filter(({ ours }) => pattern.test(ours)).map((tensor) => tensor.name);
    if (found.length > 0)
      return [
        `${path} is of ${means}, which ${keyMap.family} does not have: ${some(found)}. Without them its encoder would answer ` +
          "other than it was trained to. Export it as TorchScript (docs/encoders.md)",
      ];
  }
  const { block } = architectureOf(spec.encoder).names;
  const blockOf = (ours: string): string | null =>
    block.exec(ours)?.[0] ?? block.exec(`encoder.${ours}`)?.[0] ?? null;
  const own = [...missing, ...[...fits, ...misfits].map(({ parameter }) => parameter)];
  const known = new Set(own.map(({ name }) => blockOf(name)));
  const beyond = unexpected.filter(({ ours }) => {
    const found = blockOf(ours);
    return found !== null && !known.has(found);
  });
  if (beyond.length === 0) return [];
  const blocks = new Set(beyond.map(({ ours }) => blockOf(ours)));
  return [
    `${path} holds ${blocks.size === 1 ? "a block" : `${blocks.size} blocks`} that the network lacks, such as ` +
      `${beyond[0]?.name}: its encoder is larger than the one that is asked for. Expected the encoder that the file was made ` +
      "from; inspect tells it.",
  ];
}

/** Parameters that a file holds only as something that depends on a class that is not run. */
export function withheldRefusals(
  parameters: ReadonlyMap<string, { name: string }>,
  { withheld }: CheckpointFile,
  path: string,
): string[] {
  const [first] = parameters;
  if (first === undefined) return [];
  const [from, { name }] = first;
  const others = parameters.size > 1 ? ` So it is with ${parameters.size - 1} more.` : "";
  return [
    `${path} holds ${from}, which is ${name}, as something that depends on ${JSON.stringify(withheld.get(from)?.slice(0, 120))}. ` +
      `Nothing in a file is run, so it cannot be read; save it as a plain tensor.${others}`,
  ];
}

/** Too little of the encoder in a file, with the key map that came nearest and what is missing. */
export function coverageRefusal(
  {
    coverage,
    keyMap,
    missing,
    leftOver,
    misfits,
  }: Pick<LoadReport, "coverage" | "keyMap" | "missing" | "leftOver" | "misfits">,
  file: CheckpointFile,
  { spec }: PlacedNetwork,
  least: number,
): string[] {
  const hasEncoder = "encoder" in spec;
  const share = hasEncoder ? coverage.encoder : coverage.network;
  if (share >= least && (!hasEncoder || coverage.encoderTensors >= least)) return [];
  const percent = (value: number) => `${Number((value * 100).toFixed(1))} %`;
  const lacking = missing.filter(({ expected }) => !expected).map(({ name }) => name);
  const parts = [
    `Expected at least ${percent(least)} of the ${hasEncoder ? "encoder" : "network"}'s parameters in ${file.path} but ` +
      `found ${percent(share)}${hasEncoder ? `, in ${percent(coverage.encoderTensors)} of its tensors` : ""}.`,
    `The closest key map is ${keyMap.name} (${keyMap.title}).`,
  ];
  const other = keyMaps.find(
    (map) => hasEncoder && map.family !== spec.encoder.family && bearsSigns(file, map),
  );
  if (other)
    parts.push(
      `The file looks like ${other.title} (${other.name}), an encoder of the family ${other.family}.`,
    );
  if (lacking.length > 0) parts.push(`Missing are ${lacking.length} tensors, such as ${some(lacking)}.`);
  if (leftOver.length > 0) {
    parts.push(
      `Left over are ${leftOver.length} of the file's ${file.names.length}, such as ${some(leftOver.map(({ name }) => name))}.`,
    );
  }
  if (misfits.length === 0) parts.push("Do the weights belong to this encoder?");
  return [parts.join(" ")];
}
