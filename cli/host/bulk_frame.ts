import { writeUint32 } from "../../core/base/bytes.ts";
import { crc32 } from "../../core/base/hash.ts";
import { invariant } from "../../core/base/invariant.ts";
import { encodeMessages } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import type { Message } from "../../core/wire/messages.ts";

/** Shorter ones are copied: two writes cost more. */
const COPIED_BYTES_MAX = 16 * 1024;
/** In canonical CBOR: the head of a byte string that is empty, and of one whose length takes two or four bytes. */
const EMPTY = 0x40, LENGTH_16 = 0x59, LENGTH_32 = 0x5a;
const NONE = new Uint8Array(0);

/**
 * The sealed frame of one message, in one piece or two that follow each other. A large fragment is not copied for it: the
 * second piece is the message's own bytes, which end the frame because they are its last field.
 */
export function bulkFrame(message: Message): readonly Uint8Array[] {
  if (message.kind !== "fragment-put" && message.kind !== "fragment-get-reply") return [copied(message)];
  const { bytes } = message;
  if (bytes === null || bytes.length <= COPIED_BYTES_MAX) return [copied(message)];
  const bare = copied({ ...message, bytes: NONE });
  invariant(bare.at(-1) === EMPTY, "A fragment's bytes are the last field of its message");
  const long = bytes.length > 0xffff;
  const head = new Uint8Array(bare.length + (long ? 4 : 2));
  head.set(bare);
  head[bare.length - 1] = long ? LENGTH_32 : LENGTH_16;
  if (long) writeUint32(head, bare.length, bytes.length);
  else {
    head[bare.length] = bytes.length >>> 8;
    head[bare.length + 1] = bytes.length;
  }
  writeUint32(head, 0, head.length - FRAME_HEADER_BYTES + bytes.length);
  writeUint32(head, 4, crc32(bytes, crc32(head.subarray(FRAME_HEADER_BYTES))));
  return [head, bytes];
}

function copied(message: Message): Uint8Array {
  return seal(encodeMessages([message], FRAME_HEADER_BYTES));
}
