// Every network of the paper's study at its size, each in a process of its own: a training step and a forward pass in
// bfloat16, the former with and without a CUDA graph.

import { paperNetworks } from "../networks.mjs";
import { reasonOf } from "../visit.mjs";

export const networks = {
  name: "networks",
  seconds: 150,
  async run(part) {
    const { device, small } = part.visit;
    for (const [index, { name }] of paperNetworks(small).entries()) {
      const outcome = await part.runNode(
        "time-network.mjs",
        [String(index), device, small ? "small" : "whole"],
        {
          seconds: 45,
          onDocument: ({ pass, graphs, failed, ...measured }) => {
            const what = `${name}, ${pass}${graphs ? ", CUDA graph" : ""}`;
            if (failed) part.record("judged", { what, right: false, detail: failed });
            else part.record("network", { what, ...measured });
          },
        },
      );
      if (part.secondsLeft <= 0) return "late";
      if (outcome.status !== 0)
        part.record("judged", { what: name, right: false, detail: reasonOf(outcome) });
    }
  },
};
