import type { LogIndex, NodeId, PartitionId, Term } from "../core/base/ids.ts";
import type { Kernel } from "../core/wire/kernel.ts";
import type { Configuration, Liveness, SystemView } from "../core/wire/messages.ts";

/** What checkers may look at in a node between steps. The real node has this shape; kernels of tests may lack it. */
export interface InspectableKernel extends Kernel {
  view(): SystemView;
  replicas(): readonly InspectableSlot[];
  readonly membership: { liveness(node: NodeId): Liveness | "unknown" };
}

export interface InspectableSlot {
  readonly partition: PartitionId;
  readonly replica: InspectableReplica;
  readonly catalog: { stateDigest(): number } | null;
  readonly system: { stateDigest(): number } | null;
}

export interface InspectableReplica {
  readonly isLeader: boolean;
  /** It and its leader say nothing, for there is nothing to say. */
  readonly quiet?: boolean;
  /** It has no log to go on from. */
  readonly hollow?: boolean;
  readonly leader: NodeId | null;
  readonly term: Term;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly configuration: Configuration;
  readonly configurationIndex: LogIndex;
  readonly committedConfiguration: Configuration;
  readonly committedConfigurationIndex: LogIndex;
}

/** The kernel as checkers may look at it; null where there is none or it shows nothing. */
export function inspect(kernel: Kernel | null): InspectableKernel | null {
  return kernel !== null && isInspectable(kernel) ? kernel : null;
}

function isInspectable(kernel: Kernel): kernel is InspectableKernel {
  return "replicas" in kernel && "view" in kernel && "membership" in kernel;
}

/** 32 bits that are equal wherever equal entries were applied; 0 where the state cannot be compared at its index now. */
export function stateDigestOf(slot: InspectableSlot): number {
  return (slot.catalog ?? slot.system)?.stateDigest() ?? 0;
}
