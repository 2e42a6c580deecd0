import type { Random } from "../core/base/random.ts";
import { decodeMessages, encodeMessages, WireError } from "../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, FrameReader, seal } from "../core/wire/framing.ts";
import type { Message } from "../core/wire/messages.ts";
import type { FrameFormat } from "./frames.ts";

/** The frames that real nodes exchange. */
export const WIRE_FRAMES: FrameFormat = {
  roundTrip(messages) {
    return receive(seal(encodeMessages(messages, FRAME_HEADER_BYTES)))!;
  },
  detectsDamage(messages, random) {
    const frame = seal(encodeMessages(messages, FRAME_HEADER_BYTES));
    damage(frame, random);
    try {
      return receive(frame) === null;
    } catch (error) {
      if (error instanceof WireError) return true;
      throw error;
    }
  },
};

/** The messages of a whole frame; null where bytes are missing. */
function receive(frame: Uint8Array): readonly Message[] | null {
  const payloads = new FrameReader().push(frame);
  return payloads.length === 0 ? null : decodeMessages(payloads[0]!);
}

/** Flips one to three bits, each in another byte. */
function damage(bytes: Uint8Array, random: Random): void {
  const first = random.below(bytes.length), flips = random.between(1, Math.min(3, bytes.length));
  for (let i = 0; i < flips; i++) {
    const at = (first + i * 7) % bytes.length;
    bytes[at] = bytes[at]! ^ (1 << random.below(8));
  }
}
