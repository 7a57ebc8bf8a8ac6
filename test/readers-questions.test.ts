import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeReport } from "../dist/report/index.js";
import type { Claim } from "../dist/results/claims.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { studyResults, temporaryFolder, writeStudyFolder } from "./report-fixture.js";

type Means = Record<string, number>;
const means: Record<string, Means> = {
  "lesion-segmentation": { "fine-tuned": 0.53, "from-scratch": 0.515, specialised: 0.3, trivial: 0.2 },
  "super-resolution": { "fine-tuned": 0.85, "from-scratch": 0.9, specialised: 0.85, trivial: 0.92 },
  "distortion-correction": { "fine-tuned": 0.8, "from-scratch": 0.7, specialised: 0.7, trivial: 0.5 },
};
const options = {
  tasks: Object.keys(means) as never,
  models: ["ProFound"],
  seeds: [1, 2, 3],
  testCases: 12,
  mean: (task: string, comparator: string) => means[task]?.[comparator] ?? 0.1,
  trivial: (task: string) => means[task]?.trivial as number,
  status: ({ task, comparator, seed }: { task: string; comparator: string; seed: number }) =>
    task === "distortion-correction" && comparator === "specialised" && seed === 3
      ? ("failed" as const)
      : ("done" as const),
  failure: "out of memory",
};

const plain = (html: string) =>
  html
    .replace(/<[^>]*>/g, " ")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&")
    .replaceAll("\u00a0", " ")
    .replace(/\s+/g, " ");
const three = (value: number) => `${value > 0 ? "+" : ""}${value.toFixed(3)}`.replace("-", "\u2212");

let remove: () => Promise<void>;
let claims: Claim[];
let sentence: string;
let others: string;
let picture: string;
let spoken: string;
let facts: string;
let notes: string;
let claimsIntro: string;
let cards: Map<string, string>;

beforeAll(async () => {
  const { folder, remove: clean } = await temporaryFolder();
  remove = clean;
  await writeStudyFolder(folder, options);
  const results = studyResults(options);
  results.exposure = [
    { model: "ProFound", patients: 50, overlap: { validation: [], test: ["p-101", "p-102"] } },
  ];
  for (const epoch of results.pretraining[0]?.curve ?? []) epoch.trainingLoss = 0.75;
  const done = results.cells.flatMap(({ result }) => result ?? []);
  claims = computeClaims(done, {}, { exposure: results.exposure, pretraining: results.pretraining });
  results.claims = claims;
  await writeFile(join(folder, "results.json"), JSON.stringify(results));
  const html = await readFile(await writeReport(folder), "utf8");
  const found = (pattern: RegExp) => pattern.exec(html)?.[1] ?? "";
  sentence = plain(found(/<p class="answer">(.*?)<\/p>/s));
  others = plain(found(/<p class="rest">(.*?)<\/p>/s));
  const figure = found(/<figure[^>]* id="gain">(.*?)<\/figure>/s);
  picture = plain(figure);
  spoken = found(/<figure[^>]* id="gain">.*?<svg[^>]* aria-label="([^"]*)"/s);
  facts = plain(found(/<dl class="facts">(.*?)<\/dl>/s));
  notes = plain(found(/<div class="notes">(.*?)<section id="claims">/s));
  claimsIntro = plain(found(/<section id="claims"><h2>Claims<\/h2>\s*<p>(.*?)<\/p>/s));
  cards = new Map(
    [...html.matchAll(/<article class="claim"><h3>ProFound: ([^<]*)<\/h3>(.*?)<\/article>/gs)].map(
      (match) => [match[1] as string, plain(match[2] as string)],
    ),
  );
});
afterAll(() => remove());

const claimOf = (task: string, reference: string) =>
  claims.find((one) => one.task === task && one.reference === reference) as Claim;
const card = (name: string) => cards.get(name) as string;

