import { execFile } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryFolder } from "./temporary-folder.js";

const consumer = `
import { loadStudy, metrics, Network, readImage, runStudy, statistics, type StudyResults, Tensor } from "transfer-limits";
import { embedImages, type ImageEmbeddings, prepareVolume } from "transfer-limits";
export async function shape(): Promise<number[]> {
  using tensor = Tensor.from(new Float32Array(6), [2, 3]);
  return tensor.shape;
}
export const results = async (): Promise<StudyResults> => runStudy(await loadStudy("study.yaml"));
export async function embedded(): Promise<ImageEmbeddings> {
  using volume = await prepareVolume({ t2w: "t2w.nii", gland: "gland.nii" }, { voxels: [64, 64, 32] });
  const { t2w, gland }: { t2w: Tensor; gland?: Tensor } = volume;
  const encoder = await Network.create({ encoder: "profound-demo" });
  const images = [{ id: t2w.shape.join(), t2w: "t2w.nii" }, gland === undefined ? "scans" : "t2w.nii"];
  return embedImages(images, { encoder, crop: { fieldOfView: [80, 80, 60] }, channels: ["t2w", "adc"] });
}
export const all = [metrics, Network, readImage, statistics];
`;

test.each([
  ["node16", "node16"],
  ["esnext", "bundler"],
])(
  "types compile in a project with module %s, resolution %s, without the DOM and with skipLibCheck off",
  async (module, resolution) => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "node_modules", "@types"), { recursive: true });
    await symlink(resolve("."), join(folder, "node_modules", "transfer-limits"));
    await symlink(resolve("node_modules/@types/node"), join(folder, "node_modules", "@types", "node"));
    await writeFile(join(folder, "consumer.mts"), consumer);
    const flags = `--noEmit --strict --skipLibCheck false --target es2022 --lib es2022 --types node`.split(
      " ",
    );
    const compiled = promisify(execFile)(
      "node",
      [
        resolve("node_modules/typescript/bin/tsc"),
        ...flags,
        "--module",
        module,
        "--moduleResolution",
        resolution,
        "consumer.mts",
      ],
      { cwd: folder },
    ).catch(({ stdout }: { stdout: string }) => ({ stdout }));
    expect((await compiled).stdout).toBe("");
  },
);
