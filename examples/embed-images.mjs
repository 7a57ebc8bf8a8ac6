/**
 * Embeds images by a pretrained encoder and by the same encoder with random weights, measures how far the two sets lie apart,
 * and names for each image the one that is most like it. Seconds on two cores.
 *
 *   node examples/embed-images.mjs [folder-of-images] [weights]
 *
 * Without arguments it makes a few phantoms, and takes weights that are drawn from another seed for pretrained ones.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { embedImages, mmd2, Network, prepareVolume, writePhantomCohort } from "transfer-limits";

let [images, weights] = process.argv.slice(2);
if (images === undefined) {
  images = await writePhantomCohort("example-phantoms", { cases: 6, seed: 1, voxels: [48, 48, 24] });
  const t2w = join("example-phantoms", "phantom-001", "t2w.nii.gz");
  const volume = await prepareVolume(t2w, { voxels: [64, 64, 32] });
  console.log(
    `a prepared volume: ${volume.t2w.shape.join(" x ")} voxels of ${volume.spacing.map(round).join(" x ")} mm`,
  );
  volume[Symbol.dispose]();
}
if (weights === undefined) {
  await mkdir("example-weights", { recursive: true });
  weights = join("example-weights", "encoder.safetensors");
  const network = await Network.create({ encoder: "profound-demo", seed: 1 });
  await network.save(weights);
  network.dispose();
}

// A file that this package wrote says itself which encoder it is of: a cell's best.safetensors, say.
const voxels = [64, 64, 32];
const pretrained = await embedImages(images, {
  weights,
  voxels,
  output: "example-embeddings.safetensors",
  onProgress: ({ done, total, case: id, excluded }) =>
    console.error(`${done} of ${total}: ${id}${excluded === null ? "" : ` is left out: ${excluded}`}`),
});
const { ids, embeddings, encoder } = pretrained;
console.log(`${ids.length} images, ${embeddings.shape[1]} features each, by ${encoder}`);

// The same name builds the same encoder, with random weights where no file is given.
const random = await embedImages(images, { encoder: nameOrSizes(encoder), voxels });
const rows = chunks(await embeddings.toArray(), embeddings.shape[1]);
const others = chunks(await random.embeddings.toArray(), embeddings.shape[1]);
// A bandwidth of the order of the distances: a far smaller one would say the same of any two sets.
const sigma = median(rows.flatMap((row) => others.map((other) => distance(row, other))));
const { biased } = await mmd2(embeddings, random.embeddings, { sigma });
console.log(`squared MMD to random weights: ${biased.toFixed(4)} at sigma ${sigma.toFixed(1)}`);

for (const [index, row] of rows.entries()) {
  const candidates = rows.flatMap((other, at) =>
    at === index ? [] : [{ id: ids[at], likeness: cosine(row, other) }],
  );
  const [nearest] = candidates.sort((a, b) => b.likeness - a.likeness);
  if (nearest) console.log(`${ids[index]} is most like ${nearest.id} (${nearest.likeness.toFixed(3)})`);
}
pretrained[Symbol.dispose]();
random[Symbol.dispose]();

/** `encoder` as `embedImages` answers it: a preset's name, or sizes as JSON. */
function nameOrSizes(text) {
  return text.startsWith("{") ? JSON.parse(text) : text;
}

function chunks(values, length) {
  return Array.from({ length: values.length / length }, (_, row) =>
    values.slice(row * length, (row + 1) * length),
  );
}

function cosine(a, b) {
  const dot = (one, other) => one.reduce((sum, value, index) => sum + value * other[index], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

function distance(a, b) {
  return Math.hypot(...a.map((value, index) => value - b[index]));
}

function median(values) {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function round(millimetres) {
  return Number(millimetres.toFixed(2));
}
