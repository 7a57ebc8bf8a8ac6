import { requireOptions, requirePath, requireTexts } from "../common/arguments.js";
import { TransferLimitsError } from "../common/errors.js";
import type { OwnPart, Precision, TrainerHandle } from "./addon.js";
import { addon, settle } from "./load-addon.js";
import { featureHandles, networkHandle, type PlacedNetwork, type VolumeFeatures } from "./placed-network.js";
import type { Ranks } from "./ranks.js";
import { readSafetensors, writeSafetensors } from "./safetensors.js";
import { disposeNamed, handleOf, handleOrNull, Tensor } from "./tensor.js";

/** What `Trainer.save` writes. */
export interface TrainerState {
  /** Steps taken. */
  steps: number;
  /** Moments of AdamW, and a teacher's weights and centre, by name. */
  tensors: Record<string, Tensor>;
}

/** Writes what `Trainer.load` reads: complete or absent. */
export const writeTrainerState = (
  path: string,
  { steps, tensors }: TrainerState,
  metadata: Record<string, string> = {},
): Promise<void> => writeSafetensors(path, tensors, { ...metadata, steps: String(steps) });

/** A loss, with its own settings. Predictions are logits where the task is discrete. */
export type LossSpec =
  /** 1 - Tversky index of sigmoid(logits), per sample then averaged (Salehi 2017); alpha weighs false positives, beta false negatives. */
  | { kind: "tversky"; alpha: number; beta: number; smooth?: number }
  /** Mean absolute error. */
  | { kind: "l1" }
  /** Class-weighted; the target is int64 [N]. */
  | { kind: "cross-entropy"; weights?: number[] }
  /** 1 - SSIM (Gaussian 11, sigma 1.5). */
  | { kind: "ssim"; dataRange: number }
  /** L1 + `ssimWeight` x (1 - SSIM). */
  | { kind: "l1-ssim"; dataRange: number; ssimWeight: number }
  /** Mean squared error on masked patches; the target is the mask, uint8 [N, patches], 1 = masked. */
  | { kind: "masked-autoencoder"; normaliseTargets?: boolean }
  /**
   * Supervised contrast of a `dino-vit`'s patches (Khosla 2020); the target is the lesion mask, uint8 [N, 1, D, H, W]. A
   * patch is lesion where more than `lesionShare` (0.5) of it is; at most `patches` (1024) take part in a step, as many
   * of lesions as of background.
   */
  | ({ kind: "patch-contrast" } & PatchContrastSettings)
  /**
   * `distillationWeight` x the cross-entropy of a teacher's and a student's class tokens (Caron 2021), plus
   * `contrastWeight` x the patch contrast of the global views; for `Trainer.distil` alone.
   */
  | ({
      kind: "self-distillation";
      studentTemperature?: number;
      /** Of the teacher's mean output, which is taken away from it: how much of itself it keeps in a step. */
      centreMomentum?: number;
      distillationWeight?: number;
      contrastWeight?: number;
    } & PatchContrastSettings);

/** Of the contrast between patches. */
export interface PatchContrastSettings {
  /** Divides the cosines of two patches. */
  temperature?: number;
  /** The share of lesion above which a patch counts as one of a lesion, from 0 to below 1. */
  lesionShare?: number;
  /** The most patches that take part in a step. */
  patches?: number;
}

/** How a network is trained. */
export interface TrainerOptions {
  /** What is made small. */
  loss: LossSpec;
  /** Decoupled weight decay of matrices and kernels; vectors (norms, biases, GRN) have none. Default 0.01. */
  weightDecay?: number;
  /** Of AdamW: how much of themselves its two moments keep in a step, each in [0, 1). Default 0.9 and 0.999. */
  betas?: [number, number];
  /** Clip the gradient's global norm to this. Default: no clipping. */
  gradientClip?: number;
  /** Only parameters whose name starts with one of these are trained. Default: all. */
  trainable?: string[];
  /** What a parameter's learning rate is multiplied with, by the parameter's full name. Default: 1 for each. */
  rates?: Record<string, number>;
  /** Weight of the auxiliary head's loss, where the network has one. Default 0.4. */
  auxiliaryWeight?: number;
  /**
   * What forward and backward compute their products and convolutions in. Parameters, their gradients, the optimiser and
   * losses are float32 in any case. `tf32` rounds operands to ten bits on a GPU and is float32 on a CPU. Default `float32`.
   */
  precision?: Precision;
  /**
   * Blocks of ConvNeXts and transformers are computed once more on the way back instead of keeping what they need
   * there: less memory, a forward pass more, the same numbers. Default false.
   */
  checkpointing?: boolean;
  /**
   * On a GPU, a step is recorded as a CUDA graph after three steps on batches of its shape, and played for those that
   * follow: the host starts one graph instead of hundreds of small kernels. Without effect on a CPU and on steps of
   * self-distillation; not beside `checkpointing`. Default false.
   *
   * @throws `BAD_CONFIG` from a step that cannot be recorded
   */
  cudaGraphs?: boolean;
  /**
   * Larger batches go through the network in parts of at most so many samples; gradients and loss add up to those of
   * the batch. Not for networks that train batch norm, nor for the losses `patch-contrast` and `self-distillation`,
   * which look at all samples of a batch at once. Default: batches go through as a whole.
   */
  microBatch?: number;
}

