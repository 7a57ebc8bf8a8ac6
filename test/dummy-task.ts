// A kind of task that no study needs, as one file under src/tasks would hold it: the square of an image, judged by an error.
import { z } from "zod";
import { Tensor } from "../dist/native/tensor.js";
import { columnFault, defineTask } from "../dist/tasks/definition.js";
import {
  channelFill,
  filledChannels,
  imagePicture,
  meanOverCases,
  needing,
  sampleOf,
  stackChannels,
  type Task,
} from "../dist/tasks/task.js";

const mapped = async (image: Tensor, of: (value: number) => number): Promise<Tensor> =>
  Tensor.from(Float32Array.from((await image.toArray()) as Float32Array, of), image.shape, image.device);

export const squareTask = defineTask({
  kind: "square",
  label: "Square",
  about: "An image to its square.",
  options: {
    image: z.string().min(1).optional().describe("the image that is squared. Default: the reference"),
    channelFill,
  },
  metric: {
    name: "Mean absolute error",
    better: "lower",
    floor: null,
    margin: 0.002,
    spread: { seed: 0.01, patient: 0.01, interaction: 0.01 },
  },
  specialised: "unet-3d",
  complete: (given, { reference }) => ({ ...given, image: given.image ?? reference }),
  faults: ({ image }, { columns }) => columnFault(columns, "images", ["image"], image),
  create: ({ name = "square", image = "t2w", channelFill: fill }): Task => ({
    name,
    shape: { answers: "voxels", channels: 1, outputs: 1, depthScale: 1 },
    loss: () => ({ kind: "l1" }),
    metric: "Mean absolute error",
    pictures: "image",
    chance: "none",
    ...needing({ oneOf: [image] }),
    imagesShown: (channels) => filledChannels(1, channels, fill),
    async sample(volumes, channels) {
      using shown = await volumes.load(image);
      using square = await mapped(shown, (value) => value ** 2);
      return sampleOf(await stackChannels([shown], channels, fill), square);
    },
    async judge(prediction, target) {
      const [answers, truths] = [await prediction.toArray(), await target.toArray()];
      let sum = 0;
      for (let voxel = 0; voxel < truths.length; voxel++)
        sum += Math.abs(Number(answers[voxel]) - Number(truths[voxel]));
      return [{ value: sum / truths.length }];
    },
    assess: (judgements) => meanOverCases(judgements),
    picture: (sample, prediction) => imagePicture(sample, prediction),
  }),
  trivial: () => {
    const by = (name: string, of: (value: number) => number) => ({
      name,
      answer: async (_volumes: unknown, input: Tensor) => {
        using channels = await input.select(0, 0);
        using image = await channels.select(0, 0);
        using answer = await mapped(image, of);
        using channel = await Tensor.gather([answer], [0]);
        return Tensor.gather([channel], [0]);
      },
    });
    return {
      name: "curve",
      fit: async () => [by("ones", () => 1), by("half", (value) => value / 2)] as const,
    };
  },
});
