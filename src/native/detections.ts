import { addon, settle } from "./load-addon.js";
import { Tensor } from "./tensor.js";

/**
 * From which probability on voxels make a candidate: a fixed one; the highest of the map over `divisor`; or, candidate by
 * candidate, the highest of what is left over `divisor`, for at most `most` candidates.
 */
export type CandidateThreshold =
  | { kind: "fixed"; threshold: number }
  | { kind: "of-map"; divisor: number }
  | { kind: "of-candidates"; divisor: number; most: number };

/** What was found in a map of probabilities, and what is there. */
export interface Detections extends Disposable {
  candidates: {
    /** Its highest probability. */
    confidence: number;
    voxels: number;
  }[];
  /** Voxels of each lesion: of each connected part of the foreground. */
  lesions: number[];
  /** Of each pair with a voxel in common, both counted from 0, in how many both lie. */
  overlaps: { candidate: number; lesion: number; voxels: number }[];
  /** [D, H, W]: at each candidate's voxels its confidence, 0 elsewhere. */
  map: Tensor;
}

/**
 * Candidates of lesions in a map [D, H, W], and the lesions of `truth` [D, H, W], as the PI-CAI challenge takes them. Voxels
 * are connected that share a face, an edge or a corner.
 *
 * @param options.logits the map holds logits; default: probabilities
 * @param options.fewestVoxels candidates with fewer are dropped
 * @throws `BAD_INPUT` for shapes that differ, and values that are no probabilities
 */
export async function detect(
  map: Tensor,
  truth: Tensor,
  options: CandidateThreshold & { fewestVoxels: number; logits?: boolean },
): Promise<Detections> {
  const { map: confidences, ...found } = await settle(
    addon().volumeDetect(map.handle, truth.handle, options),
  );
  const tensor = new Tensor(confidences);
  return { ...found, map: tensor, [Symbol.dispose]: () => tensor.dispose() };
}
