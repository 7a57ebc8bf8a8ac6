import type { CaseVolumes } from "../../cohort/case-volumes.js";
import { TransferLimitsError, throwIfAborted } from "../../common/errors.js";
import { productOf } from "../../common/numbers.js";
import { type RandomStream, randomStream } from "../../common/random.js";
import type { FeaturesAlong, PlacedNetwork, VolumeFeatures } from "../../native/placed-network.js";
import { Tensor } from "../../native/tensor.js";
import type { CaseScore } from "../../results/cell.js";
import type { Assessment, Judgement, Sample, Task } from "../../tasks/task.js";
import type { FeatureStore } from "./features.js";

/** A task, for whoever answers: what is needed to show a case. */
export interface Presentation {
  task: Task;
  /** Channels of an input. */
  channels: number;
  /** The study's seed. */
  seed: number;
}

/** A task, for one network. */
export interface NetworkPresentation extends Presentation {
  network: PlacedNetwork;
  /** Where a frozen encoder's features of the cases are kept; null: they are computed anew. */
  features: FeatureStore | null;
}

/**
 * What chance decides when a case is tested is drawn from a stream of the case's own: every comparator and every seed
 * is tested on the same inputs.
 */
const evaluationDraw = (seed: number, task: Task, caseId: string): RandomStream =>
  randomStream(seed, "evaluation", task.name, caseId);

/** The metric of a set, and how each case was answered. */
export interface Evaluation {
  assessment: Assessment;
  cases: CaseScore[];
}

/** A case as it is shown. `input` is the sample's, with one in front. */
export interface Shown {
  volumes: CaseVolumes;
  sample: Sample;
  input: Tensor;
  /** The case's own stream, for what chance decides about the answer. */
  draw: RandomStream;
}

/** Who answers cases: with an answer of a network's shape and, where there is an encoder, its features of the input. */
export type Answerer = (shown: Shown) => Promise<{ prediction: Tensor; features: VolumeFeatures | null }>;

/** Sees each sample with its answer and, where there is an encoder, the features of its input, along the encoder too. */
export type Visit = (
  sample: Sample,
  prediction: Tensor,
  features: VolumeFeatures | FeaturesAlong | null,
) => Promise<void>;

/**
 * The metric of a set of cases, of which there is at least one, whoever answers them.
 *
 * @throws `NOT_FINITE` where an answer or an embedding holds NaN or infinity: no metric of it would mean anything
 */
export async function evaluateAnswers(
  { task, channels, seed }: Presentation,
  cases: readonly CaseVolumes[],
  signal: AbortSignal,
  answerer: Answerer,
  visit?: Visit,
): Promise<Evaluation> {
  const judged: CaseScore[] = [];
  for (const volumes of cases) {
    throwIfAborted(signal);
    const draw = evaluationDraw(seed, task, volumes.case);
    using sample = await task.sample(volumes, channels, draw);
    using input = await Tensor.gather([sample.input], [0]);
    using target = await Tensor.gather([sample.reference ?? sample.target], [0]);
    const { prediction, features } = await answerer({ volumes, sample, input, draw });
    try {
      await refuseNotFinite("answer", prediction, volumes.case);
      if (features) await refuseNotFinite("embedding", features.pooled, volumes.case);
      const [judgement] = await task.judge(prediction, target, volumes.spacing);
      judged.push({ case: volumes.case, patient: volumes.patient, ...(judgement as Judgement) });
      await visit?.(sample, prediction, features);
    } finally {
      prediction.dispose();
      features?.[Symbol.dispose]();
    }
  }
  return { assessment: task.assess(judged, cases), cases: judged };
}

/** The metric of a set of cases, as a network answers them. */
export const evaluate = (
  present: NetworkPresentation,
  cases: readonly CaseVolumes[],
  signal: AbortSignal,
  visit?: Visit,
): Promise<Evaluation> =>
  evaluateAnswers(
    present,
    cases,
    signal,
    async ({ volumes, sample, input, draw }) => {
      const features =
        present.task.answer && !visit ? null : await featuresOf(present, volumes, input, visit !== undefined);
      try {
        return { prediction: await answerTo(present, sample, input, features, draw, signal), features };
      } catch (error) {
        features?.[Symbol.dispose]();
        throw error;
      }
    },
    visit,
  );

async function refuseNotFinite(what: "answer" | "embedding", tensor: Tensor, id: string): Promise<void> {
  const wrong = await tensor.countNotFinite();
  if (wrong === 0) return;
  const all = productOf(tensor.shape);
  throw new TransferLimitsError(
    "NOT_FINITE",
    `Expected finite numbers, but of the network's ${what} to case ${id} ${wrong} of ${all} values are NaN or infinite. Look ` +
      "at the weights with inspect, lower training.learningRate, or set training.gradientClip",
  );
}

/** The encoder's features of a sample, kept ones where there are; null for a network without an encoder. */
async function featuresOf(
  { task, network, channels, seed, features: store }: NetworkPresentation,
  volumes: CaseVolumes,
  input: Tensor,
  along: boolean,
): Promise<VolumeFeatures | FeaturesAlong | null> {
  if ("model" in network.spec) return null;
  if (!store) return along ? network.embedAlong(input) : network.embed(input);
  const name = `evaluation ${volumes.case}`;
  await store.ensure(name, () => task.sample(volumes, channels, evaluationDraw(seed, task, volumes.case)));
  return store.batch([name]);
}

/** The answer to a sample, without a second run of the encoder where its features are all that it takes. */
function answerTo(
  { task, network }: NetworkPresentation,
  sample: Sample,
  input: Tensor,
  features: VolumeFeatures | null,
  draw: RandomStream,
  signal: AbortSignal,
): Promise<Tensor> {
  if (task.answer) return task.answer((question) => network.forward(question), sample, draw, signal);
  return features ? network.decode(features, input) : network.forward(input);
}
