import { totalmem } from "node:os";
import { requireList, requireShape } from "../common/arguments.js";
import { describe, expected } from "../common/errors.js";
import { productOf } from "../common/numbers.js";
import { outOfMemory } from "../common/system-errors.js";
import type { DType, TensorHandle, TypedArray } from "./addon.js";
import { addon, call, settle } from "./load-addon.js";

export type { DType, TypedArray } from "./addon.js";

/**
 * An n-dimensional array that lives on a device, outside of JavaScript's heap. Dispose it when done, or declare it
 * with `using` where the language has that (TypeScript 5.2, Node 24; not Node 20); `Tensor.live` counts those that are not yet disposed.
 *
 * @example
 * import { Tensor } from "transfer-limits";
 *
 * const x = Tensor.from(new Float32Array(24), [1, 1, 2, 3, 4]);
 * console.log(x.shape, await x.toArray());
 * x.dispose();
 */
export class Tensor implements Disposable {
  /** @internal The native handle: only `src/native/` looks at it. */
  readonly handle: TensorHandle;

  /** @internal Wraps a native handle; use `Tensor.from`. */
  constructor(handle: TensorHandle) {
    if (typeof handle !== "object" || handle === null)
      throw expected("a handle that the addon made (use Tensor.from)", "a Tensor", handle);
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
    requireShape(shape);
    const count = productOf(shape);
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
    requireList(indices, "indices", "an array of whole numbers");
    return new Tensor(await settle(addon().tensorGather(handlesOf(bank, "bank"), [...indices])));
  }

  /**
   * Draws from the standard normal distribution, float32. Draw n, in row-major order, follows from `seed` and n alone: the
   * same bits on every device, by any number of threads, in whatever shape.
   */
  static async normal(shape: readonly number[], seed: number, device = "cpu"): Promise<Tensor> {
    requireShape(shape);
    const bytes = 4 * productOf(shape);
    if (bytes > totalmem())
      throw outOfMemory(
        `Expected a tensor of at most the machine's memory, ${totalmem()} bytes, for shape but received ${describe(shape)}`,
      );
    return new Tensor(await settle(addon().tensorNormal([...shape], seed, device)));
  }

  /** The sum of tensors of one shape, each times its weight, as a new tensor. */
  static async combine(parts: readonly (readonly [weight: number, tensor: Tensor])[]): Promise<Tensor> {
    requireList(parts, "parts", "an array of [weight, tensor]");
    for (const [index, part] of parts.entries()) requireList(part, `parts[${index}]`, "[weight, tensor]");
    const handles = parts.map(([, tensor], index) => handleOf(tensor, `parts[${index}][1]`));
    return new Tensor(
      await settle(
        addon().tensorCombine(
          handles,
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

  /** The sizes of its axes, slowest first. @throws `DISPOSED` */
  get shape(): number[] {
    return call(() => handleOf(this, "this").shape);
  }

  /** What its elements are. @throws `DISPOSED` */
  get dtype(): DType {
    return call(() => handleOf(this, "this").dtype);
  }

  /** Where it lies: `cpu` or `cuda:N`. @throws `DISPOSED` */
  get device(): string {
    return call(() => handleOf(this, "this").device);
  }

  /** Whether its memory was freed. */
  get disposed(): boolean {
    return handleOf(this, "this").disposed;
  }

  /** The elements in row-major order, copied to the host once all work queued before has finished. */
  async toArray(): Promise<TypedArray> {
    return settle(addon().tensorToArray(this.handle));
  }

  /** Frees the memory. Calling it again does nothing. */
  dispose(): void {
    this.handle.dispose();
  }

  /** As `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** @internal Not what only has its prototype. */
export const isTensor = (value: unknown): value is Tensor =>
  value instanceof Tensor && Object.hasOwn(value, "handle");

/** @internal The native handle of an argument. @throws `BAD_INPUT` with what came where it is no tensor */
export function handleOf(value: Tensor, name: string): TensorHandle {
  if (!isTensor(value)) throw expected("a Tensor", name, value);
  return value.handle;
}

/** @internal As `handleOf`, of something that may be left out. */
export const handleOrNull = (value: Tensor | null | undefined, name: string): TensorHandle | null =>
  value === undefined || value === null ? null : handleOf(value, name);

/** @internal As `handleOf`, of each entry of an array. */
export function handlesOf(values: readonly Tensor[], name: string): TensorHandle[] {
  requireList(values, name, "an array of Tensors");
  return values.map((value, index) => handleOf(value, `${name}[${index}]`));
}

/** Disposes tensors that stand under names. */
export function disposeNamed(tensors: Record<string, Tensor>): void {
  for (const tensor of Object.values(tensors)) tensor.dispose();
}
