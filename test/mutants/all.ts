import { CONSENSUS } from "./consensus.ts";
import type { Mutant } from "./mutant.ts";
import { NETWORK } from "./network.ts";
import { OBJECT_MUTANTS } from "./objects.ts";
import { SECURITY_MUTANTS } from "./security.ts";
import { STATE } from "./state.ts";
import { STORAGE } from "./storage.ts";
import { TABLES } from "./tables.ts";

export const MUTANTS: readonly Mutant[] = [
  ...CONSENSUS,
  ...STORAGE,
  ...STATE,
  ...NETWORK,
  ...SECURITY_MUTANTS,
  ...TABLES,
  ...OBJECT_MUTANTS,
];
