import { InvalidArgumentError } from "commander";

/** Parses an option that is a whole number of at least `least`. */
export const wholeNumber =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`Expected a whole number of at least ${least}.`);
    }
    return value;
  };

/** Parses an option that is a positive, finite number. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value <= 0) {
    throw new InvalidArgumentError("Expected a positive number.");
  }
  return value;
}

/** Parses an option that is a finite number, negative ones included. */
export function anyNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("Expected a number.");
  return value;
}

/** Parses an option that is a finite number of at least 0. */
export function nonNegativeNumber(text: string): number {
  const value = anyNumber(text);
  if (value < 0) throw new InvalidArgumentError("Expected a number of at least 0.");
  return value;
}

/** Parses height x width x depth, such as `200x200x96`. */
export function voxelCounts(text: string): [number, number, number] {
  const sizes = /^(\d+)x(\d+)x(\d+)$/.exec(text)?.slice(1).map(Number);
  if (!sizes?.every((size) => size >= 8 && size <= 4096)) {
    throw new InvalidArgumentError(
      "Expected height x width x depth, such as 200x200x96, each from 8 to 4096.",
    );
  }
  return sizes as [number, number, number];
}
