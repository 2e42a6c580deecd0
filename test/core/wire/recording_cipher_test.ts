/** What encryption adds to recordings. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readUint32, writeUint32 } from "../../../core/base/bytes.ts";
import { crc32 } from "../../../core/base/hash.ts";
import { instant, nodeId } from "../../../core/base/ids.ts";
import { OPEN_VAULT, Vault } from "../../../core/base/vault.ts";
import {
  encodeItem,
  encodeItemFrame,
  encodePartHeader,
  ITEM_FRAME_HEADER_BYTES,
  PART_HEADER_BYTES,
  partCipher,
  type PartHeader,
  PartReader,
  RecordingError,
  type RecordingItem,
} from "../../../core/wire/recording.ts";

const secretOf = (byte: number) => new Uint8Array(32).fill(byte);
const vault = new Vault(new Map([[4, secretOf(4)]]), 4);
const keySalt = new Uint8Array(32).fill(0xab);
const HEADER: PartHeader = {
  node: nodeId("sirius"),
  life: "a1b2",
  part: 1,
  program: "0.1.0",
  salt: readUint32(keySalt, 0),
  network: "0123456789abcdef0123456789abcdef",
  key: { generation: 4, salt: keySalt },
};
const broke = (message: string): RecordingItem => ({
  kind: "broke",
  now: instant(7),
  message,
  input: { kind: "wake" },
});
const ITEMS = ["the north star", "is not the brightest"].map(broke);

/** A frame for each item. */
function part(header: PartHeader = HEADER): Uint8Array {
  const cipher = partCipher(vault, header, new Uint8Array(8).fill(1));
  const frames = ITEMS.map((item, number) =>
    encodeItemFrame([encodeItem(item)], { number, salt: header.salt, cipher })
  );
  return new Uint8Array(Buffer.concat([encodePartHeader(header), ...frames]));
}

function read(bytes: Uint8Array, keys = vault): RecordingItem[] {
  const reader = new PartReader({ file: "flight.000001", bytes, last: true }, keys);
  const items: RecordingItem[] = [];
  for (let found; (found = reader.next()) !== null;) items.push(...found);
  return items;
}

Deno.test("an encrypted part is read back, and shows nothing but its header", () => {
  const bytes = part();
  assert.deepEqual(read(bytes), ITEMS);
  const reader = new PartReader({ file: "flight.000001", bytes, last: true }, vault);
  assert.deepEqual(reader.header, HEADER);
  const shown = Buffer.from(bytes);
  for (const text of ["north", "brightest"]) assert.equal(shown.includes(text), false);
  assert.equal(shown.includes("sirius"), true);
});

Deno.test("each bit of an encrypted part that changes is told", () => {
  const bytes = part();
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    assert.throws(() => read(changed), RecordingError, `bit ${bit}`);
  }
});

Deno.test("a frame that was changed on purpose, or lies in another part, does not open", () => {
  const bytes = part(),
    second = PART_HEADER_BYTES + ITEM_FRAME_HEADER_BYTES + readUint32(bytes, PART_HEADER_BYTES);
  const changed = bytes.slice();
  changed[second + ITEM_FRAME_HEADER_BYTES + 9]! ^= 1;
  writeUint32(
    changed,
    second + 12,
    crc32(changed.subarray(second + ITEM_FRAME_HEADER_BYTES), HEADER.salt),
  );
  assert.throws(
    () => read(changed),
    { message: new RegExp(`damaged at byte ${second}: a frame is not as it was encrypted`) },
  );
  const other = part({ ...HEADER, part: 2 });
  other.set(encodePartHeader(HEADER));
  assert.throws(() => read(other), RecordingError);
});

Deno.test("a key that is not there is named, and its network, with what to do", () => {
  for (const keys of [OPEN_VAULT, new Vault(new Map([[4, secretOf(5)]]), 4)]) {
    assert.throws(() => read(part(), keys), (error) => {
      assert.ok(error instanceof RecordingError);
      assert.match(
        error.message,
        /^Cannot replay "flight\.000001": node "sirius" encrypted it with key generation 4 of network 0123456789abcdef/,
      );
      assert.match(
        error.message,
        /Name the data directory of a node of that network with --data, or its keyring/,
      );
      return true;
    });
  }
});

Deno.test("G4: a header whose key makes no sense is refused", () => {
  const bytes = part();
  writeUint32(bytes, 12, 1);
  writeUint32(bytes, 16, crc32(bytes.subarray(20, PART_HEADER_BYTES), crc32(bytes.subarray(8, 16))));
  assert.throws(() => read(bytes), { message: /its header makes no sense: It names no key/ });
});
