import type { CaseVolumes } from "../../cohort/case-volumes.js";
import type { Tensor } from "../../native/tensor.js";

/** An answer to a task that takes no network. */
export interface TrivialAnswer {
  /** What it is, as tables name it: `cubic interpolation`. */
  name: string;
  /** What was fitted, in words that follow the name: `lesion in at least 3 of 16 training cases`; absent: nothing was. */
  detail?: string;
  /**
   * The answer to a case, of the shape and in the unit of a network's: [1, outputs, D, H, W], or logits [1, classes].
   *
   * @param input of the case's sample, with one in front: [1, C, D, H, W], its first channel the image that is shown
   */
  answer(volumes: CaseVolumes, input: Tensor): Promise<Tensor>;
}

/** What the comparator `trivial` is for a task. It draws nothing at random, and works on the CPU. */
export interface Trivial {
  /** Under which its cells are listed, as a network's are under the name of its architecture: `interpolation`. */
  name: string;
  /**
   * The answers that are tried, fitted to the training cases: the best on the validation set stands, of equally good ones
   * the first.
   *
   * @throws `BAD_MANIFEST` where it needs training cases and there is none, `ABORTED`
   */
  fit(
    training: readonly CaseVolumes[],
    signal: AbortSignal,
  ): Promise<readonly [TrivialAnswer, ...TrivialAnswer[]]>;
}
