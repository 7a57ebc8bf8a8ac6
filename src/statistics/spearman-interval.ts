import { randomStream } from "../common/random.js";
import { normal975 } from "./normal.js";

/** Up to so many points the interval is by simulation; above, an approximation covers as well. */
const mostSimulated = 25;
/** Samples that stand for all samples of a relation. */
const samples = 4_000;
const outside = 0.025;
/** Bisections: the ends are found to 0.0005, closer than so many samples tell. */
const halvings = 12;

/** Intervals rest on n and r alone, and are asked for again and again. */
const known = new Map<string, [number, number]>();
const mostKnown = 1_000;

/**
 * A 95 % interval of Spearman's correlation, for values that are normal after a monotone change of each column (ranks do
 * not see such a change): those relations under which a sample's rank correlation as high as `r`, and one as low, come
 * about in at least 2.5 % of samples. Up to 25 points those are simulated, with one stream for all; above, Fisher's z
 * with the standard error of Bonett & Wright (2000), sqrt((1 + r²/2) / (n - 3)), which covers too rarely below.
 */
export function spearmanInterval(n: number, r: number): [number, number] {
  if (n > mostSimulated) {
    const z = Math.atanh(r);
    const half = normal975 * Math.sqrt((1 + r ** 2 / 2) / (n - 3));
    return [Math.tanh(z - half), Math.tanh(z + half)];
  }
  const key = `${n} ${r.toFixed(12)}`;
  let interval = known.get(key);
  if (!interval) {
    const lowEnd = lowest(n, r);
    const highEnd = -lowest(n, -r);
    interval = [lowEnd, highEnd];
    if (known.size >= mostKnown) known.clear();
    known.set(key, interval);
  }
  return [...interval];
}

/** The weakest relation under which samples reach `r` often enough. */
function lowest(n: number, r: number): number {
  // The sum of squared differences of ranks falls as r rises.
  const most = ((1 - r) * (n ** 3 - n)) / 6 + 1e-6;
  const drawn = samplesOf(n);
  const y = new Float64Array(n);
  const often = (rho: number): boolean => {
    const rest = Math.sqrt((1 - rho) * (1 + rho));
    let reached = 0;
    for (const { x, noise } of drawn) {
      // x ascends, so that its ranks are its positions.
      for (let i = 0; i < n; i++) y[i] = rho * (x[i] as number) + rest * (noise[i] as number);
      let squares = 0;
      for (let i = 0; i < n && squares <= most; i++) {
        let rank = 0;
        const own = y[i] as number;
        for (let j = 0; j < n; j++) rank += (y[j] as number) < own ? 1 : 0;
        squares += (rank - i) ** 2;
      }
      if (squares <= most) reached++;
    }
    return reached > outside * samples;
  };
  let [low, high] = [-1, 1];
  for (let i = 0; i < halvings; i++) {
    const middle = (low + high) / 2;
    if (often(middle)) high = middle;
    else low = middle;
  }
  // Spearman's correlation of a normal copula with Pearson's rho.
  return (6 / Math.PI) * Math.asin(low / 2);
}

const drawnSamples = new Map<number, { x: Float64Array; noise: Float64Array }[]>();

function samplesOf(n: number): { x: Float64Array; noise: Float64Array }[] {
  let drawn = drawnSamples.get(n);
  if (!drawn) {
    const random = randomStream(0, "spearman interval", n);
    const column = () => Float64Array.from({ length: n }, () => random.normal());
    drawn = Array.from({ length: samples }, () => ({ x: column().sort(), noise: column() }));
    drawnSamples.set(n, drawn);
  }
  return drawn;
}
