/**
 * Runs one core in the real world: inputs in, one step each, effects out.
 *
 * N1. Steps of a turn come one after the other; what they ask to be sent leaves at the end of the turn, all for one
 *     receiver together, before the journal is synced: followers write while the leader does. What TLS carries leaves
 *     only when the event loop goes on, so the sync, which may hold it up, waits for that.
 * N2. What must wait for the journal waits in `#held`, in order, and leaves when the journal has said it is durable.
 * N3. A checkpoint's segment begins right behind the records of the step that asked for it; its mark is written when
 *     the tables are durable as they were then.
 * N4. Of what was read of fragments one turn takes no more than READ_BYTES_PER_TURN: each is looked at and sent on, and
 *     what others wait for goes in between.
 */
import { type Instant, NEVER, type NodeId } from "../../core/base/ids.ts";
import type {
  Checkpoint,
  ClientRequest,
  Effects,
  Envelope,
  Input,
  Kernel,
  KeyOffer,
  Note,
} from "../../core/wire/kernel.ts";
import type { ClientRequestFrame } from "../../core/wire/codec.ts";
import type { Message } from "../../core/wire/messages.ts";
import type { ChunkOp, ChunkResult } from "../../core/wire/objects.ts";
import type { AuditEvent, NodeStatus, Response } from "../../core/wire/requests.ts";
import type { Principal } from "../../core/wire/security.ts";
import { now } from "./clock.ts";

/** Where the runner's records go. */
export interface RunnerJournal {
  append(records: Effects["persist"], upTo: number): void;
  commit(): void;
  rotate(head: Checkpoint["records"]): Promise<void>;
  finishCheckpoint(): Promise<void>;
}
/** What of the tables concerns the runner. */
export interface RunnerTables {
  endStep(mark: number): void;
  durable(upTo: number): void;
  checkpoint(mark: number): Promise<void>;
}
/** What does with fragments of objects what a step asks. Answers come as Runner.chunkResult(), never within take(). */
export interface RunnerChunks {
  take(op: ChunkOp): void;
}
/** Where messages and answers go. */
export interface RunnerTransport {
  send(to: NodeId, message: Message): void;
  reply(client: number, id: number, response: Response): void;
  /** True where what was sent leaves only after what runs now has returned. */
  flush(): boolean;
}

export interface RunnerOptions {
  readonly journal: RunnerJournal;
  readonly tables: RunnerTables;
  readonly chunks: RunnerChunks;
  readonly transport: RunnerTransport;
  /** Before a status answer leaves: adds what the host knows. */
  readonly status: (status: NodeStatus) => NodeStatus;
  /** What the turn wrote was handed to the journal. */
  readonly committed: () => void;
  readonly noted: (note: Note) => void;
  /** A member may be given secrets of the network's keys. */
  readonly keyOffered: (offer: KeyOffer) => void;
  /** A generation of the network's keys is to be made. */
  readonly makeKey: (id: number) => void;
  /** What was written down last of who did what, the newest first. */
  readonly audit: (limit: number) => Promise<readonly AuditEvent[]>;
  /** The node did all that "stop" asks. */
  readonly stopped: () => void;
  /** The node cannot go on. */
  readonly failed: (error: Error) => void;
}

const READ_BYTES_PER_TURN = 2 * 1024 * 1024;

interface Held {
  readonly upTo: number;
  readonly envelopes: readonly Envelope[];
}

