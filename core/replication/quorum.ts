import type { NodeId } from "../base/ids.ts";
import type { Configuration } from "../wire/messages.ts";

/**
 * The largest value that a quorum reaches: every member of some majority has at least that much, in a joint
 * configuration of both halves. With match indexes it is what may be committed, with rounds what has been confirmed,
 * with instants when a quorum was last heard.
 */
export function quorumValue(configuration: Configuration, valueOf: (node: NodeId) => number): number {
  const incoming = majorityValue(configuration.voters, valueOf);
  return configuration.outgoing.length === 0
    ? incoming
    : Math.min(incoming, majorityValue(configuration.outgoing, valueOf));
}

/** The k-th largest value for the smallest majority k; 0 without nodes. Halves are small: an insertion sort does. */
function majorityValue(nodes: readonly NodeId[], valueOf: (node: NodeId) => number): number {
  const n = nodes.length;
  if (n === 0) return 0;
  if (n === 1) return valueOf(nodes[0]!);
  if (n === 3) return medianOfThree(valueOf(nodes[0]!), valueOf(nodes[1]!), valueOf(nodes[2]!));
  const sorted: number[] = [];
  for (let i = 0; i < n; i++) {
    const value = valueOf(nodes[i]!);
    let at = i;
    while (at > 0 && sorted[at - 1]! < value) {
      sorted[at] = sorted[at - 1]!;
      at--;
    }
    sorted[at] = value;
  }
  return sorted[n >> 1]!;
}

function medianOfThree(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
