import { PNG } from "pngjs";
import { bytesUri } from "./data-uri.js";

/** Grey values from `low` (black) to `high` (white). */
export interface Window {
  low: number;
  high: number;
}

/** An image ready for the page: its data and the size, in CSS pixels, at which it is shown. */
export interface Picture {
  uri: string;
  width: number;
  height: number;
  bytes: number;
}

/** A slice with its size in pixels and in millimetres a pixel. */
export interface Slice {
  values: Float32Array;
  width: number;
  height: number;
  spacing: { width: number; height: number };
}

/** The size in CSS pixels at which a slice is shown: `side` along its longer side, true to its physical shape. */
export function shownSize(slice: Slice, side: number): { width: number; height: number } {
  const width = slice.width * slice.spacing.width;
  const height = slice.height * slice.spacing.height;
  const scale = side / Math.max(width, height);
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** The window from the 1st to the 99th percentile of what is finite. */
export function percentileWindow(values: ArrayLike<number>): Window {
  const sorted = Float64Array.from(Array.from(values).filter(Number.isFinite)).sort();
  if (sorted.length === 0) return { low: 0, high: 1 };
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] as number;
  const [low, high] = [at(0.01), at(0.99)];
  return high > low ? { low, high } : { low: low - 0.5, high: low + 0.5 };
}

/** A slice as a grey PNG; what is not finite is black. */
export function greyPicture(slice: Slice, window: Window, side: number): Picture {
  const shown = shownSize(slice, side);
  const { values, width, height } = atMost(slice, shown);
  const png = new PNG({ width, height });
  values.forEach((value, pixel) => {
    const share = (value - window.low) / (window.high - window.low);
    png.data.fill(Math.round(255 * clamp(Number.isFinite(share) ? share : 0)), pixel * 4, pixel * 4 + 3);
    png.data[pixel * 4 + 3] = 255;
  });
  const bytes = PNG.sync.write(png, { colorType: 0, inputHasAlpha: true, deflateLevel: 9 });
  return { uri: bytesUri("image/png", bytes), ...shown, bytes: bytes.length };
}

/** A signed difference as a colour PNG: blue below, orange above, black at zero; `limit` is the full colour. */
export function differencePicture(slice: Slice, limit: number, side: number): Picture {
  const shown = shownSize(slice, side);
  const { values, width, height } = atMost(slice, shown);
  const png = new PNG({ width, height });
  values.forEach((value, pixel) => {
    png.data.set([...differenceColour(Number.isFinite(value) ? value / limit : 0), 255], pixel * 4);
  });
  const bytes = PNG.sync.write(png, { colorType: 2, inputHasAlpha: true, deflateLevel: 9 });
  return { uri: bytesUri("image/png", bytes), ...shown, bytes: bytes.length };
}

const steps = 24; // so few colours a sign compress well, and the eye tells no more apart

/** The colour of a difference, from -1 (blue) over 0 (black) to 1 (orange), as three bytes. */
export function differenceColour(share: number): [number, number, number] {
  const strength = Math.round(clamp(Math.abs(share)) * steps) / steps;
  const [red, green, blue] = share < 0 ? [96, 190, 255] : [255, 176, 64];
  return [red, green, blue].map((part) => Math.round(12 + (part - 12) * strength)) as [
    number,
    number,
    number,
  ];
}

/** A slice with no more pixels than it is shown at: larger ones are averaged down, area by area. */
function atMost(slice: Slice, shown: { width: number; height: number }) {
  const width = Math.min(slice.width, shown.width);
  const height = Math.min(slice.height, shown.height);
  if (width === slice.width && height === slice.height) return slice;
  const values = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) values[y * width + x] = areaMean(slice, x, y, width, height);
  }
  return { values, width, height };
}

function areaMean(slice: Slice, x: number, y: number, width: number, height: number): number {
  const [left, right] = [(x * slice.width) / width, ((x + 1) * slice.width) / width];
  const [top, bottom] = [(y * slice.height) / height, ((y + 1) * slice.height) / height];
  let sum = 0;
  let area = 0;
  for (let row = Math.floor(top); row < Math.min(slice.height, Math.ceil(bottom)); row++) {
    const tall = Math.min(bottom, row + 1) - Math.max(top, row);
    for (let column = Math.floor(left); column < Math.min(slice.width, Math.ceil(right)); column++) {
      const share = tall * (Math.min(right, column + 1) - Math.max(left, column));
      sum += share * (slice.values[row * slice.width + column] as number);
      area += share;
    }
  }
  return sum / area;
}

const clamp = (value: number) => Math.min(1, Math.max(0, value));
