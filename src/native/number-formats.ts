import type { TypedArray } from "./addon.js";

/** The types that tensors are stored as, by PyTorch's names, with the bytes of an element. */
export const storedTypes = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float8_e4m3fn: 1,
  float8_e4m3fnuz: 1,
  float8_e5m2: 1,
  float8_e5m2fnuz: 1,
  float8_e8m0fnu: 1,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint64: 8,
  uint32: 4,
  uint16: 2,
  uint8: 1,
  bool: 1,
  complex128: 16,
  complex64: 8,
} as const;

/** What the elements of a tensor in a file are, by PyTorch's names. @useDeclaredType */
export type StoredType = keyof typeof storedTypes;

/** Turns stored numbers of one type into an array that a tensor can be made from. */
export interface Decoder {
  allocate(count: number): TypedArray;
  /** `count` elements, `stride` apart from `element` on, into `values` from index `start` on. */
  decode(
    view: DataView,
    element: number,
    stride: number,
    count: number,
    values: TypedArray,
    start: number,
    littleEndian: boolean,
  ): void;
}

type Read<Value> = (view: DataView, byte: number, littleEndian: boolean) => Value;

function decoder<Array extends TypedArray>(
  allocate: (count: number) => Array,
  bytes: number,
  read: Read<Array[number]>,
): Decoder {
  return {
    allocate,
    decode: (view, element, stride, count, values, start, littleEndian) => {
      for (let index = 0; index < count; index++)
        (values as Array)[start + index] = read(view, (element + index * stride) * bytes, littleEndian);
    },
  };
}

const float32 = (count: number) => new Float32Array(count);
const float64 = (count: number) => new Float64Array(count);
const int64 = (count: number) => new BigInt64Array(count);
const uint8 = (count: number) => new Uint8Array(count);

/** A float of `exponent` and `mantissa` bits as in IEEE 754, without the special values of the largest exponent. */
function binaryFloat(bits: number, exponent: number, mantissa: number, bias: number): number {
  const sign = (bits >> (exponent + mantissa)) & 1 ? -1 : 1;
  const power = (bits >> mantissa) & (2 ** exponent - 1);
  const fraction = (bits & (2 ** mantissa - 1)) / 2 ** mantissa;
  return sign * (power === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (power - bias));
}

/** IEEE 754 binary16. */
function halfFloat(bits: number): number {
  if (((bits >> 10) & 31) < 31) return binaryFloat(bits, 5, 10, 15);
  if ((bits & 1023) !== 0) return Number.NaN;
  return bits & 0x8000 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

const oneWord = new DataView(new ArrayBuffer(4));
/** The upper half of an IEEE 754 binary32. */
function brainFloat(bits: number): number {
  oneWord.setUint32(0, bits * 65_536);
  return oneWord.getFloat32(0);
}

/** The 256 values of an 8-bit float; formats as in "FP8 Formats for Deep Learning" (Micikevicius et al. 2022). */
const table = (value: (bits: number) => number): Float32Array =>
  Float32Array.from({ length: 256 }, (_, bits) => value(bits));

const eightBits = {
  /** No infinities; the largest code of each sign is NaN. */
  float8_e4m3fn: table((bits) => ((bits & 127) === 127 ? Number.NaN : binaryFloat(bits, 4, 3, 7))),
  /** No infinities and no negative zero, whose code is NaN. */
  float8_e4m3fnuz: table((bits) => (bits === 128 ? Number.NaN : binaryFloat(bits, 4, 3, 8))),
  /** The upper half of a binary16. */
  float8_e5m2: table((bits) => halfFloat(bits * 256)),
  float8_e5m2fnuz: table((bits) => (bits === 128 ? Number.NaN : binaryFloat(bits, 5, 2, 16))),
  /** A power of two: an exponent and nothing else. */
  float8_e8m0fnu: table((bits) => (bits === 255 ? Number.NaN : 2 ** (bits - 127))),
};

const eightBitDecoder = (values: Float32Array): Decoder =>
  decoder(float32, 1, (view, byte) => values[view.getUint8(byte)] as number);

/** How each type is read; complex numbers are not. */
const decoders: Record<StoredType, Decoder | null> = {
  float64: decoder(float64, 8, (view, byte, little) => view.getFloat64(byte, little)),
  float32: decoder(float32, 4, (view, byte, little) => view.getFloat32(byte, little)),
  float16: decoder(float32, 2, (view, byte, little) => halfFloat(view.getUint16(byte, little))),
  bfloat16: decoder(float32, 2, (view, byte, little) => brainFloat(view.getUint16(byte, little))),
  float8_e4m3fn: eightBitDecoder(eightBits.float8_e4m3fn),
  float8_e4m3fnuz: eightBitDecoder(eightBits.float8_e4m3fnuz),
  float8_e5m2: eightBitDecoder(eightBits.float8_e5m2),
  float8_e5m2fnuz: eightBitDecoder(eightBits.float8_e5m2fnuz),
  float8_e8m0fnu: eightBitDecoder(eightBits.float8_e8m0fnu),
  int64: decoder(int64, 8, (view, byte, little) => view.getBigInt64(byte, little)),
  int32: decoder(int64, 4, (view, byte, little) => BigInt(view.getInt32(byte, little))),
  int16: decoder(int64, 2, (view, byte, little) => BigInt(view.getInt16(byte, little))),
  int8: decoder(int64, 1, (view, byte) => BigInt(view.getInt8(byte))),
  /** Above 2^63 - 1 it wraps, as a conversion in LibTorch does. */
  uint64: decoder(int64, 8, (view, byte, little) => view.getBigInt64(byte, little)),
  uint32: decoder(int64, 4, (view, byte, little) => BigInt(view.getUint32(byte, little))),
  uint16: decoder(int64, 2, (view, byte, little) => BigInt(view.getUint16(byte, little))),
  uint8: decoder(uint8, 1, (view, byte) => view.getUint8(byte)),
  bool: decoder(uint8, 1, (view, byte) => (view.getUint8(byte) === 0 ? 0 : 1)),
  complex128: null,
  complex64: null,
};

/** The decoder of a type; null for complex numbers. */
export const decoderOf = (dtype: StoredType): Decoder | null => decoders[dtype];
