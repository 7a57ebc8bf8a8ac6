import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readManifest } from "../dist/cohort/manifest.js";
import { prepareCohort } from "../dist/cohort/preprocess.js";
import { cropSchema, normaliseSchema } from "../dist/cohort/schema.js";
import { prepareVolume, Tensor, writePhantomCohort } from "../dist/index.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { floatsOf, writeNrrd, writeRamp } from "./embed-fixture.js";
import { temporaryFolder } from "./temporary-folder.js";

const roles = ["t2w", "adc", "hbv", "gland", "zones", "lesion", "rectum"] as const;

describe("prepareVolume", () => {
  it("gives an image on its own grid as it is, normalised, with the size of a voxel and where it lies", async () => {
    const path = join(await temporaryFolder(), "ramp.nrrd");
    await writeRamp(path);
    const normalise = { t2w: { kind: "range", low: 0, high: 512 } } as const;
    using volume = await prepareVolume(path, { voxels: [8, 8, 8], normalise });
    expect(volume.t2w.shape).toEqual([8, 8, 8]);
    expect(await floatsOf(volume.t2w)).toEqual(Array.from({ length: 512 }, (_, voxel) => voxel / 512));
    expect(volume.spacing).toEqual([1, 1, 1]);
    // k is z, j is y, i is x.
    expect(volume.voxelToPatient).toEqual([0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
  });

  it("crops around the gland that is given, and without one around the middle of the image", async () => {
    const folder = await temporaryFolder();
    const [t2w, gland] = [join(folder, "ramp.nrrd"), join(folder, "gland.nrrd")];
    await writeRamp(t2w, 32);
    // Voxels 10 and 11, 12 and 13, 14 and 15 along k, j, i.
    const inside = (k: number, j: number, i: number) => k >> 1 === 5 && j >> 1 === 6 && i >> 1 === 7;
    await writeNrrd(gland, 32, (k, j, i) => (inside(k, j, i) ? 1 : 0));
    const options = {
      voxels: [20, 20, 20] as [number, number, number],
      crop: { fieldOfView: [20, 20, 20] as [number, number, number] },
      normalise: { t2w: { kind: "range", low: 0, high: 32768 } } as const,
    };
    // 20 voxels about 10.5, 12.5 and 14.5 begin at 1, 3 and 5; about 15.5 at 6.
    const from = (k0: number, j0: number, i0: number) =>
      Array.from({ length: 8000 }, (_, voxel) => {
        const [k, j, i] = [Math.floor(voxel / 400), Math.floor(voxel / 20) % 20, voxel % 20];
        return ((k + k0) * 1024 + (j + j0) * 32 + (i + i0)) / 32768;
      });
    using around = await prepareVolume({ t2w, gland }, options);
    expect(await floatsOf(around.t2w)).toEqual(from(1, 3, 5));
    expect((await floatsOf(around.gland as Tensor)).reduce((sum, value) => sum + value)).toBe(8);
    using alone = await prepareVolume(t2w, options);
    expect(await floatsOf(alone.t2w)).toEqual(from(6, 6, 6));
    using told = await prepareVolume(
      { t2w, gland },
      { ...options, crop: { ...options.crop, around: "centre" } },
    );
    expect(await floatsOf(told.t2w)).toEqual(from(6, 6, 6));
  });

  it("gives each image and mask of a case voxel for voxel as a study's cohort has it, and leaves no tensor", async () => {
    const folder = await temporaryFolder();
    const manifest = await readManifest(
      await writePhantomCohort(folder, { cases: 1, seed: 4, voxels: [32, 32, 16] }),
    );
    const voxels: [number, number, number] = [24, 24, 12];
    const normalise = { adc: { kind: "range", low: 0, high: 3000 } } as const;
    const study = { voxels, crop: cropSchema.parse({}), normalise: normaliseSchema.parse(normalise) };
    const { cases } = await prepareCohort(manifest, study, { cache: join(folder, "cache") });
    const kept = await readSafetensors(cases[0]?.file as string);

    const before = Tensor.live;
    const files = Object.fromEntries(roles.map((role) => [role, manifest.cases[0]?.volumes[role] as string]));
    {
      using volume = await prepareVolume(files as never, { voxels, normalise });
      for (const role of roles) {
        using wanted = await kept.tensor(role);
        expect(await floatsOf(volume[role] as Tensor), role).toEqual(await floatsOf(wanted));
      }
      expect(volume.spacing).toEqual(cases[0]?.spacing);
      expect(volume.emptyMasks).toEqual(cases[0]?.emptyMasks ?? []);
    }
    expect(Tensor.live).toBe(before);
  });

  it("refuses what a study leaves out, naming the file", async () => {
    const folder = await temporaryFolder();
    const file = (name: string) => join(folder, name);
    await writeRamp(file("ramp.nrrd"));
    await writeFile(file("text.nii"), "no image");
    execFileSync("mkfifo", [file("pipe.nii")]);
    const options = { voxels: [8, 8, 8] as [number, number, number] };
    const refused = async (image: Parameters<typeof prepareVolume>[0], words: RegExp) => {
      const before = Tensor.live;
      await expect(prepareVolume(image, options)).rejects.toMatchObject({
        code: "BAD_IMAGE",
        message: expect.stringMatching(words),
      });
      expect(Tensor.live).toBe(before);
    };
    await refused(file("absent.nii"), /absent\.nii: there is no such file/);
    await refused(file("text.nii"), /text\.nii: it is not an image of a known format/);
    await refused(file("pipe.nii"), /pipe\.nii: it is not a regular file/);
    await refused({ t2w: file("ramp.nrrd"), lesion: file("ramp.nrrd") }, /ramp\.nrrd/);
  });

  it("names each option that is wrong, and what may have been meant", async () => {
    const wrong = { voxels: [1, 8, 8], crop: { around: "glands" }, normalize: {} };
    await expect(prepareVolume("image.nii", wrong as never)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(
        /options\.voxels\[0\][\s\S]*Did you mean "gland"[\s\S]*Did you mean "normalise"/,
      ),
    });
    await expect(prepareVolume({ t2w: "a.nii", lesoin: "b.nii" } as never)).rejects.toThrow(
      /image: unknown key "lesoin"\. Did you mean "lesion"/,
    );
    const controller = new AbortController();
    controller.abort();
    await expect(prepareVolume("image.nii", { signal: controller.signal })).rejects.toMatchObject({
      code: "ABORTED",
    });
  });
});