export class Runner {
  readonly #options: RunnerOptions;
  #kernel: Kernel | null = null;
  #inputs: Input[] = [];
  #requests: ClientRequest[] = [];
  #chunkResults: ChunkResult[] = [];
  /** Requests for the audit that the core has not answered, and how many events they ask for. */
  readonly #audits = new Map<string, number>();
  #held: Held[] = [];
  #scheduled = false;
  /** #commitLater() will run. */
  #commitDue = false;
  #dead = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #timerAt: Instant = NEVER;
  #durableUpTo = 0;
  #recorded = 0;
  #stopTold = false;
  #slowestTurnMs = 0;
  readonly #turn = () => this.#run();
  readonly #wake = () => {
    this.#timer = null;
    this.#timerAt = NEVER;
    this.#run();
  };

  readonly #commitLater = () => {
    this.#commitDue = false;
    if (this.#dead) return;
    this.#guarded(() => this.#commit());
    if (this.#inputs.length > 0) this.#run();
  };

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Steps { kind: "start" } and runs from then on. */
  start(kernel: Kernel): void {
    this.#kernel = kernel;
    this.#inputs.unshift({ kind: "start" });
    this.#run();
  }

  messages(from: NodeId, messages: readonly Message[]): void {
    this.input({ kind: "messages", from, messages });
  }

  /** `who`: null in an open network. */
  requests(client: number, requests: readonly ClientRequestFrame[], who: Principal | null): void {
    for (const { id, request } of requests) {
      if (request.op.kind === "audit") this.#audits.set(`${client} ${id}`, request.op.limit);
      this.#requests.push(who === null ? { client, id, request } : { client, id, request, who });
    }
    this.#schedule();
  }

  input(input: Input): void {
    this.#inputs.push(input);
    this.#schedule();
  }

  chunkResult(result: ChunkResult): void {
    if (this.#dead) return;
    this.#chunkResults.push(result);
    this.#schedule();
  }

  /** The journal says so, perhaps from within commit(). */
  durable(upTo: number): void {
    this.#durableUpTo = upTo;
    this.#options.tables.durable(upTo);
    this.input({ kind: "persisted", upTo });
  }

  /** No step follows. */
  kill(): void {
    this.#dead = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** After all that this pass of the event loop reads, so that it is one turn. */
  #schedule(): void {
    if (this.#scheduled || this.#kernel === null) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  /** Milliseconds of the longest turn since this was asked last. */
  takeSlowestTurn(): number {
    const ms = this.#slowestTurnMs;
    this.#slowestTurnMs = 0;
    return ms;
  }

  #run(): void {
    this.#scheduled = false;
    if (this.#dead) return;
    const began = performance.now();
    this.#guarded(() => {
      // A blocking commit brings "persisted" at once, whose effects belong to this turn.
      do {
        this.#stepAll();
        const leaving = this.#options.transport.flush();
        if (leaving && this.#recorded > this.#durableUpTo) {
          this.#commitSoon(); // N1
          break;
        }
        this.#commit();
      } while (this.#inputs.length > 0 && !this.#dead);
      this.#setTimer();
      this.#slowestTurnMs = Math.max(this.#slowestTurnMs, performance.now() - began);
    });
  }

  #commitSoon(): void {
    if (this.#commitDue) return;
    this.#commitDue = true;
    setImmediate(this.#commitLater);
  }

  #commit(): void {
    this.#options.journal.commit();
    this.#options.committed();
  }

  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.kill();
      this.#options.failed(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #stepAll(): void {
    const kernel = this.#kernel!;
    const inputs = this.#inputs;
    this.#inputs = [];
    for (const input of inputs) {
      if (input.kind === "persisted") this.#release();
      this.#step(input);
    }
    if (this.#requests.length > 0) {
      const requests = this.#requests;
      this.#requests = [];
      this.#step({ kind: "requests", requests });
    }
    if (this.#chunkResults.length > 0) this.#step({ kind: "chunks", results: this.#takeChunkResults() });
    if (kernel.nextWake() <= now()) this.#step({ kind: "wake" });
  }

  /** N4 */
  #takeChunkResults(): ChunkResult[] {
    const results = this.#chunkResults;
    let count = 0, bytes = 0;
    while (count < results.length && bytes < READ_BYTES_PER_TURN) {
      const result = results[count++]!;
      if (result.kind === "read") bytes += result.bytes?.length ?? 0;
    }
    this.#chunkResults = results.splice(count);
    if (this.#chunkResults.length > 0) this.#schedule();
    return results;
  }

  #step(input: Input): void {
    const effects = this.#kernel!.step(input, now());
    const { journal, tables, transport } = this.#options;
    if (effects.persist.length > 0) {
      journal.append(effects.persist, effects.persistedUpTo);
      this.#recorded = effects.persistedUpTo;
    }
    for (const { to, message } of effects.sendNow) transport.send(to, message);
    if (effects.sendAfterPersist.length > 0) {
      this.#held.push({ upTo: effects.persistedUpTo, envelopes: effects.sendAfterPersist.slice() });
      if (this.#recorded === this.#durableUpTo) this.#release();
    }
    for (const { client, id, response } of effects.replies) {
      if (this.#audits.size > 0 && this.#auditAsked(client, id, response)) continue;
      transport.reply(client, id, this.#completed(response));
    }
    for (const op of effects.chunkOps) this.#options.chunks.take(op);
    for (const note of effects.notes) this.#options.noted(note);
    for (const offer of effects.keyOffers) this.#options.keyOffered(offer);
    if (effects.makeKey !== null) this.#options.makeKey(effects.makeKey);
    tables.endStep(effects.persistedUpTo);
    if (effects.checkpoint !== null) this.#checkpoint(effects.checkpoint, effects.persistedUpTo);
    if (effects.stopped && !this.#stopTold) {
      this.#stopTold = true;
      this.#options.stopped();
    }
  }

  #release(): void {
    let released = 0;
    while (released < this.#held.length && this.#held[released]!.upTo <= this.#durableUpTo) {
      for (const { to, message } of this.#held[released]!.envelopes) {
        this.#options.transport.send(to, message);
      }
      released++;
    }
    if (released > 0) this.#held.splice(0, released);
  }

  #checkpoint({ number, records }: Checkpoint, upTo: number): void {
    const { journal, tables } = this.#options;
    const tablesDurable = tables.checkpoint(upTo);
    const headDurable = journal.rotate(records);
    Promise.all([tablesDurable, headDurable])
      .then(() => this.#dead ? undefined : journal.finishCheckpoint())
      .then(() => this.#dead ? undefined : this.input({ kind: "checkpointed", checkpoint: number }))
      .catch((error) => this.#options.failed(error));
  }

  /** The core says whether it may be answered; what the answer is, the host knows. */
  #auditAsked(client: number, id: number, response: Response): boolean {
    const name = `${client} ${id}`, limit = this.#audits.get(name);
    this.#audits.delete(name);
    if (limit === undefined || response.kind !== "audit") return false;
    this.#options.audit(limit).then((events) => {
      this.#options.transport.reply(client, id, { kind: "audit", events });
      this.#options.transport.flush();
    }, (error) => this.#options.failed(error));
    return true;
  }

  #completed(response: Response): Response {
    if (response.kind !== "status") return response;
    return { kind: "status", status: this.#options.status(response.status) };
  }

  #setTimer(): void {
    const wake = this.#kernel!.nextWake();
    if (this.#timer !== null) {
      // An earlier timer only wakes the loop once too often; making timers anew costs more.
      if (this.#timerAt <= wake) return;
      clearTimeout(this.#timer);
      this.#timer = null;
    }
    this.#timerAt = wake;
    if (wake === NEVER) return;
    this.#timer = setTimeout(this.#wake, Math.max(0, Math.ceil((wake - now()) / 1000)));
  }
}
