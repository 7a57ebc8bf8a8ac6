export interface Found {
  trials: number;
  killed: number;
  frozen: number;
  /** How often one who was passed over noticed, and wrote nothing. */
  passedOver: number;
  notDone: string[];
  doneTwice: string[];
  damaged: string[];
  otherErrors: string[];
  /** The longest time from the moment at which a holder was killed or frozen until another claimed its cell, in milliseconds. */
  longestUnclaimed: number;
  longestTrial: number;
}
export function runTrials(options: {
  trials: number;
  atOnce: number;
  seed: number;
  deadAfter: number;
  slowDisk?: boolean;
  careless?: boolean;
  onTrial?: (found: Found) => void;
}): Promise<Found>;
export function hasOtherHosts(): boolean;
