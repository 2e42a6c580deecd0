/** What concerns the bulk of objects as one short line each, see describe.ts. */
import { hashBytes32 } from "../base/hash.ts";
import { unreachable } from "../base/invariant.ts";
import type { FragmentMessage } from "./object_codec.ts";
import type { ChunkOp, ChunkResult, FragmentId, Scheme, SegmentId } from "./objects.ts";
import type { ChunkRequestOp } from "./requests.ts";

/** `fragment-put 4 p3 00112233/0.1 300B:d1c37908` */
export function describeFragmentMessage(message: FragmentMessage): string {
  switch (message.kind) {
    case "fragment-put":
      return `fragment-put ${message.id} ${describeFragment(message.fragment)} ${
        describeBytes(message.bytes)
      }`;
    case "fragment-put-reply":
      return `fragment-put-reply ${message.id} ${message.outcome}`;
    case "fragment-get":
      return `fragment-get ${message.id} ${describeFragment(message.fragment)}`;
    case "fragment-get-reply":
      return `fragment-get-reply ${message.id} ${describeBytes(message.bytes)}`;
    case "fragment-check":
      return `fragment-check ${message.id}${message.verify ? " verified" : ""} [${
        message.fragments.map(describeFragment).join(", ")
      }]`;
    case "fragment-check-reply":
      return `fragment-check-reply ${message.id} [${message.held.map((h) => h ? "held" : "none").join(" ")}]`;
    case "segments-gone":
      return `segments-gone [${message.segments.map(describeSegment).join(", ")}]`;
    default:
      return unreachable(message);
  }
}

/** `chunk-get p3 00112233/7 2+1 1048592B` */
export function describeChunkRequest(op: ChunkRequestOp): string {
  switch (op.kind) {
    case "chunk-put":
      return `chunk-put ${describeSegment(op.segment)}/${op.chunk} ${describeScheme(op.scheme)} ${
        describeBytes(op.bytes)
      }`;
    case "chunk-get":
      return `chunk-get ${describeSegment(op.segment)}/${op.chunk} ${
        describeScheme(op.scheme)
      } ${op.length}B`;
    case "segments-gone":
      return `segments-gone [${op.segments.map(describeSegment).join(", ")}]`;
    default:
      return unreachable(op);
  }
}

/** `read 9 p3 00112233/0.1` */
export function describeChunkOp(op: ChunkOp): string {
  switch (op.kind) {
    case "write":
      return `write ${op.op} ${describeFragment(op.fragment)} ${describeBytes(op.bytes)}`;
    case "read":
      return `read ${op.op} ${describeFragment(op.fragment)}`;
    case "remove":
      return `remove ${op.op} [${op.fragments.map(describeFragment).join(", ")}]`;
    case "list": {
      const from = op.after === null ? "the first" : describeFragment(op.after);
      return `list ${op.op} p${op.partition} after ${from} max ${op.max}`;
    }
    case "partitions":
      return `partitions ${op.op}`;
    default:
      return unreachable(op);
  }
}

export function describeChunkResult(result: ChunkResult): string {
  switch (result.kind) {
    case "written":
    case "removed":
      return `${result.kind} ${result.op}`;
    case "read":
      return `read ${result.op} ${describeBytes(result.bytes)}`;
    case "listed": {
      const fragments = result.fragments.map(({ fragment, bytes, ageMs }) =>
        `${describeFragment(fragment)} ${bytes}B ${ageMs}ms`
      );
      return `listed ${result.op} [${fragments.join(", ")}]${result.done ? " done" : ""}`;
    }
    case "partitions":
      return `partitions ${result.op} [${result.partitions.map((p) => `p${p}`).join(" ")}]`;
    case "failed":
      return `failed ${result.op} ${result.reason}: ${JSON.stringify(result.message)}`;
    default:
      return unreachable(result);
  }
}

/** `p3 00112233`: the first digits tell segments apart well enough. */
export function describeSegment({ partition, segment }: SegmentId): string {
  return `p${partition} ${segment.slice(0, 8)}`;
}

/** `p3 00112233/7.1`: chunk 7, fragment 1. */
export function describeFragment(fragment: FragmentId): string {
  return `${describeSegment(fragment)}/${fragment.chunk}.${fragment.index}`;
}

/** `x3` of three copies, `4+2` of stripes. */
export function describeScheme(scheme: Scheme): string {
  return scheme.kind === "replicated" ? `x${scheme.copies}` : `${scheme.data}+${scheme.parity}`;
}

/** How many bytes, and a hash that tells them apart; `none` for null. */
export function describeBytes(bytes: Uint8Array | null): string {
  if (bytes === null) return "none";
  return `${bytes.length}B:${hashBytes32(bytes).toString(16).padStart(8, "0")}`;
}
