/** What a part of a network takes in memory while it is trained, in values. */
export interface Size {
  parameters: number;
  /** Values that training keeps for the way back. */
  kept: number;
  /** Of what is kept, values that checkpointing computes a second time instead: blocks then keep their input alone. */
  recomputed: number;
  /** Of what is kept, values that bfloat16 measurably makes smaller. */
  narrowed: number;
  /** Values alive at once when nothing is kept. */
  transient: number;
}

export const nothing: Size = { parameters: 0, kept: 0, recomputed: 0, narrowed: 0, transient: 0 };

/** Two parts of one network, one after the other. */
export const together = (one: Size, other: Size): Size => ({
  parameters: one.parameters + other.parameters,
  kept: one.kept + other.kept,
  recomputed: one.recomputed + other.recomputed,
  narrowed: one.narrowed + other.narrowed,
  transient: Math.max(one.transient, other.transient),
});
