import { type ChannelFill, disposable, judgedBySsim, sampleOf, stackChannels, type Task } from "./task.js";

export interface SuperResolutionOptions {
  /**
   * How D slices become D / 2: `average` of each pair, which is what a scanner's thicker slice sees (default), or
   * `skip`, every second slice. The paper is silent.
   */
  downsampling: "average" | "skip";
  channelFill: ChannelFill;
}

/**
 * Super-resolution (task 3 of the paper): T2W with half its axial slices to T2W with all of them. L1 loss; SSIM with a
 * data range of 1, as T2W is normalised to [0, 1].
 */
export const superResolution = (options: SuperResolutionOptions): Task => ({
  kind: "super-resolution",
  shape: { answers: "voxels", channels: 1, outputs: 1, depthScale: 2 },
  loss: () => ({ kind: "l1" }),
  ...judgedBySsim,

  chance: "none",
  missing: ({ roles }) => (roles.includes("t2w") ? null : "it has no T2W volume"),

  async sample(volumes, channels) {
    using t2w = await volumes.load("t2w");
    using coarse = await t2w.poolDepth(2, options.downsampling === "average" ? "mean" : "first");
    const input = await stackChannels([coarse], channels, options.channelFill);
    return sampleOf(input, t2w);
  },

  async picture(sample, prediction) {
    using target = await sample.target.select(0, 0); // [D, H, W]
    const slice = Math.floor((target.shape[0] as number) / 2);
    using input = await sample.input.select(0, 0); // [D / 2, H, W]
    using answer = await prediction.select(0, 0); // [1, D, H, W]
    using answerVolume = await answer.select(0, 0);
    return disposable({
      slice,
      input: await input.select(0, Math.floor(slice / 2)),
      target: await target.select(0, slice),
      prediction: await answerVolume.select(0, slice),
    });
  },
});
