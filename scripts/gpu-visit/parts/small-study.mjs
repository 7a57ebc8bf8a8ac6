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
    const { numbers: expected } = JSON.parse(readFileSync(join(root, "expected.json"), "utf8"));
    const left = new Map(Object.entries(expected));
    let complete = false;
    const compare = (what, got) => {
      const { kind, value } = left.get(what);
      left.delete(what);
      part.record("compared", { what, ...got, expected: value, share: agreement[kind] });
    };
    const outcome = await part.runNode(
      "run-study.mjs",
      [root, part.scratch, device, small ? "small" : "whole"],
      {
        onDocument: (document) => {
          if (document.failed)
            part.record("judged", { what: document.failed, right: false, detail: document.reason });
          for (const [what, { value }] of Object.entries(document.numbers ?? {}))
            if (left.has(what)) compare(what, { got: value, missing: false });
          if (document.complete) complete = true;
        },
      },
    );
    if (outcome.late) return "late";
    if (!complete) throw new Error(reasonOf(outcome));
    for (const what of [...left.keys()]) compare(what, { got: null, missing: true });
  },
};
