import { hashString32 } from "../../core/base/hash.ts";
import { after, type Instant, NEVER, type NodeId, SYSTEM_PARTITION, type Term } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import type { NodeOptions } from "../../core/node/options.ts";
import { Effects, type Input, type Kernel } from "../../core/wire/kernel.ts";
import type { Message } from "../../core/wire/messages.ts";
import type { FrameFormat } from "../../sim/frames.ts";

/**
 * A kernel that does a little of everything a world must carry: every tick it counts a term up, journals it, and
 * once that is durable tells a random peer. It answers client requests with its term.
 */
export class ToyKernel implements Kernel {
  readonly effects = new Effects();
  readonly id: NodeId;
  readonly inputs: { readonly input: Input; readonly now: Instant }[] = [];
  term: number;
  #peers: readonly NodeId[];
  #random: Random;
  #tick: Instant = NEVER;
  #hash = 0;

  constructor(options: NodeOptions, peers: readonly NodeId[], readonly tickUs = 50_000) {
    this.id = options.id;
    this.#random = options.random;
    this.#peers = peers.filter((peer) => peer !== options.id);
    const recovered = options.origin.kind === "recovered" ? options.origin.recovered : null;
    this.term = recovered?.replicas.get(SYSTEM_PARTITION)?.term ?? 0;
  }

  step(input: Input, now: Instant): Effects {
    const effects = this.effects;
    effects.clear();
    this.inputs.push({ input, now });
    switch (input.kind) {
      case "start":
        this.#tick = after(now, this.tickUs);
        break;
      case "wake":
        if (now >= this.#tick) this.#beat(now);
        break;
      case "messages":
        for (const message of input.messages) this.#hash = hashString32(JSON.stringify(message), this.#hash);
        break;
      case "requests":
        for (const { client, id } of input.requests) {
          effects.reply(client, id, { kind: "done", version: this.term });
        }
        break;
      case "stop":
        effects.stopped = true;
        break;
      default:
    }
    this.#hash = hashString32(`${this.#hash} ${input.kind} ${now} ${this.term}`);
    return effects;
  }

  #beat(now: Instant): void {
    this.#tick = after(now, this.tickUs);
    this.term++;
    this.effects.record({
      kind: "vote",
      partition: SYSTEM_PARTITION,
      term: this.term as Term,
      votedFor: this.id,
    });
    const message = { kind: "timeout-now", partition: SYSTEM_PARTITION, term: this.term as Term } as const;
    if (this.#peers.length > 0) this.effects.sendDurable(this.#random.pick(this.#peers), message);
  }

  nextWake(): Instant {
    return this.#tick;
  }
  fingerprint(): number {
    return this.#hash;
  }
}

/** A stand-in for the codec that copies. */
export const TOY_FRAMES: FrameFormat = {
  roundTrip: (messages) => messages.map((message) => JSON.parse(JSON.stringify(message)) as Message),
  detectsDamage: () => true,
};
