/**
 * Hostile input to nodes in the middle of their work (K2 of core/node/node.ts): three nodes that form a network, with
 * objects' segments registered and fragments of them on their disks, and between what they tell each other, messages and
 * requests that somebody made up, and results of disks that nobody asked for. Whatever was said, no step throws, and none
 * takes long. What three honest nodes agree on cannot be asked for here: a liar among them may have broken it.
 */
import fc from "fast-check";
import { type NodeId, nodeId } from "../../core/base/ids.ts";
import { Random } from "../../core/base/random.ts";
import {
  decodeMessages,
  decodeRequests,
  encodeMessages,
  encodeRequests,
  encodeResponses,
} from "../../core/wire/codec.ts";
import { WireError } from "../../core/wire/cbor.ts";
import type { Input } from "../../core/wire/kernel.ts";
import type { ChunkResult } from "../../core/wire/objects.ts";
import type { Message } from "../../core/wire/messages.ts";
import type { Request } from "../../core/wire/requests.ts";
import { Network } from "../core/node/network.ts";
import { arbMessage, arbRequest } from "../support/arbitraries.ts";
import { arbChunkResult } from "../support/arbitrary_objects.ts";
import { NodeObjects } from "./node_objects.ts";
import { collect, describe, FuzzFailure } from "./run.ts";
import { changedValue } from "./values.ts";

const NAMES = ["a", "b", "c"] as const;
/** Not one of the members. */
const STRANGERS = ["mallory", "sirius"] as const;
const INPUTS_PER_NETWORK = 4000;
const STEP_MS_MAX = 500;
/** Two networks at once, and what the runtime has not collected yet. */
const HEAP_GROWTH_MAX = 512 * 1024 * 1024;
const POOL = 512;
const KEYS = ["k", "l", "{tag}x", "{tag}y", ""] as const;

export interface NodeTotals {
  inputs: number;
  messages: number;
  requests: number;
  garbage: number;
  /** Results of disks that nobody asked for, or that say something else than what is there. */
  results: number;
  /** Of the networks' nodes, at their ends. */
  fragments: number;
  networks: number;
  ms: number;
  slowestMs: number;
  heapGrowth: number;
}

/** @throws {FuzzFailure} with the seed of the network that failed */
export function fuzzNode({ seed, ms, inputs }: { seed: number; ms: number; inputs: number }): NodeTotals {
  const totals: NodeTotals = {
    inputs: 0,
    messages: 0,
    requests: 0,
    garbage: 0,
    results: 0,
    fragments: 0,
    networks: 0,
    ms: 0,
    slowestMs: 0,
    heapGrowth: 0,
  };
  const began = performance.now();
  const heap = Deno.memoryUsage().heapUsed;
  for (let run = 0; performance.now() - began < ms && totals.inputs < inputs; run++) {
    new NodeFuzz(seed + run, totals).run(Math.min(INPUTS_PER_NETWORK, inputs - totals.inputs));
    totals.networks++;
    let growth = Deno.memoryUsage().heapUsed - heap;
    if (growth > HEAP_GROWTH_MAX) {
      collect();
      growth = Deno.memoryUsage().heapUsed - heap;
    }
    totals.heapGrowth = Math.max(totals.heapGrowth, growth);
    if (growth > HEAP_GROWTH_MAX) {
      const what = `left ${Math.round(growth / 2 ** 20)} MiB in use`;
      throw new FuzzFailure("node", seed + run, new Uint8Array(0), what);
    }
  }
  totals.ms = performance.now() - began;
  return totals;
}

class NodeFuzz {
  readonly #seed: number;
  readonly #random: Random;
  readonly #totals: NodeTotals;
  readonly #network: Network;
  /** What nodes said to each other, to be said again in another way. */
  readonly #heard: Message[] = [];
  readonly #messages: readonly Message[];
  readonly #requests: readonly Request[];
  readonly #results: readonly ChunkResult[];
  readonly #objects: NodeObjects;

