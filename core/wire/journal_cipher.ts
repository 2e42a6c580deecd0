/**
 * How the payloads of a journal's records are encrypted (base/vault.ts has the cipher and its rules K1 to K4).
 *
 *     payload  8 bytes of the opening | ciphertext | tag of 16 bytes
 *     nonce    the 8 bytes of the opening | the low 32 bits of the record's sequence
 *     bound to the whole header of the segment | sequence, unsynced and part of the record, as they lie there
 *
 *  C1  The opening is drawn at random whenever a file is opened to be written to. Within one opening sequences rise, so
 *      no nonce comes twice (K2). Between openings they do not: a crash may lose records, and others take their
 *      sequences. What is written again after a crash (J9) is the same bytes.
 *  C2  Each record carries the opening that it was written in. A marker at the start of each opening would spare 8
 *      bytes a batch, but then what can be read would depend on a record that a crash may tear or lose: recovery could
 *      no longer judge each record by itself (J7).
 *  C3  A record opens only at its place in its segment: its sequence, its part and what it says of others being durable
 *      were sealed with it, and the header gives the node and the number of the segment. Marks and seals are encrypted
 *      like all others, so nobody without the key makes a checkpoint count.
 *  C4  The checksum is right and the tag is not: no crash explains that, and recovery does not take it for a torn end.
 *  C5  Where the network has keys nothing is read that is not encrypted: whoever can write to a disk could have a node
 *      begin from a journal of his own making otherwise, and with a view of his own making.
 *
 * Frames of flight recordings and lines of the audit log are encrypted in the same way, each under its own purpose.
 *
 * What this does not see: a journal that was put back as it had been before, or lost its end; a disk may lose as much.
 */
import { type Cipher, NONCE_BYTES, TAG_BYTES, type Vault } from "../base/vault.ts";
import { writeUint32 } from "../base/bytes.ts";
import { invariant } from "../base/invariant.ts";

export const OPENING_BYTES = 8;
/** What a payload takes more than what it says. */
export const ENCRYPTION_BYTES = OPENING_BYTES + TAG_BYTES;
/** Of a record's header: sequence, unsynced and part. */
const PLACE_BYTES = 16;

/** Of the records that are written to one segment in one opening of its file, or read from it. */
export class RecordCipher {
  readonly #cipher: Cipher;
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  readonly #bound: Uint8Array;
  readonly #opening: Uint8Array | null;

  constructor(cipher: Cipher, header: Uint8Array, opening: Uint8Array | null) {
    invariant(opening === null || opening.length === OPENING_BYTES, "An opening has its full length");
    this.#cipher = cipher;
    this.#bound = new Uint8Array(header.length + PLACE_BYTES);
    this.#bound.set(header);
    this.#opening = opening;
  }

  /** The payload that says `text` in the record at `place`. */
  encrypt(place: Uint8Array, text: Uint8Array): Uint8Array {
    invariant(this.#opening !== null, "C1: what only reads writes nothing");
    this.#at(place, this.#opening);
    const payload = new Uint8Array(text.length + ENCRYPTION_BYTES);
    payload.set(this.#opening);
    payload.set(this.#cipher.seal(this.#nonce, text, this.#bound), OPENING_BYTES);
    return payload;
  }

  /** What the payload of the record at `place` says; null: it was not written there under this key (C3). */
  decrypt(place: Uint8Array, payload: Uint8Array): Uint8Array | null {
    if (payload.length < ENCRYPTION_BYTES) return null;
    this.#at(place, payload.subarray(0, OPENING_BYTES));
    return this.#cipher.open(this.#nonce, payload.subarray(OPENING_BYTES), this.#bound);
  }

  #at(place: Uint8Array, opening: Uint8Array): void {
    this.#nonce.set(opening);
    this.#nonce.set(place.subarray(4, 8), OPENING_BYTES);
    this.#bound.set(place, this.#bound.length - PLACE_BYTES);
  }
}

/** For what is numbered and bound to nothing else: the frames of a recording, the lines of a log. */
export function placeOf(number: number): Uint8Array {
  const place = new Uint8Array(PLACE_BYTES);
  writeUint32(place, 4, number);
  return place;
}

export interface CipherOptions {
  /** "journal" where it is not said. */
  readonly purpose?: "journal" | "recording" | "audit";
  readonly key: { readonly generation: number; readonly salt: Uint8Array } | null;
  /** The segment's first bytes. */
  readonly header: Uint8Array;
  /** OPENING_BYTES drawn for this opening of its file (C1); null: it is only read. */
  readonly opening: Uint8Array | null;
}

/**
 * Of a segment; null where nothing is encrypted in it.
 * @throws {UnknownKeyError}
 */
export function recordCipher(
  vault: Vault,
  { purpose = "journal", key, header, opening }: CipherOptions,
): RecordCipher | null {
  if (key === null) return null;
  return new RecordCipher(vault.cipher(purpose, key.generation, key.salt), header, opening);
}
