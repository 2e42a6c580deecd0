import type { NodeId } from "../core/base/ids.ts";
import type { Random } from "../core/base/random.ts";
import type { Envelope } from "../core/wire/kernel.ts";
import type { Message } from "../core/wire/messages.ts";

/** The real wire format, or a stand-in. */
export interface FrameFormat {
  /** Encodes the messages of one frame and decodes them again. */
  roundTrip(messages: readonly Message[]): readonly Message[];
  /** True where the receiver finds out that the frame was damaged on its way. */
  detectsDamage(messages: readonly Message[], random: Random): boolean;
}

/** Gathers what one step sends into frames: one for each receiver, in the order in which each was first named. */
export class Frames {
  /** How many the last gather() made; receivers[i] gets messages[i]. */
  count = 0;
  readonly receivers: number[] = [];
  readonly messages: Message[][] = [];
  readonly #indexes: ReadonlyMap<NodeId, number>;
  /** By receiver: its frame while gathering, else -1. */
  readonly #frameOf: number[] = [];

  /** `indexes`: the receivers there are. What is for anyone else is dropped. */
  constructor(indexes: ReadonlyMap<NodeId, number>) {
    this.#indexes = indexes;
  }

  gather(envelopes: readonly Envelope[]): void {
    const frameOf = this.#frameOf;
    this.count = 0;
    while (frameOf.length < this.#indexes.size) frameOf.push(-1);
    for (let i = 0; i < envelopes.length; i++) {
      const { to, message } = envelopes[i]!, receiver = this.#indexes.get(to);
      if (receiver === undefined) continue;
      const frame = frameOf[receiver]!;
      if (frame >= 0) this.messages[frame]!.push(message);
      else {
        frameOf[receiver] = this.count;
        this.receivers[this.count] = receiver;
        this.messages[this.count++] = [message];
      }
    }
    for (let i = 0; i < this.count; i++) frameOf[this.receivers[i]!] = -1;
  }
}
