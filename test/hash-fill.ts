/**
 * The hash that fills the inputs and parameters of the golden numbers (shared/parity/README.md): `u(name, i)` lies in
 * [-1, 1) and is exact in every language. Also a good source of irregular numbers for a test that needs some.
 */
export function hashFill(name: string, count: number): Float64Array {
  let seed = 2166136261;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 16777619);
  return Float64Array.from({ length: count }, (_, i) => {
    let h = (Math.imul(i, 2654435761) + seed) | 0;
    h = Math.imul(h ^ (h >>> 15), 2246822519);
    h = Math.imul(h ^ (h >>> 13), 3266489917);
    h ^= h >>> 16;
    return ((h >>> 0) / 2 ** 32) * 2 - 1;
  });
}
