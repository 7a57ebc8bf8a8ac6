import type { Example } from "../../results/read-examples.js";
import { outline } from "../contours.js";
import { fixed, significant } from "../format.js";
import type { Gallery, GalleryCase } from "../gallery.js";
import { type Html, html, trusted } from "../html.js";
import { comparatorLabel, metricLabel } from "../labels.js";
import {
  differenceColour,
  differencePicture,
  greyPicture,
  type Picture,
  percentileWindow,
  type Slice,
  type Window,
} from "../pictures.js";

/** The gallery as rows of images beneath its heading, and how many bytes its images take. */
export function drawGallery(gallery: Gallery, heading: string, side: number): { html: Html; bytes: number } {
  let bytes = 0;
  const show = (picture: Picture, alt: string, overlay: Html | null = null): Html => {
    bytes += picture.uri.length;
    // The empty drawing gives the frame its physical shape at whatever size: an image's own is that of its pixels.
    return html`<span class="frame"><svg class="shape" aria-hidden="true" width="${picture.width}" height="${picture.height}" viewBox="0 0 ${picture.width} ${picture.height}"></svg><img src="${picture.uri}" width="${picture.width}" height="${picture.height}" alt="${alt}">${overlay}</span>`;
  };
  const { key, rows } =
    gallery.kind === "mask" ? maskRows(gallery, side, show) : imageRows(gallery, side, show);
  return {
    bytes,
    // Heading and key are kept together with the first case where a page ends.
    html: html`<div class="gallery"><div class="lead"><h3>${heading}</h3>${key}${rows[0]}</div>${rows.slice(1)}${gallery.problems.map((problem) => html`<p class="quiet">${problem}</p>`)}</div>`,
  };
}

interface Rows {
  /** What outlines and colours mean. */
  key: Html;
  rows: Html[];
}

type Show = (picture: Picture, alt: string, overlay?: Html | null) => Html;

/** Masks as outlines over the input: the target's dashed and white, the prediction's in its comparator's colour. */
function maskRows(gallery: Gallery, side: number, show: Show): Rows {
  const rows = gallery.cases.map((one) => {
    const { example: reference } = one.examples[0] as GalleryCase["examples"][number];
    const window = percentileWindow(reference.input);
    const box = cropAround(reference);
    const whole = greyPicture(slice(reference, reference.input), window, side);
    const near = box === null ? whole : greyPicture(cropped(reference, box), window, side);
    const frame = box ?? { x: 0, y: 0, width: reference.width, height: reference.height };
    const target = { path: outline(reference.target, reference.width, reference.height), kind: "target" };
    const cut =
      box === null
        ? ""
        : `, cut to ${millimetres(box.width * reference.spacing.width, box.height * reference.spacing.height)} around the target`;
    const square = box && overlay(reference, [{ path: rectangle(box), kind: "cut" }]);
    return caseRow(one, `${windowText(window)} (1st to 99th percentile of the input)${cut}`, [
      item("Input", show(whole, `Input, ${about(one)}`, square)),
      item(
        target.path === "" ? "Target: nothing" : "Target",
        show(near, `Target outlined on the input, ${about(one)}`, overlay(frame, [target])),
      ),
      ...one.examples.map(({ comparator, example, score }) => {
        const path = outline(example.prediction, example.width, example.height);
        const nothing = path === "";
        return item(
          html`<span class="swatch ${comparator}">${comparatorLabel[comparator]}</span>${scoreText(score)}${nothing ? html`<br>nothing on this slice` : null}`,
          show(
            near,
            `${comparatorLabel[comparator]}: ${nothing ? "outlines nothing on this slice" : "predicted outline beside the target’s"}, ${metricLabel(gallery.metric)} ${fixed(score, 3)}, ${about(one)}`,
            overlay(frame, [target, { path, kind: comparator }]),
          ),
        );
      }),
    ]);
  });
  const key = html`<p>White dashed: the target. Coloured: the prediction, where it reaches 0.5. A square on the input: what
the other images show of it.</p>`;
  return { key, rows };
}

/** A rectangle of a slice, in pixels. */
interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/**
 * The part of a slice around the target and the fine-tuned prediction, of the slice's own shape and at least 0.4 of
 * its width; null where they fill so much of it, or so little is known of them, that cutting helps nobody.
 */
function cropAround({ width, height, target, prediction }: Example): Box | null {
  let [left, right, top, bottom] = [width, -1, height, -1];
  target.forEach((value, pixel) => {
    if (!(value >= 0.5 || (prediction[pixel] as number) >= 0.5)) return;
    const [x, y] = [pixel % width, Math.floor(pixel / width)];
    [left, right, top, bottom] = [
      Math.min(left, x),
      Math.max(right, x),
      Math.min(top, y),
      Math.max(bottom, y),
    ];
  });
  if (right < 0) return null;
  const share = Math.max(0.4, 1.8 * Math.max((right - left + 1) / width, (bottom - top + 1) / height));
  if (share > 0.6) return null;
  const size = {
    width: Math.max(1, Math.round(share * width)),
    height: Math.max(1, Math.round(share * height)),
  };
  const start = (middle: number, extent: number, all: number) =>
    Math.min(all - extent, Math.max(0, Math.round(middle - extent / 2)));
  return {
    x: start((left + right + 1) / 2, size.width, width),
    y: start((top + bottom + 1) / 2, size.height, height),
    ...size,
  };
}

function cropped({ width, input, spacing }: Example, box: Box): Slice {
  const values = Float32Array.from(
    { length: box.width * box.height },
    (_, pixel) =>
      input[(box.y + Math.floor(pixel / box.width)) * width + box.x + (pixel % box.width)] as number,
  );
  return { values, width: box.width, height: box.height, spacing };
}

