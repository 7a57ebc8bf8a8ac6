import { requireList, requireOptions, requireWhole } from "../common/arguments.js";
import { groupBy } from "../common/group-by.js";
import type { CellResult } from "../results/cell.js";
import { type Claim, type GainReference, gainReferences } from "../results/claims.js";
import { type Distance, type DistanceName, distanceNames } from "../results/distances.js";
import type { Relation, RelationPoint } from "../results/relations.js";
import type { StudyResults } from "../results/study.js";
import { requireCells, resultsOf } from "./cells.js";
import { correlationOf, pearson, smallestSignificant } from "./correlation.js";
import { detectableCorrelation } from "./detectable-correlation.js";
import { jointCorrelation } from "./joint-correlation.js";
import { meanDistance } from "./mean-distance.js";
import { RelationResampler } from "./resampled-relation.js";
import { countsFor, variantsOf } from "./variants.js";

/** What relations are computed from. */
export type RelationSource = Pick<StudyResults, "cells" | "distances"> & { claims: readonly Claim[] };

/**
 * Whether gains go with distances: one relation a foundation model, reference and distance, over the tasks that have both.
 * Those over one reference are judged together, each by the chance of as large an |r| in any of them.
 *
 * @param options.resamples of patients and seeds, for the interval of r that holds their noise; default 0: none
 * @throws `BAD_INPUT` for what are no results of a study
 */
export function computeRelations(results: RelationSource, options: { resamples?: number } = {}): Relation[] {
  requireOptions(results, "results");
  requireOptions(options);
  for (const name of ["cells", "claims", "distances"] as const) {
    const list: unknown = results[name];
    requireList(list, `results.${name}`);
    for (const [index, one] of list.entries()) requireOptions(one, `results.${name}[${index}]`);
  }
  for (const [index, { paper }] of results.distances.entries())
    requireOptions(paper, `results.distances[${index}].paper`);
  const { resamples = 0 } = options;
  requireWhole(resamples, "resamples", 0);
  const { cells, claims, distances } = results;
  const done = resultsOf(cells);
  requireCells(done);
  const variants = variantsOf(cells);
  const byKey = groupBy(distances, ({ task, strategy, model, name }) =>
    JSON.stringify([task, strategy, model, name]),
  );
  const models = groupBy(claims, ({ model }) => model);
  return gainReferences.flatMap((reference) => {
    const panels = [...models].flatMap(([model, own]) =>
      distanceNames.flatMap((distance): RelationPanelPoints[] => {
        const points = own.flatMap((claim): RelationPoint[] => {
          const { task, strategy } = claim;
          const moved = meanDistance(byKey.get(JSON.stringify([task, strategy, model, distance])) ?? []);
          if (claim.reference !== reference || !claim.percent || moved === null) return [];
          return [
            {
              ...{ task, strategy, counts: countsFor(variants, claim) },
              ...{
                distance: moved.paper.biased,
                percent: claim.percent.estimate,
                saturated: moved.saturated,
              },
            },
          ];
        });
        return points.length === 0 ? [] : [{ model, distance, points }];
      }),
    );
    const relations = relate(reference, panels);
    return resamples > 0 ? resampled(relations, { done, claims, distances }, resamples) : relations;
  });
}

/** The tasks of one relation. */
export interface RelationPanelPoints {
  model: string;
  distance: DistanceName;
  points: RelationPoint[];
}

/** Relations over one reference, judged together over the tasks that count. */
export function relate(reference: GainReference, panels: readonly RelationPanelPoints[]): Relation[] {
  const counted = panels.map(({ points }) => points.filter((point) => point.counts));
  const tasks = [...new Set(counted.flatMap((points) => points.map(({ task }) => task)))];
  const column = (points: readonly RelationPoint[], of: "distance" | "percent") =>
    tasks.map((task) => points.find((point) => point.task === task)?.[of] ?? null);
  const judged = jointCorrelation(
    counted.map((points) => ({ x: column(points, "distance"), y: column(points, "percent") })),
  );
  return panels.map((panel, index) => {
    const points = counted[index] as RelationPoint[];
    const one = judged.panels[index] as (typeof judged.panels)[number];
    const [x, y] = columns(points);
    const interval = one.r === null ? null : pearson(x, y, { p: "student" }).interval;
    const [all, others] = columns(panel.points);
    return {
      ...{ model: panel.model, reference, distance: panel.distance, points: panel.points },
      ...{ n: one.n, r: one.r, interval: ends(interval), p: one.p, jointP: one.jointP },
      method: judged.method,
      leaveOneOut: ends(one.leaveOneOut),
      overAllPoints: points.length < panel.points.length ? correlationOf(all, others) : null,
      critical: one.n < 3 ? null : smallestSignificant(one.n),
      detectable: one.n < 3 ? null : detectableCorrelation(one.n),
      ...{ verdict: one.verdict, reason: one.reason },
    };
  });
}

const columns = (points: readonly RelationPoint[]): [number[], number[]] => [
  points.map(({ distance }) => distance),
  points.map(({ percent }) => percent),
];

const ends = (interval: readonly [number, number] | null) =>
  interval && { low: interval[0], high: interval[1] };

function resampled(
  relations: readonly Relation[],
  of: { done: readonly CellResult[]; claims: readonly Claim[]; distances: readonly Distance[] },
  resamples: number,
): Relation[] {
  const byModel = groupBy(relations, ({ model }) => model);
  const resampler = new RelationResampler(of.done, of.claims, of.distances, resamples);
  return [...byModel.values()].flatMap((own) => {
    const intervals = resampler.intervalsOf(own);
    return own.map((one, index) => ({ ...one, resampled: intervals[index] ?? null }));
  });
}
