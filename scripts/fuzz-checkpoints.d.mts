/** @see fuzz-checkpoints.mjs */
export function readSeeds(folder?: string): { name: string; bytes: Buffer }[];
export function fuzz(options: {
  iterations?: number;
  seconds?: number;
  seed?: number;
  seeds?: { name: string; bytes: Buffer }[];
  onProgress?: (counts: { iterations: number; read: number; refused: number; rss: number }) => void;
}): Promise<{ iterations: number; read: number; refused: number; slowestMilliseconds: number }>;
