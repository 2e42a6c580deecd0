import type { NodeId } from "../base/ids.ts";
import type { ErasureCoder, Tables } from "../base/ports.ts";
import type { Random } from "../base/random.ts";
import type { Tuning } from "../base/tuning.ts";
import type { SystemView } from "../wire/messages.ts";
import type { Recovered } from "../wire/kernel.ts";

/**
 * How a node comes to be. genesis: a founding member of a new network; every founder is given the same view and holds
 * its share of the empty partitions. joined: a "join" request was answered with this view. recovered: it ran before.
 */
export type Origin =
  | { readonly kind: "genesis"; readonly view: SystemView }
  | { readonly kind: "joined"; readonly view: SystemView }
  | { readonly kind: "recovered"; readonly recovered: Recovered };

export interface NodeOptions {
  readonly id: NodeId;
  /** Where peers and clients reach this node, as it is to be told to others ("host:port"). */
  readonly address: string;
  readonly origin: Origin;
  readonly random: Random;
  readonly tables: Tables;
  /** Limits of its own; DEFAULT_TUNING where left out. */
  readonly tuning?: Tuning | undefined;
  /** The one in core/objects where left out. All nodes of a network make the same shards of the same bytes. */
  readonly coder?: ErasureCoder | undefined;
}

// The class Node in node.ts implements Kernel (wire/kernel.ts) and adds:
//   addressOf(id: NodeId): string | null    where the host connects to reach a peer
//   view(): SystemView                      the newest agreed view it knows
//   describe(): string                      one line
