/**
 * The branded names of things. A brand costs nothing at run time and keeps a term from being
 * passed where an index is meant.
 */

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** A member of the network, for life: 1 to 64 printable ASCII characters without spaces. Never reused. */
export type NodeId = Brand<string, "NodeId">;
/** 0 is the system partition; 1..P hold data. */
export type PartitionId = Brand<number, "PartitionId">;
/** A Raft term. 0 before the first election. */
export type Term = Brand<number, "Term">;
/** A position in a partition's log. The first entry has index 1. */
export type LogIndex = Brand<number, "LogIndex">;
/** Counts the committed layouts. 0 before the first. */
export type Epoch = Brand<number, "Epoch">;
/** Microseconds on the local, never-decreasing clock of one node. An integer; comparable on that node only. */
export type Instant = Brand<number, "Instant">;

export const NEVER = Number.MAX_SAFE_INTEGER as Instant;
export const SYSTEM_PARTITION = 0 as PartitionId;

const NODE_ID = /^[\x21-\x7e]{1,64}$/;

/** True where `text` may name a node. */
export function isNodeId(text: string): text is NodeId {
  return NODE_ID.test(text);
}

/**
 * Brands a node's name.
 * @throws {TypeError} when it is not 1 to 64 printable ASCII characters without spaces
 */
export function nodeId(text: string): NodeId {
  if (!isNodeId(text)) {
    throw new TypeError(
      `A node id has 1 to 64 printable ASCII characters without spaces, not ${JSON.stringify(text)}`,
    );
  }
  return text;
}

const integer = (what: string) => (value: number): number => {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`A ${what} is an integer from 0, not ${value}`);
  }
  return value;
};
const checkPartition = integer("partition id");
const checkTerm = integer("term");
const checkIndex = integer("log index");
const checkEpoch = integer("epoch");
const checkInstant = integer("instant");

export const partitionId = (value: number): PartitionId => checkPartition(value) as PartitionId;
export const term = (value: number): Term => checkTerm(value) as Term;
export const logIndex = (value: number): LogIndex => checkIndex(value) as LogIndex;
export const epoch = (value: number): Epoch => checkEpoch(value) as Epoch;
export const instant = (value: number): Instant => checkInstant(value) as Instant;

/** `base + us`, still an Instant. NEVER stays NEVER. */
export function after(base: Instant, us: number): Instant {
  return base === NEVER ? NEVER : (base + us) as Instant;
}
