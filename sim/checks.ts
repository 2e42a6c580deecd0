/** Everything a run may be asked to check. */
export const CHECK_NAMES = [
  "no node stops by itself",
  "recovery",
  "damage is detected",
  "one leader a term",
  "log matching",
  "leader completeness",
  "state machine safety",
  "equal state at equal index",
  "linearizability",
  "no acknowledged write lost",
  "answers fit their questions",
  "stale reads are as old as they say",
  "watches tell all in order",
  "placement as the epoch says",
  "secrets stay inside",
  "only the invited get in",
  "views follow from the log",
  "rights are kept",
  "the evicted stay out",
  "one generation of keys is left",
  "objects are what was written",
  "objects are linearizable",
  "no committed object lost",
  "nothing is left over of objects",
  "rot is found",
  "repair moves no more than it must",
  "converged",
] as const;
export type CheckName = typeof CHECK_NAMES[number];

/** What is checked only where enough is left for the network to become well again. */
export const LIVENESS: readonly CheckName[] = [
  "the evicted stay out",
  "one generation of keys is left",
  "watches tell all in order",
  "placement as the epoch says",
  "no committed object lost",
  "nothing is left over of objects",
  "rot is found",
  "converged",
];

/** What is checked only in private networks. */
export const PRIVATE: readonly CheckName[] = [
  "secrets stay inside",
  "only the invited get in",
  "views follow from the log",
  "rights are kept",
  "the evicted stay out",
  "one generation of keys is left",
];

/** What is checked only where there are objects. */
export const OBJECTS: readonly CheckName[] = [
  "objects are what was written",
  "objects are linearizable",
  "no committed object lost",
  "nothing is left over of objects",
  "rot is found",
  "repair moves no more than it must",
];
