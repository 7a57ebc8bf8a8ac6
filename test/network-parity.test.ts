import { afterEach, describe, expect, it } from "vitest";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { Tensor } from "../dist/native/tensor.js";
import { expectSample, fillParameters, parity, parityInput, relativeError } from "./parity-inputs.js";
import { sharedMissing } from "./shared.js";

const encoder = {
  family: "convnext-v2-3d",
  channels: 3,
  depths: [3, 3, 9, 3],
  dims: [96, 192, 384, 768],
};

/** Builds the network and gives every parameter the value that follows from its name. */
async function filled(head?: object): Promise<PlacedNetwork> {
  const network = await PlacedNetwork.build({ encoder, ...(head && { head }) } as NetworkSpec);
  await fillParameters(network);
  return network;
}

describe.skipIf(sharedMissing)(
  "networks answer as the published code (needs the shared folder beside the checkout)",
  () => {
    afterEach(() => expect(Tensor.live).toBe(0));

    const sameParameters = (network: PlacedNetwork, file: string) =>
      expect(network.parameters.map(({ name, shape }) => [name, shape])).toEqual(
        Object.entries(parity(file).parameters),
      );

    it("the encoder has the published parameters in order; its pooled features and stages agree at both input shapes", async () => {
      using network = await filled();
      sameParameters(network, "profound_encoder.json");
      for (const { input, pooled, hidden } of parity("profound_encoder.json").cases) {
        using x = parityInput(input);
        const features = await network.embed(x);
        using answer = features.pooled;
        expect(relativeError((await answer.toArray()) as Float32Array, pooled.flat())).toBeLessThan(1e-4);
        for (const [index, stage] of features.stages.entries()) {
          await expectSample(stage, hidden[index]);
          stage.dispose();
        }
      }
    });

    it("the classifier has the published parameters in order, and its logits agree", async () => {
      using network = await filled({ kind: "classifier", classes: 4 });
      sameParameters(network, "profound_classifier.json");
      for (const { input, logits } of parity("profound_classifier.json").cases) {
        using x = parityInput(input);
        using answer = await network.forward(x);
        expect(relativeError((await answer.toArray()) as Float32Array, logits.flat())).toBeLessThan(1e-4);
      }
    });

    it.each([
      ["UperNet", "profound_upernet.json", { kind: "upernet", outputs: 1 }],
      ["UNETR", "profound_unetr.json", { kind: "unetr", outputs: 1 }],
    ])("%s has the published parameters in order, and its logits agree", async (_name, file, head) => {
      using network = await filled(head);
      sameParameters(network, file);
      for (const { input, logits } of parity(file).cases) {
        using x = parityInput(input);
        using answer = await network.forward(x);
        await expectSample(answer, logits);
      }
    });
  },
);
