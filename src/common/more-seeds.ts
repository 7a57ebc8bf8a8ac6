/** What whoever is told of too few seeds should know. */
export const seedsMayBeRaised =
  "Seeds may simply be raised: the study, run again with more of them, keeps what is finished.";
