import { productOf } from "../../common/numbers.js";
import type { ParameterInfo, PlacedNetwork } from "../../native/placed-network.js";
import { disposeNamed } from "../../native/tensor.js";
import type { LoadReport } from "../checkpoints/load-report.js";
import { ofEncoder } from "../encoder-names.js";
import { type FidelityCheck, flagged, notMeasurable, sound } from "./check.js";
import { short } from "./numbers.js";

/** Fewer tensors than these tell nothing. */
const fewestTensors = 4;
/** From this share on they are no accident: what no loss reaches stays as drawn too, such as a norm that pretraining leaves out. */
const leastShare = 0.25;
/** Of the embedding of the probe volume: less is hardly a change against random weights. */
const leastChange = 1e-3;

/** How many tensors of an encoder are as a fresh network's are, of those that tell. */
interface AsDrawn {
  looked: number;
  asDrawn: number;
  example: string | null;
}

/**
 * Counts tensors that training has never touched. Gains, offsets and running statistics of norms are drawn as one number
 * throughout, which no step of an optimiser leaves them; where there are none, kernels that PyTorch drew keep exactly
 * within its bound, 1 / √fan-in.
 */
async function asDrawn(network: PlacedNetwork): Promise<AsDrawn> {
  const own = network.parameters.filter(ofEncoder(network));
  const isVector = ({ shape }: ParameterInfo) => shape.length === 1 && (shape[0] as number) > 1;
  const norms = own.filter(
    (one) => isVector(one) && /weight$|gamma$|beta$|running_(?:mean|var)$/.test(one.name),
  );
  const found =
    norms.length >= fewestTensors
      ? await count(network, norms, (values) => values.every((value) => value === values[0]))
      : await count(
          network,
          own.filter(({ shape, buffer }) => !buffer && shape.length >= 2),
          withinBound,
        );
  return found;
}

async function count(
  network: PlacedNetwork,
  parameters: readonly ParameterInfo[],
  isAsDrawn: (values: Float32Array, shape: readonly number[]) => boolean,
): Promise<AsDrawn> {
  let [looked, drawn] = [0, 0];
  let example: string | null = null;
  for (const { name, shape } of parameters) {
    const state = await network.state([name]);
    try {
      const values = (await state[name]?.toArray()) as Float32Array;
      looked++;
      if (!isAsDrawn(values, shape)) continue;
      drawn++;
      example ??= name;
    } finally {
      disposeNamed(state);
    }
  }
  return { looked, asDrawn: drawn, example };
}

/** Whether numbers fill the range that PyTorch draws a kernel from to its very end, and none has left it. */
function withinBound(values: Float32Array, [, ...rest]: readonly number[]): boolean {
  const bound = 1 / Math.sqrt(productOf(rest));
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  return values.length >= 100 && largest <= bound * (1 + 1e-6) && largest >= bound * (1 - 20 / values.length);
}

/**
 * Weights that did not load: that are as a fresh network's are, that left the encoder's answers as they were, or that
 * the file did not hold.
 *
 * @param report of loading them; null for an encoder that comes with its own
 * @param pretrained whether their file says that this package pretrained them
 */
export async function checkWeights(
  network: PlacedNetwork,
  report: LoadReport | null,
  pretrained: boolean,
): Promise<FidelityCheck> {
  const name = "weights";
  const { looked, asDrawn: untouched, example } = await asDrawn(network);
  const share = looked === 0 ? 0 : untouched / looked;
  const missing = (report?.missing ?? []).filter(({ expected }) => !expected);
  const change = report?.embedding?.change ?? null;
  const measured = { untouchedShare: share, tensors: looked, missing: missing.length, change };
  if (share >= leastShare) {
    const fresh = `${untouched} of ${looked} tensors that training changes first are as a fresh network's are, such as ${example}`;
    // They loaded as they were written: what its pretraining did is told, and the study goes on.
    const words = pretrained
      ? `${fresh}: its pretraining has not reached them.`
      : `${fresh}: these weights were never trained, or were not put into the network before it was saved.`;
    return flagged(name, words, measured, !pretrained);
  }
  if (change !== null && !(change >= leastChange))
    return flagged(
      name,
      `Loading changed the embedding of the probe volume by ${short(change)} of its length against random weights: the weights did not load.`,
      measured,
      !pretrained,
    );
  if (missing.length > 0)
    return flagged(
      name,
      `The file holds no values for ${missing.length} of the encoder's parameters, such as ${missing[0]?.name}, which keep random ones.`,
      measured,
    );
  if (looked < fewestTensors)
    return notMeasurable(
      name,
      "It has too few layers to tell weights that were trained from fresh ones.",
      measured,
    );
  const recorded =
    report?.orientation.verdict === "as recorded" ? ", and embed the probe volume as recorded" : "";
  return sound(
    name,
    `${report === null ? "They" : `${report.loaded.length} tensors were loaded; they`} bear the marks of training${recorded}.`,
    measured,
  );
}
