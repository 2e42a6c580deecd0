/**
 * Frames that peers sent on the bulk lane, handed over a little at a time.
 *
 * R1. One pass decodes and hands over about PASS_BYTES, of all peers together: heartbeats that came meanwhile are with the
 *     node before the next.
 * R2. Peers take turns, a frame each.
 * R3. A peer of whom HELD_BYTES_MAX wait is not read from until half of that is left.
 * R4. All of these connections rest for a moment whenever REST_AFTER_MS have passed since they last did. For the runtime
 *     asks the system which other sockets can be read only when its loop comes to rest, or every 61st round of it
 *     (DENO_TOKIO_EVENT_INTERVAL), and does not come to rest while there is something to read or an immediate waits. So
 *     passes are timers too. Before, half of all pings took more than 90 ms beside a stream of fragments of 1 MiB.
 */
import type { NodeId } from "../../core/base/ids.ts";
import { decodeMessages, WireError } from "../../core/wire/codec.ts";
import type { Message } from "../../core/wire/messages.ts";
import { isBulk } from "./bulk_link.ts";
import type { FrameSocket } from "./socket.ts";

const PASS_BYTES = 2 * 1024 * 1024;
const HELD_BYTES_MAX = 2 * 1024 * 1024;
const REST_AFTER_MS = 5;

export type BulkSocket = Pick<FrameSocket, "pause" | "resume" | "breakOff">;

interface Source {
  readonly peer: NodeId;
  readonly socket: BulkSocket;
  frames: Uint8Array[];
  bytes: number;
  paused: boolean;
}

export class BulkIntake {
  readonly #hand: (from: NodeId, messages: readonly Message[]) => void;
  /** Those of whom frames wait, in the order of their turns. */
  readonly #sources = new Map<BulkSocket, Source>();
  /** All that were heard. */
  readonly #sockets = new Set<BulkSocket>();
  #rest: ReturnType<typeof setTimeout> | null = null;
  #restedAt = 0;
  #pass: ReturnType<typeof setTimeout> | null = null;

  constructor(hand: (from: NodeId, messages: readonly Message[]) => void) {
    this.#hand = hand;
  }

  /** For a status answer. */
  get waitingBytes(): number {
    let bytes = 0;
    for (const source of this.#sources.values()) bytes += source.bytes;
    return bytes;
  }

  take(peer: NodeId, socket: BulkSocket, frames: readonly Uint8Array[]): void {
    let source = this.#sources.get(socket);
    if (source === undefined) {
      this.#sources.set(socket, source = { peer, socket, frames: [], bytes: 0, paused: false });
    }
    for (const frame of frames) {
      source.frames.push(frame);
      source.bytes += frame.length;
    }
    if (source.bytes >= HELD_BYTES_MAX && !source.paused) {
      source.paused = true;
      socket.pause(); // R3
    }
    this.#pass ??= setTimeout(() => this.#work(), 0);
  }

  /** Bytes came (R4). */
  heard(socket: BulkSocket): void {
    this.#sockets.add(socket);
    if (this.#rest !== null || performance.now() - this.#restedAt < REST_AFTER_MS) return;
    for (const each of this.#sockets) each.pause();
    this.#rest = setTimeout(() => {
      this.#rest = null;
      this.#restedAt = performance.now();
      for (const each of this.#sockets) if (this.#sources.get(each)?.paused !== true) each.resume();
    }, 0);
  }

  /** Its connection is closed, or what it said does not count any more. */
  forget(socket: BulkSocket): void {
    this.#sources.delete(socket);
    this.#sockets.delete(socket);
  }

  close(): void {
    this.#sources.clear();
    if (this.#rest !== null) clearTimeout(this.#rest);
    this.#rest = null;
    for (const socket of this.#sockets) socket.resume();
    this.#sockets.clear();
    if (this.#pass !== null) clearTimeout(this.#pass);
    this.#pass = null;
  }

  #work(): void {
    this.#pass = null;
    for (let bytes = 0; bytes < PASS_BYTES;) {
      const [source] = this.#sources.values();
      if (source === undefined) return;
      bytes += this.#next(source);
    }
    if (this.#sources.size > 0) this.#pass = setTimeout(() => this.#work(), 0);
  }

  /** Hands over the next frame of `source`, which goes to the end of the line (R2). */
  #next(source: Source): number {
    const { peer, socket } = source, frame = source.frames.shift()!;
    source.bytes -= frame.length;
    this.#sources.delete(socket);
    if (source.frames.length > 0) this.#sources.set(socket, source);
    if (source.paused && source.bytes <= HELD_BYTES_MAX / 2) {
      source.paused = false;
      if (this.#rest === null) socket.resume();
    }
    try {
      const messages = decodeMessages(frame);
      if (!messages.every(isBulk)) {
        throw new WireError("kind", "What came on the bulk lane does not belong there");
      }
      this.#hand(peer, messages);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.forget(socket);
      socket.breakOff(error);
    }
    return frame.length;
  }
}
