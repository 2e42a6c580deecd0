import type { NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { encode, WireError } from "./cbor.ts";
import type { Configuration } from "./messages.ts";
import { configurationWire, decodeWith, readConfiguration } from "./shared_codec.ts";

/**
 * The data of a `config` entry, and the questions that election and replication both ask of a configuration.
 * The form is one CBOR array of three arrays of text: voters, outgoing, learners.
 */

/** Of a replica that has not heard who its peers are. */
export const NO_CONFIGURATION: Configuration = { voters: [], outgoing: [], learners: [] };

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  return encode(configurationWire(configuration));
}

/** The configuration, or null where `bytes` are not one: at least one voter, at most LIMITS.replicasMax members. */
export function decodeConfiguration(bytes: Uint8Array): Configuration | null {
  try {
    const configuration = decodeWith(bytes, readConfiguration);
    return isConfiguration(configuration) ? configuration : null;
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

/** True where the parts are of a sensible size, none names a node twice, and no learner votes. */
export function isConfiguration(configuration: Configuration): boolean {
  const { voters, outgoing, learners } = configuration;
  if (voters.length === 0) return false;
  if (hasTwice(voters) || hasTwice(outgoing) || hasTwice(learners)) return false;
  for (const learner of learners) {
    if (voters.includes(learner) || outgoing.includes(learner)) return false;
  }
  return membersOf(configuration).length <= LIMITS.replicasMax;
}

/** Every member once: voters, then who is on the way out, then learners. */
export function membersOf(configuration: Configuration): NodeId[] {
  const members = [...configuration.voters];
  for (const node of configuration.outgoing) if (!members.includes(node)) members.push(node);
  for (const node of configuration.learners) if (!members.includes(node)) members.push(node);
  return members;
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.outgoing.length > 0;
}

/** True where the node's vote counts, in either half. */
export function isVoter(configuration: Configuration, node: NodeId): boolean {
  return configuration.voters.includes(node) || configuration.outgoing.includes(node);
}

export function isMember(configuration: Configuration, node: NodeId): boolean {
  return isVoter(configuration, node) || configuration.learners.includes(node);
}

/** True where `yes` holds for a majority of the voters, and in a joint configuration for one of each half. */
export function hasQuorum(configuration: Configuration, yes: (node: NodeId) => boolean): boolean {
  return hasMajority(configuration.voters, yes) &&
    (!isJoint(configuration) || hasMajority(configuration.outgoing, yes));
}

export function describeConfiguration({ voters, outgoing, learners }: Configuration): string {
  let text = `(${voters.join(" ")})`;
  if (outgoing.length > 0) text += `&(${outgoing.join(" ")})`;
  if (learners.length > 0) text += ` learners(${learners.join(" ")})`;
  return text;
}

function hasMajority(nodes: readonly NodeId[], yes: (node: NodeId) => boolean): boolean {
  let count = 0;
  for (const node of nodes) if (yes(node)) count++;
  return count * 2 > nodes.length;
}

function hasTwice(nodes: readonly NodeId[]): boolean {
  return nodes.some((node, i) => nodes.indexOf(node) !== i);
}