/**
 * What a step of self-distillation sees of some slices: global views, which student and teacher see, and local ones for
 * the student alone. Images are ordered view by view: one view of every slice, then the next.
 */
export interface SliceViews extends Disposable {
  /** How many slices. */
  slices: number;
  /** [views x slices, C, H, W], C the encoder's channels. */
  global: Tensor;
  /** [views x slices, 1, H, W], above 0 in lesions. */
  lesion: Tensor;
  /** [views x slices, C, h, w]; null: none. */
  local: Tensor | null;
  /** Where the slices lie, [views x slices, 2], as in `SliceOptions`; null for an encoder without axis tokens. */
  globalPosition: Tensor | null;
  localPosition: Tensor | null;
}

/** What follows a schedule in self-distillation. */
export interface DistillationSchedule {
  /** How much of itself the teacher keeps in the step; the rest comes from the student. */
  momentum: number;
  /** Divides the teacher's centred outputs before their softmax. */
  teacherTemperature: number;
  /** The prototypes stay as they are in this step. Default false. */
  prototypesFrozen?: boolean;
}

/** What a step saw: the loss before it, and the gradient's global norm before clipping. */
export interface StepReading {
  /** Before the step, over the batch. */
  loss: number;
  /** Over all that is trained. */
  gradientNorm: number;
}

/** How a step is taken: `seed` seeds what is drawn inside it (stochastic depth, dropout). */
export interface StepSettings {
  /** Above 0. */
  learningRate: number;
  /** A whole number >= 0: another one each step. */
  seed: number;
  /**
   * With ranks: which part of the batch of all of them the input is; of self-distillation, in slices.
   *
   * @internal
   */
  part?: OwnPart;
}

/** Trains a network step by step with AdamW. The schedule is the caller's: each step names its learning rate. */
export class Trainer implements Disposable {
  /** @internal */
  readonly handle: TrainerHandle;

  private constructor(handle: TrainerHandle) {
    this.handle = handle;
  }

  /**
   * Makes a trainer of a network, with fresh moments.
   *
   * @param teacher for the loss `self-distillation`: a network built as `network`, whose weights become a copy of the
   * network's and follow them from then on. The trainer saves and restores them with its own state.
   */
  static create(network: PlacedNetwork, options: TrainerOptions, teacher?: PlacedNetwork): Promise<Trainer> {
    return Trainer.createOfRanks(network, options, teacher, null);
  }

  /**
   * As `create`.
   *
   * @internal
   * @param ranks the processes that train together: every step then says which part of their batch its input is, and is the
   * step that one process takes on the whole batch, up to rounding. All begin with the network of rank 0.
   */
  static async createOfRanks(
    network: PlacedNetwork,
    options: TrainerOptions,
    teacher: PlacedNetwork | undefined,
    ranks: Ranks | null,
  ): Promise<Trainer> {
    const handle = networkHandle(network, "network");
    const ofTeacher = teacher === undefined || teacher === null ? null : networkHandle(teacher, "teacher");
    return new Trainer(
      await settle(addon().trainerCreate(handle, options, ofTeacher, ranks?.handle ?? null)),
    );
  }

  /**
   * One step: forward in training mode, loss, backward, clipping, AdamW.
   *
   * @param step.features the encoder's features of the input, where they are known: then the encoder isn't run, and
   * only a head can be trained
   * @throws `BAD_INPUT` where the loss is not finite; parameters are then as before
   */
  async step(
    input: Tensor,
    target: Tensor,
    step: StepSettings & { features?: VolumeFeatures },
  ): Promise<StepReading> {
    return read(await this.enqueue(input, target, step));
  }

