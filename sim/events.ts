import type { Input } from "../core/wire/kernel.ts";

/** What the loop's events mean. `a` is a machine or client, `b` is given behind each. */
export const EVENT = {
  /** A frame arrives; b: sender; payload: Input. */
  deliver: 0,
  /** An input that waited for a slow machine; b: life; payload: Input. */
  resume: 1,
  /** b: life. */
  synced: 2,
  tablesDurable: 3,
  /** b: the peer whose connection broke. */
  peerLost: 4,
  /** b: connection; payload: requests, replies. */
  request: 5,
  reply: 6,
  clientGone: 7,
  clientWake: 8,
  clientLost: 9,
  /** payload: a function. For what happens rarely: faults and phases. */
  action: 10,
  /** b: the sender; payload: secrets of the network, from one host to another. */
  secrets: 11,
  /** The disk of fragments has done something; b: life; payload: ChunkWork. */
  chunks: 12,
} as const;

/** What stands for each kind of input in the digest. */
export const INPUT_CODE: Readonly<Record<Input["kind"], number>> = {
  start: 0,
  wake: 1,
  messages: 2,
  persisted: 3,
  checkpointed: 4,
  requests: 5,
  "client-gone": 6,
  "peer-lost": 7,
  stop: 8,
  space: 9,
  keys: 10,
  "key-made": 11,
  checkpoint: 12,
  chunks: 13,
};
