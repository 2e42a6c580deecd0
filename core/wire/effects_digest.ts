/**
 * What a step asks of its host as 32 bits, so that a recording shows whether a replayed step asked for the same. It
 * takes in every field that the codecs know of every effect, in order, and when the node wants to be woken. For finding
 * differences, not for security.
 */
import { crc32, fmix32, hashString32 } from "../base/hash.ts";
import type { Instant } from "../base/ids.ts";
import type { Wire } from "./cbor.ts";
import { describeNote } from "./describe.ts";
import type { Effects, Envelope } from "./kernel.ts";
import { messageWire } from "./message_codec.ts";
import { chunkOpWire } from "./object_codec.ts";
import { recordWire } from "./record_codec.ts";
import { responseWire } from "./response_codec.ts";

/** @param nextWake when the node asks to be woken after this step */
export function effectsDigest(effects: Effects, nextWake: Instant): number {
  const { persist, replies, notes, checkpoint, chunkOps } = effects;
  let hash = mixNumber(mixNumber(0x5bd1e995, nextWake), effects.persistedUpTo);
  hash = mixNumber(hash, persist.length);
  for (let i = 0; i < persist.length; i++) hash = mixWire(hash, recordWire(persist[i]!));
  hash = mixEnvelopes(mixEnvelopes(hash, effects.sendNow), effects.sendAfterPersist);
  hash = mixNumber(hash, replies.length);
  for (let i = 0; i < replies.length; i++) {
    const { client, id, response } = replies[i]!;
    hash = mixWire(mixNumber(mixNumber(hash, client), id), responseWire(response));
  }
  hash = mixNumber(hash, chunkOps.length);
  for (let i = 0; i < chunkOps.length; i++) hash = mixWire(hash, chunkOpWire(chunkOps[i]!));
  hash = mixNumber(hash, notes.length);
  for (let i = 0; i < notes.length; i++) hash = mix(hash, hashString32(describeNote(notes[i]!)));
  if (checkpoint !== null) {
    hash = mixNumber(mixNumber(hash, checkpoint.number), checkpoint.records.length);
    for (let i = 0; i < checkpoint.records.length; i++) {
      hash = mixWire(hash, recordWire(checkpoint.records[i]!));
    }
  }
  const { keyOffers, makeKey } = effects;
  for (let i = 0; i < keyOffers.length; i++) {
    hash = mixWire(mix(hash, hashString32(keyOffers[i]!.to)), keyOffers[i]!.ids);
  }
  if (makeKey !== null) hash = mixNumber(hash, makeKey);
  return fmix32(mix(hash, (checkpoint === null ? 0 : 1) + (effects.stopped ? 2 : 0)));
}

function mixEnvelopes(hash: number, envelopes: readonly Envelope[]): number {
  hash = mixNumber(hash, envelopes.length);
  for (let i = 0; i < envelopes.length; i++) {
    const { to, message } = envelopes[i]!;
    hash = mixWire(mix(hash, hashString32(to)), messageWire(message));
  }
  return hash;
}

const NULL = 0x6e756c6c, TRUE = 0x74727565, FALSE = 0x66616c73;
const TEXT = 0x74657874, BYTES = 0x62797465, ARRAY = 0x61727261;

/** Kinds are told apart, so that 0, "", null and [] all differ. */
function mixWire(hash: number, value: Wire): number {
  if (typeof value === "number") return mixNumber(hash, value);
  if (typeof value === "string") return mix(hash ^ TEXT, hashString32(value));
  if (value === null) return mix(hash, NULL);
  if (typeof value === "boolean") return mix(hash, value ? TRUE : FALSE);
  if (value instanceof Uint8Array) return mix(mix(hash ^ BYTES, value.length), crc32(value));
  hash = mix(hash ^ ARRAY, value.length);
  for (let i = 0; i < value.length; i++) hash = mixWire(hash, value[i]!);
  return hash;
}

function mixNumber(hash: number, value: number): number {
  hash = mix(hash, value | 0);
  return value < 0x1_0000_0000 ? hash : mix(hash, (value / 0x1_0000_0000) | 0);
}

/** A round of MurmurHash3. */
function mix(hash: number, word: number): number {
  const k = Math.imul(word, 0xcc9e2d51);
  hash ^= Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  return Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64 | 0;
}