  constructor(seed: number, totals: NodeTotals) {
    this.#seed = seed;
    this.#totals = totals;
    this.#random = Random.fromSeed(seed).fork("node");
    const drawnFrom = this.#random.uint32() | 0;
    this.#messages = fc.sample(arbMessage, { numRuns: POOL, seed: drawnFrom });
    this.#requests = fc.sample(arbRequest, { numRuns: POOL, seed: drawnFrom });
    this.#results = fc.sample(arbChunkResult, { numRuns: POOL, seed: drawnFrom });
    this.#network = new Network(NAMES, {}, {
      logEntriesMax: 64,
      logEntriesKept: 16,
      checkpointEntriesKept: 8,
      journalBytesPerCheckpoint: 64 * 1024,
      watchEventsKept: 32,
      // Often enough that what is said meets looks, repairs and scrubs under way.
      lookUs: 200_000,
      lookDelayUs: 20_000,
      hedgeUs: 3_000,
      putPatienceUs: 50_000,
      orphanAgeUs: 1_000_000,
      scrubBytesPerSecond: 1024 * 1024,
      scrubRestUs: 50_000,
    });
    this.#objects = new NodeObjects(this.#network, this.#random.fork("objects"));
    this.#network.sending = (_from, _to, message) => {
      // What a host could not send would end it.
      encodeMessages([message]);
      if (this.#heard.length < POOL) this.#heard.push(message);
      else this.#heard[this.#random.below(POOL)] = message;
    };
  }

  run(inputs: number): void {
    this.#guarded("what it was doing", () => {
      this.#network.settle();
      this.#objects.store();
    });
    for (let i = 0; i < inputs; i++) {
      const to = nodeId(this.#random.pick(NAMES));
      const input = this.#input(to);
      this.#totals.inputs++;
      this.#guarded(`${JSON.stringify(input, shown)} at "${to}"`, () => this.#network.step(to, input));
      if (this.#random.chance(1, 4)) {
        const us = this.#random.below(20_000);
        this.#guarded("what it was doing after hostile input", () => this.#network.run(us));
      }
      if (this.#random.chance(1, 200)) this.#restart();
      if (this.#random.chance(1, 20)) this.#objects.harmDisk(this.#random.pick(NAMES));
      encodeResponses(this.#network.replies);
      this.#network.replies.length = 0;
      this.#network.notes.length = 0;
    }
    for (const name of NAMES) this.#totals.fragments += this.#network.chunksOf(name).files.size;
  }

  #input(to: NodeId): Input {
    if (this.#random.chance(1, 8)) return this.#disk(to);
    return this.#random.chance(1, 3) ? this.#asked() : this.#said(to);
  }

  /** What no disk would say. */
  #disk(to: NodeId): Input {
    const results = Array.from({ length: 1 + this.#random.below(3) }, () => {
      const result = this.#random.chance(1, 16) ? this.#objects.endless() : this.#random.pick(this.#results);
      return { ...result, op: this.#objects.someOp(to) };
    });
    this.#totals.results += results.length;
    return { kind: "chunks", results };
  }

  /** What it wrote down after hostile input must be good to start from. */
  #restart(): void {
    const name = this.#random.pick(NAMES);
    this.#guarded(`a restart of "${name}"`, () => this.#network.restart(name));
  }

  #asked(): Input {
    const count = 1 + this.#random.below(3);
    const requests = Array.from({ length: count }, () => ({
      client: this.#random.below(4),
      id: this.#random.below(64),
      request: this.#request(),
    }));
    this.#totals.requests += count;
    return { kind: "requests", requests };
  }

  #request(): Request {
    const request = this.#random.pick(this.#requests);
    const { op } = request;
    if (this.#random.chance(1, 4)) return { op: this.#objects.op() };
    const near: Request = "key" in op && this.#random.chance(3, 4)
      ? { ...request, op: { ...op, key: this.#random.pick(KEYS) } }
      : request;
    if (this.#random.chance(1, 2)) return near;
    const changed = changedValue(near, this.#random);
    const again = onWire(() => decodeRequests(encodeRequests([{ id: 1, request: changed }]))[0]!.request);
    if (again !== null) this.#totals.garbage++;
    return again ?? near;
  }

  #said(to: NodeId): Input {
    const others = NAMES.filter((name) => name !== to);
    const from = nodeId(this.#random.chance(1, 6) ? this.#random.pick(STRANGERS) : this.#random.pick(others));
    const messages = Array.from({ length: 1 + this.#random.below(2) }, () => this.#message());
    this.#totals.messages += messages.length;
    return { kind: "messages", from, messages };
  }

  #message(): Message {
    const known = this.#heard.length > 0 && this.#random.chance(5, 6);
    const other = known ? this.#random.pick(this.#heard) : this.#random.pick(this.#messages);
    const message = this.#random.chance(1, 2) ? this.#objects.about(other) : other;
    if (this.#random.chance(1, 4)) return message;
    const changed = changedValue(message, this.#random);
    const again = onWire(() => decodeMessages(encodeMessages([changed]))[0]!);
    if (again !== null) this.#totals.garbage++;
    return again ?? message;
  }

  #guarded(what: string, run: () => void): void {
    const began = performance.now();
    try {
      run();
    } catch (error) {
      throw new FuzzFailure(
        "node",
        this.#seed,
        new Uint8Array(0),
        `${what.slice(0, 2000)}: ${describe(error)}`,
        {
          cause: error,
        },
      );
    }
    const took = performance.now() - began;
    this.#totals.slowestMs = Math.max(this.#totals.slowestMs, took);
    if (took > STEP_MS_MAX * 4) {
      throw new FuzzFailure("node", this.#seed, new Uint8Array(0), `${what.slice(0, 2000)} took ${took} ms`);
    }
  }
}

/** What a peer could really send; null: that no decoder would let pass. */
function onWire<T>(journey: () => T): T | null {
  try {
    return journey();
  } catch (error) {
    if (error instanceof WireError || error instanceof TypeError || error instanceof RangeError) return null;
    throw error;
  }
}

function shown(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? `0x${value.subarray(0, 64).toHex()}` : value;
}