const answers: Record<string, () => void> = {
  "Does pretraining help over training from scratch, and on which tasks?": () => {
    expect(claimOf("distortion-correction", "from-scratch").verdict).toBe("supported");
    expect(sentence).toContain(
      "Over training from scratch, ProFound is better on 1 of 3 tasks (distortion correction)",
    );
  },
  "By how much, and between which bounds?": () => {
    const { estimate, low, high } = claimOf("distortion-correction", "from-scratch").difference;
    expect(picture).toContain(three(estimate));
    expect(spoken).toContain(
      `${three(estimate)}, 95 % interval ${three(low as number)} to ${three(high as number)}`,
    );
    expect(card("Distortion correction")).toContain(
      `${three(estimate)} (95 % interval ${three(low as number)} to ${three(high as number)})`,
    );
  },
  "On which tasks is it worse?": () => {
    expect(claimOf("super-resolution", "from-scratch").verdict).toBe("contradicted");
    expect(sentence).toContain("worse on 1 (super-resolution)");
    expect(spoken).toContain("Super-resolution over training from scratch: worse");
    expect(picture).toMatch(/ worse /);
  },
  "Does it beat what takes no network?": () => {
    const { fineTuned, referenceValue } = claimOf("super-resolution", "trivial");
    expect(sentence).toMatch(
      /^ ?ProFound does not beat what takes no network on 1 of 3 tasks: super-resolution \(/,
    );
    expect(sentence).toContain(`SSIM ${fineTuned.toFixed(3)} against ${referenceValue.toFixed(3)}`);
    expect(others).toMatch(
      /over what takes no network, better on 2 of 3 tasks .* and worse on 1 \(super-resolution\)/,
    );
  },
  "Does it beat the model made for the task?": () => {
    expect(claimOf("super-resolution", "specialised").verdict).toBe("practically-equal");
    expect(others).toMatch(
      /^ ?Over the specialised model, better on 2 of 3 tasks .* and practically equal on 1;/,
    );
    expect(spoken).toContain("Super-resolution over the specialised model: practically equal");
  },
  "Is the difference large enough to matter?": () => {
    expect(picture).toContain("0.02 of Dice and 0.01 of SSIM");
    expect(card("Super-resolution")).toContain(
      "A difference of up to 0.01 in SSIM does not matter in practice.",
    );
  },
  "Would other seeds and other patients say the same?": () => {
    const { adjustedP, better } = claimOf("lesion-segmentation", "from-scratch");
    expect(card("Lesion segmentation")).toContain("Over training from scratch: undecided");
    expect(card("Lesion segmentation")).toContain(`Better on ${better} of 12 patients`);
    expect(card("Lesion segmentation")).toContain(`p = ${(adjustedP as number).toFixed(3)} by Holm`);
  },
  "How small a difference could this study have found?": () => {
    const { detectable } = claimOf("lesion-segmentation", "from-scratch");
    expect(card("Lesion segmentation")).toContain(
      `3 seeds and 12 patients find a difference of ${(detectable as number).toPrecision(3)} in 8 of 10 studies`,
    );
  },
  "What would settle what is undecided?": () => {
    const { wouldSettle } = claimOf("lesion-segmentation", "from-scratch");
    const { seeds, patients } = wouldSettle as { seeds: number | null; patients: number | null };
    expect(seeds ?? patients).not.toBeNull();
    if (seeds !== null)
      expect(card("Lesion segmentation")).toContain(`${seeds} seeds with these 12 patients`);
    if (patients !== null) expect(card("Lesion segmentation")).toContain(`${patients} patients with 3 seeds`);
  },
  "What is to be distrusted?": () => {
    expect(notes).toContain(
      "The loss of ProFound’s pretraining did not fall (0.750 over its first epochs, 0.750 over its last)",
    );
    const everywhere =
      "its weights were pretrained on 2 patients of the test set; the loss of its pretraining did not fall";
    expect(claimOf("super-resolution", "specialised").distrust.join("; ")).toContain(everywhere);
    // What stands against every card is said once, before them.
    expect(claimsIntro).toContain(`On all of them, to be distrusted: ${everywhere}`);
  },
  "On whom was this found, how often was it trained, and what is missing?": () => {
    expect(facts).toContain("cohort/manifest.csv");
    expect(facts).toContain("Patients 34 (36 cases)");
    expect(facts).toContain("18 / 6 / 12");
    expect(facts).toContain("3 seeds 1, 2 and 3");
    expect(notes).toMatch(/Failed: distortion correction, unet-3d, specialised, seed 3\. out of memory/);
  },
  "What did it cost?": () => {
    // 12 epochs of 2.3 s, and of 1.1 s for the specialised model; nothing to train without a network.
    expect(card("Super-resolution")).toContain(
      "Device time of a seed: 28 s to fine-tune, 28 s for training from scratch, 13 s for the specialised model",
    );
  },
};

describe("a reader's questions, from the first screen and the claim cards alone", () => {
  it("are the twelve that docs/methods.md lists", async () => {
    const docs = await readFile("docs/methods.md", "utf8");
    const listed = [...docs.matchAll(/^\| (\d+) \| ([^|]*\?) \| ([^|]+) \|$/gm)];
    expect(listed.map((one) => Number(one[1]))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(listed.map((one) => one[2])).toEqual(Object.keys(answers));
  });

  it.each(Object.keys(answers))("%s", (question) => {
    answers[question]?.();
  });
});