const rectangle = ({ x, y, width, height }: Box) => `M${x} ${y}h${width}v${height}h${-width}Z`;

/** Images beside the target, with the signed difference beneath each prediction. */
function imageRows(gallery: Gallery, side: number, show: Show): Rows {
  const limit = differenceLimit(gallery);
  const rows = gallery.cases.map((one) => {
    const reference = (one.examples[0] as GalleryCase["examples"][number]).example;
    const window = percentileWindow(reference.target);
    const inputWindow = sameScale(reference) ? window : percentileWindow(reference.input);
    const grey = (values: Float32Array, of: Example, how: Window) =>
      greyPicture(slice(of, values), how, side);
    const stated =
      inputWindow === window
        ? `${windowText(window)} (1st to 99th percentile of the target), the same for all`
        : `${windowText(window)} (1st to 99th percentile of the target); input: ${windowText(inputWindow).toLowerCase()}`;
    return caseRow(one, stated, [
      item("Input", show(grey(reference.input, reference, inputWindow), `Input, ${about(one)}`)),
      item("Target", show(grey(reference.target, reference, window), `Target, ${about(one)}`)),
      ...one.examples.map(({ comparator, example, score }) => {
        const difference = example.prediction.map(
          (value, pixel) => value - (example.target[pixel] as number),
        );
        const label = comparatorLabel[comparator];
        const error = meanAbsolute(difference);
        return item(
          html`<span class="swatch ${comparator}">${label}</span>${scoreText(score)}`,
          html`${show(
            grey(example.prediction, example, window),
            `${label}: predicted image, ${metricLabel(gallery.metric)} ${fixed(score, 3)}, ${about(one)}`,
          )}${show(
            differencePicture(slice(example, difference), limit, side),
            `${label}: difference from the target, on average ${significant(error)} in this slice, ${about(one)}`,
          )}`,
        );
      }),
    ]);
  });
  const key = html`<p>Beneath each prediction, its difference from the target: ${colourBar(limit)} and beyond</p>`;
  return { key, rows };
}

function caseRow(one: GalleryCase, windows: string, items: Html[]): Html {
  const { slice: index, spacing } = (one.examples[0] as GalleryCase["examples"][number]).example;
  return html`<figure class="case"><figcaption><strong>${one.rank}</strong>: ${one.case}, axial slice ${index}, ${millimetres(spacing.width, spacing.height)} a pixel. ${windows}.</figcaption>
<div class="images">${items}</div></figure>`;
}

function item(label: string | Html, images: Html): Html {
  return html`<div class="image">${images}<p>${label}</p></div>`;
}

/** Two lengths as `0.5 × 0.5 mm`, without zeros that say nothing. */
const millimetres = (width: number, height: number) =>
  `${Number(width.toPrecision(3))} × ${Number(height.toPrecision(3))} mm`;

const about = (one: GalleryCase) => `${one.rank.toLowerCase()} ${one.case}`;

const scoreText = (score: number | null) => (score === null ? null : html` <b>${fixed(score, 3)}</b>`);

function windowText({ low, high }: Window): string {
  return `Window ${significant(high - low)}, level ${significant((high + low) / 2)}`;
}

function slice({ width, height, spacing }: Example, values: Float32Array): Slice {
  return { values, width, height, spacing };
}

/** Outlines over a picture of that part of the slice. */
function overlay(
  frame: { x?: number; y?: number; width: number; height: number },
  outlines: readonly { path: string; kind: string }[],
): Html {
  const drawn = outlines
    .filter((one) => one.path !== "")
    .map(
      (one) => html`<path class="halo" d="${one.path}"/><path class="outline ${one.kind}" d="${one.path}"/>`,
    );
  return html`<svg class="overlay" aria-hidden="true" viewBox="${frame.x ?? 0} ${frame.y ?? 0} ${frame.width} ${frame.height}" preserveAspectRatio="none">${drawn}</svg>`;
}

/** Whether input and target are in the same unit, so that one window shows both. */
function sameScale(example: Example): boolean {
  const within = (values: Float32Array) => values.every((value) => !(value < -0.05 || value > 1.05));
  return within(example.input) && within(example.target);
}

/**
 * The difference that gets the full colour: the 99th percentile of the two that are compared most, fine-tuned and from
 * scratch, rounded up to one digit. Networks that never saw the task are far beyond it.
 */
function differenceLimit(gallery: Gallery): number {
  const all = gallery.cases
    .flatMap((one) => one.examples)
    .filter(({ comparator }) => comparator === "fine-tuned" || comparator === "from-scratch")
    .flatMap(({ example }) =>
      Array.from(example.prediction, (value, pixel) => Math.abs(value - (example.target[pixel] as number))),
    )
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const largest = all[Math.floor(0.99 * (all.length - 1))] ?? 0;
  if (largest <= 0) return 1;
  const digit = 10 ** Math.floor(Math.log10(largest));
  return Number((Math.ceil(largest / digit) * digit).toPrecision(1));
}

function meanAbsolute(values: Float32Array): number {
  return values.reduce((sum, value) => sum + Math.abs(value), 0) / values.length;
}

function colourBar(limit: number): Html {
  const steps = 33;
  const bars = Array.from({ length: steps }, (_, index) => {
    const [red, green, blue] = differenceColour((2 * index) / (steps - 1) - 1);
    return `<rect x="${index * 4}" width="4.2" height="12" fill="rgb(${red},${green},${blue})"/>`;
  });
  return html`<span class="scale"><span>−${limit}</span> ${trusted(
    `<svg width="${steps * 4}" height="12" role="img" aria-label="Colour scale: blue below the target, black equal, orange above">${bars.join("")}</svg>`,
  )} <span>+${limit}</span></span>`;
}
