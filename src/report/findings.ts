import { groupBy } from "../common/group-by.js";
import type { Counts } from "../results/answers.js";
import type {
  CollapsedFeatures,
  DistanceAtCeiling,
  Finding,
  NothingLearnt,
  PretrainingNotFallen,
} from "../results/findings.js";
import { belowFloor, isHardlyAnything } from "../statistics/direction.js";
import { count, grouped, listing, significant } from "./format.js";
import { comparatorLabel, metricLabel, taskInProse, taskLabel } from "./labels.js";
import type { Summary } from "./report-summary.js";

/** What makes numbers say less than they seem to, each once, for the first screen. */
export function findingsInWords({ findings, seeds, counts }: Summary): string[] {
  const of = <Kind extends Finding["kind"]>(kind: Kind) =>
    findings.filter((one): one is Extract<Finding, { kind: Kind }> => one.kind === kind);
  return [
    ...of("nothing-learnt").map((one) => nothingLearnt(one, seeds.length)),
    ...of("pretraining-not-fallen").map(notFallen),
    ...collapsed(of("collapsed-features")),
    ...atCeiling(of("distance-at-ceiling"), counts.distances),
  ];
}

/** A network inside a sentence: `unet-3d, specialised`. */
const network = ({ model, comparator }: Pick<NothingLearnt, "model" | "comparator">): string =>
  `${model}, ${comparatorLabel[comparator].toLowerCase()}`;

function nothingLearnt(finding: NothingLearnt, seeds: number): string {
  const { metric, best, trivial, answer } = finding;
  const has = `The best of them (${network(finding)}) has ${metricLabel(metric)} ${significant(best)}`;
  const one = seeds === 1 ? " One seed cannot tell whether another training would." : "";
  if (isHardlyAnything(finding, best))
    return `${taskLabel(finding)}: no network of this study has learnt it. ${has}, ${belowFloor(finding)}: differences between them compare next to nothing with next to nothing.${one}`;
  return `${taskLabel(finding)}: no network of this study beats what takes none. ${has} against ${significant(trivial)} of ${answer}.${one}`;
}

function notFallen({ model, first, last }: PretrainingNotFallen): string {
  const losses =
    first === null || last === null
      ? "it was not finite"
      : `${significant(first)} over its first epochs, ${significant(last)} over its last`;
  return `The loss of ${model}’s pretraining did not fall (${losses}): its pretrained weights may hold nothing that was learnt.`;
}

function collapsed(all: readonly CollapsedFeatures[]): string[] {
  return [...groupBy(all, network).values()].map((own) => {
    const [one] = own as [CollapsedFeatures];
    return (
      `The encoder of ${network(one)}, has collapsed on ${listing(own.map(taskInProse))}: it gives all test cases the same ` +
      "features, and distances to it say nothing."
    );
  });
}

function atCeiling(found: readonly DistanceAtCeiling[], counts: Counts["distances"]): string[] {
  const { all, atCeiling: number, atCeilingByName } = counts;
  if (number === 0) return [];
  const which =
    number > most
      ? atCeilingByName.map(({ name, distances }) => `${distances} of ${name}`)
      : found.map((one) => `${one.distance} of ${one.model} on ${taskInProse(one)}`);
  return [
    `${grouped(number)} of ${count(all, "distance")} ${number === 1 ? "is" : "are"} at the ceiling even at the features’ own ` +
      `scale (${listing(which)}): the two encoders are out of each other’s reach, and MMD² cannot say how far apart they lie.`,
  ];
}

/** More of them than this are counted, not named. */
const most = 3;
