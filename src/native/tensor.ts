import { expected } from "../common/errors.js";
import type { DType, TensorHandle, TypedArray } from "./addon.js";
import { addon, call, settle } from "./load.js";

export type { DType, TypedArray } from "./addon.js";

/**
 * An n-dimensional array that lives on a device, outside of JavaScript's heap. Dispose it when done, or declare it
 * with `using`; `Tensor.live` counts those that are not yet disposed.
 *
 * @example
 * using x = Tensor.from(new Float32Array(24), [1, 1, 2, 3, 4]);
 * await x.toArray();
 */
export class Tensor implements Disposable {
  /** @internal The native handle: only `src/native/` looks at it. */
  readonly handle: TensorHandle;

  /** @internal Wraps a native handle; use `Tensor.from`. */
  constructor(handle: TensorHandle) {
    this.handle = handle;
  }

  /**
   * Copies `data` into a new tensor of `shape`, row-major. The type follows the array: Float32Array, Float64Array,
   * BigInt64Array (int64) or Uint8Array.
   *
   * @throws `BAD_INPUT` when the number of elements is not the product of `shape`.
   */
  static from(data: TypedArray, shape: readonly number[], device = "cpu"): Tensor {
    return Tensor.#of(data, shape, device, false);
  }

  /**
   * As `from`, but without a copy on the CPU where `data` is all of an array that this package made, such as an image's:
   * both then share their memory, and neither may be changed while the other is in use.
   */
  static sharing(data: TypedArray, shape: readonly number[], device = "cpu"): Tensor {
    return Tensor.#of(data, shape, device, true);
  }

  static #of(data: TypedArray, shape: readonly number[], device: string, share: boolean): Tensor {
    const known = [Float32Array, Float64Array, BigInt64Array, Uint8Array].some(
      (type) => data instanceof type,
    );
    if (!known) throw expected("a Float32Array, Float64Array, BigInt64Array or Uint8Array", "data", data);
    if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
      throw expected("an array of whole numbers >= 0", "shape", shape);
    }
    const count = shape.reduce((product, size) => product * size, 1);
    if (count !== data.length) {
      throw expected(
        `${count} elements, the product of the shape [${shape.join(", ")}],`,
        "data",
        data.length,
      );
    }
    return new Tensor(call(() => addon().tensorFrom(data, [...shape], device, share)));
  }

  /** The same numbers under another handle: nothing is copied, and each handle is disposed by itself. */
  share(): Tensor {
    return new Tensor(call(() => addon().tensorShare(this.handle)));
  }

  /**
   * Rows of several tensors of one shape, as one new tensor: `[indices.length, ...shape]`, on their device.
   * Indices refer to `bank`.
   */
  static async gather(bank: readonly Tensor[], indices: readonly number[]): Promise<Tensor> {
    return new Tensor(
      await settle(
        addon().tensorGather(
          bank.map((tensor) => tensor.handle),
          [...indices],
        ),
      ),
    );
  }

  /** Draws from the standard normal distribution, float32: the same numbers for a seed on every device. */
  static async normal(shape: readonly number[], seed: number, device = "cpu"): Promise<Tensor> {
    return new Tensor(await settle(addon().tensorNormal([...shape], seed, device)));
  }

  /** The sum of tensors of one shape, each times its weight, as a new tensor. */
  static async combine(parts: readonly (readonly [weight: number, tensor: Tensor])[]): Promise<Tensor> {
    return new Tensor(
      await settle(
        addon().tensorCombine(
          parts.map(([, tensor]) => tensor.handle),
          parts.map(([weight]) => weight),
        ),
      ),
    );
  }

  /** Each element, moved into [low, high], as a new tensor. */
  async clamp(low: number, high: number): Promise<Tensor> {
    return new Tensor(await settle(addon().tensorClamp(this.handle, low, high)));
  }

  /**
   * Fewer slices, as a new tensor: [..., D, H, W] -> [..., D / factor, H, W], each the mean of `factor` consecutive
   * slices, or the first of them.
   */
  async poolDepth(factor: number, method: "mean" | "first"): Promise<Tensor> {
    return new Tensor(await settle(addon().tensorPoolDepth(this.handle, factor, method)));
  }

  /** 1 where an element is greater than `value` and 0 elsewhere, float32, as a new tensor. */
  async threshold(value: number): Promise<Tensor> {
    return new Tensor(await settle(addon().tensorThreshold(this.handle, value)));
  }

  /** The part at `index` along `axis`, which goes away, as a new tensor. */
  async select(axis: number, index: number): Promise<Tensor> {
    return new Tensor(await settle(addon().tensorSelect(this.handle, axis, index)));
  }

  /** The sum of each slice of a volume [D, H, W], in order. */
  async sliceSums(): Promise<number[]> {
    return settle(addon().tensorSliceSums(this.handle));
  }

  /** How many elements of a float32 or float64 tensor on the CPU are NaN or infinite. */
  async countNotFinite(): Promise<number> {
    return settle(addon().tensorCountNotFinite(this.handle));
  }

  /** How many tensors of this process have not been disposed. */
  static get live(): number {
    return addon().liveTensors();
  }

  get shape(): number[] {
    return this.handle.shape;
  }

  get dtype(): DType {
    return this.handle.dtype;
  }

  get device(): string {
    return this.handle.device;
  }

  get disposed(): boolean {
    return this.handle.disposed;
  }

  /** The elements in row-major order, copied to the host once all work queued before has finished. */
  async toArray(): Promise<TypedArray> {
    return settle(addon().tensorToArray(this.handle));
  }

  /** Frees the memory. Calling it again does nothing. */
  dispose(): void {
    this.handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Disposes tensors that stand under names. */
export function disposeNamed(tensors: Record<string, Tensor>): void {
  for (const tensor of Object.values(tensors)) tensor.dispose();
}
