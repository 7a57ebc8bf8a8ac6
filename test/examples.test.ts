import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { readSafetensors } from "../dist/native/safetensors.js";
import { temporaryFolder } from "./temporary-folder.js";

const run = promisify(execFile);

test("examples/embed-images.mjs embeds phantoms, or a folder of images by weights that are named", async () => {
  const folder = await temporaryFolder();
  const script = resolve("examples/embed-images.mjs");
  const first = await run("node", [script], { cwd: folder });
  expect(first.stdout).toMatch(/a prepared volume: 32 x 64 x 64 voxels of [\d.]+ x [\d.]+ x [\d.]+ mm/);
  expect(first.stdout).toMatch(/6 images, 128 features each, by profound-demo/);
  const distance = Number(/squared MMD to random weights: ([\d.]+)/.exec(first.stdout)?.[1]);
  expect(distance).toBeGreaterThan(0.01);
  expect(distance).toBeLessThan(1.9); // short of 2, where a kernel says nothing
  expect(first.stdout.match(/^phantom-00\d is most like phantom-00\d \(0\.\d+\)$/gm)).toHaveLength(6);
  expect(first.stderr.trim().split("\n").at(-1)).toBe("6 of 6: phantom-006");
  const { metadata } = await readSafetensors(`${folder}/example-embeddings.safetensors`);
  expect(JSON.parse(metadata.cases as string)).toHaveLength(6);

  const images = `${folder}/example-phantoms/phantom-002`;
  const weights = `${folder}/example-weights/encoder.safetensors`;
  const second = await run("node", [script, images, weights], { cwd: folder });
  const usable = (await readdir(images)).filter(
    (name) => !second.stderr.includes(`${name.split(".")[0]} is left`),
  );
  expect(usable.length).toBeGreaterThan(4);
  expect(second.stdout).toContain(`${usable.length} images, 128 features each`);
});
