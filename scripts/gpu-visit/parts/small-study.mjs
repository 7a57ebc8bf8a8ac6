// A study of two encoders, five tasks and five comparators, from Node: what is not trained, and first losses, must be those
// of the CPU that packed it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { agreement } from "../study.mjs";
import { reasonOf } from "../visit.mjs";

export const smallStudy = {
  name: "small study",
  seconds: 150,
  async run(part) {
    const { root, device, small } = part.visit;
    const expected = JSON.parse(readFileSync(join(root, "expected.json"), "utf8"));
    let numbers = null;
    const outcome = await part.runNode(
      "run-study.mjs",
      [root, part.scratch, device, small ? "small" : "whole"],
      {
        onDocument: (document) => {
          if (document.failed)
            part.record("judged", { what: document.failed, right: false, detail: document.reason });
          if (document.numbers) numbers = document.numbers;
        },
      },
    );
    if (numbers === null) throw new Error(reasonOf(outcome));
    for (const [what, { kind, value }] of Object.entries(expected.numbers)) {
      const got = numbers[what]?.value;
      part.record("compared", {
        what,
        got: got ?? null,
        missing: got === undefined,
        expected: value,
        share: agreement[kind],
      });
    }
  },
};
