/** What a node answers while it is not up: who it is and why, and to everything else that another is to be asked. */
import type { NodeId } from "../../../core/base/ids.ts";
import { NO_CHUNKS } from "../../../core/wire/objects.ts";
import { refusal } from "../../../core/wire/ops.ts";
import type { ClientRequestFrame } from "../../../core/wire/codec.ts";
import type { NodeStatus, Response, Trouble } from "../../../core/wire/requests.ts";

export interface Absent {
  readonly node: NodeId;
  /** null as long as it is not known. */
  readonly network: string | null;
  /** null: it is starting. */
  readonly trouble: Trouble | null;
  readonly counters: readonly (readonly [string, number])[];
}

/** Stands for a network's name where none is known. */
const NO_NETWORK = "0".repeat(32);

export function answerWhileDown(absent: Absent, { request }: ClientRequestFrame): Response {
  if (request.op.kind === "status") return { kind: "status", status: statusWhileDown(absent) };
  const { node, trouble } = absent;
  return refusal("down", `Node "${node}" is ${trouble === null ? "starting" : "down"}; ask another`);
}

function statusWhileDown({ node, trouble, counters, ...absent }: Absent): NodeStatus {
  const network = absent.network ?? NO_NETWORK;
  return {
    node,
    network,
    view: 0,
    epoch: 0,
    state: "down",
    replicas: [],
    counters,
    trouble,
    chunks: NO_CHUNKS,
  };
}