  /**
   * The pass forward of a step alone, without a gradient: batch norms of which something is trained take their statistics
   * from the batch, and nothing else changes.
   *
   * @param seed of what is drawn inside
   */
  async settle(input: Tensor, target: Tensor, seed: number): Promise<void> {
    await settle(
      addon().trainerSettle(this.handle, handleOf(input, "input"), handleOf(target, "target"), seed),
    );
  }

  /**
   * As `step`, without a wait for its numbers: a GPU has the next step in its queue before this one is done. Input and
   * target may lie on another device. A step whose loss is not finite changes nothing.
   *
   * @returns loss and gradient norm, of shape `[2]`, on the network's device; the caller disposes it
   */
  async enqueue(
    input: Tensor,
    target: Tensor,
    step: StepSettings & { features?: VolumeFeatures },
  ): Promise<Tensor> {
    requireOptions(step, "step");
    const handle = await settle(
      addon().trainerStep(
        this.handle,
        handleOf(input, "input"),
        handleOf(target, "target"),
        step.features ? featureHandles(step.features) : null,
        step.learningRate,
        step.seed,
        step.part ?? null,
      ),
    );
    return new Tensor(handle);
  }

  /**
   * One step of self-distillation: student and teacher see the views, the student takes a step as in `step`, the
   * teacher's centre and weights follow.
   *
   * @throws `BAD_INPUT` for a trainer without a teacher, and for views that do not fit, or as `step`
   */
  async distil(views: SliceViews, step: StepSettings & DistillationSchedule): Promise<StepReading> {
    return read(await this.enqueueDistillation(views, step));
  }

  /** As `distil`, without a wait for its numbers; as `enqueue`. */
  async enqueueDistillation(views: SliceViews, step: StepSettings & DistillationSchedule): Promise<Tensor> {
    requireOptions(views, "views");
    requireOptions(step, "step");
    const { slices, global, lesion, local, globalPosition, localPosition } = views;
    const { learningRate, seed, part = null, ...schedule } = step;
    const handles = {
      slices,
      global: handleOf(global, "views.global"),
      lesion: handleOf(lesion, "views.lesion"),
      local: handleOrNull(local, "views.local"),
      globalPosition: handleOrNull(globalPosition, "views.globalPosition"),
      localPosition: handleOrNull(localPosition, "views.localPosition"),
    };
    return new Tensor(
      await settle(addon().trainerDistil(this.handle, { ...handles, ...schedule }, learningRate, seed, part)),
    );
  }

  /** Copies of the optimiser's moments, and of a teacher's weights and centre, by name; the caller disposes them. */
  async state(): Promise<TrainerState> {
    const { steps, tensors } = await settle(addon().trainerState(this.handle));
    const named = tensors.map(({ name, tensor }) => [name, new Tensor(tensor)] as const);
    return { steps, tensors: Object.fromEntries(named) };
  }

  /** Writes the optimiser's moments and step count, and a teacher's weights and centre, as safetensors, atomically. */
  async save(path: string, metadata: Record<string, string> = {}): Promise<void> {
    requirePath(path, "path");
    requireTexts(metadata, "metadata");
    const state = await this.state();
    try {
      await writeTrainerState(path, state, metadata);
    } finally {
      disposeNamed(state.tensors);
    }
  }

  /** Restores what `save` wrote, so that training goes on bit for bit. */
  async load(path: string): Promise<Record<string, string>> {
    requirePath(path, "path");
    const file = await readSafetensors(path);
    const tensors: Tensor[] = [];
    try {
      for (const name of file.names) tensors.push(await file.tensor(name));
      const handles = tensors.map((tensor) => tensor.handle);
      await settle(addon().trainerAssign(this.handle, Number(file.metadata.steps), file.names, handles));
    } finally {
      for (const tensor of tensors) tensor.dispose();
    }
    return file.metadata;
  }

  /** Frees the memory of its moments; the network stays. Calling it again does nothing. */
  dispose(): void {
    this.handle.dispose();
  }

  /** As `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The numbers of a step that was enqueued; its tensor is disposed. */
async function read(queued: Tensor): Promise<StepReading> {
  using reading = queued;
  const [loss, gradientNorm] = (await reading.toArray()) as Float32Array as unknown as [number, number];
  if (!Number.isFinite(loss)) {
    throw new TransferLimitsError(
      "BAD_INPUT",
      `Expected steps whose training loss stays finite but received ${loss}: lower the learning rate, or clip gradients`,
    );
  }
  return { loss, gradientNorm };
}
