/** Decoders of files and texts that people keep, edit and hand on, and of what a node keeps beside its journal. */
import { logIndex, nodeId, partitionId, term } from "../../core/base/ids.ts";
import { Random } from "../../core/base/random.ts";
import { concatBytes, readUint32 } from "../../core/base/bytes.ts";
import { OPEN_VAULT } from "../../core/base/vault.ts";
import { BlockBuilder } from "../../core/tables/block.ts";
import { filterHash } from "../../core/tables/filter.ts";
import { TablesCorruptError, TablesVersionError } from "../../core/tables/errors.ts";
import type { TableFiles } from "../../core/tables/files.ts";
import { MANIFEST, readManifest, readManifestOwner, writeManifest } from "../../core/tables/manifest.ts";
import { Packer } from "../../core/tables/packing.ts";
import { PART, Seal } from "../../core/tables/seal.ts";
import { fileName, HEADER_BYTES, SortedFileWriter } from "../../core/tables/sorted_file.ts";
import { FileSource, SortedFileReader } from "../../core/tables/sorted_file_reader.ts";
import { Version } from "../../core/tables/version.ts";
import { encodeAuditHeader, encodeLine, readAuditFile } from "../../cli/host/audit_format.ts";
import { WireError } from "../../core/wire/cbor.ts";
import { parseProfile, ProfileError } from "../../cli/client/profile.ts";
import { decodeAuthorityAnswer, encodeAuthorityAnswer } from "../../cli/host/identity/authority_answer.ts";
import {
  CertificateError,
  fingerprint,
  readAuthority,
  readMember,
} from "../../cli/host/identity/certificates.ts";
import { issueAuthority, issueMember } from "../../cli/host/identity/issuing.ts";
import { publicKeyOfSeed } from "../../cli/host/identity/ed25519.ts";
import {
  decodeContent,
  encodeContent,
  formatKeyring,
  type KeyringContent,
  KeyringError,
  parseKeyring,
} from "../../cli/host/identity/keyring_file.ts";
import { formatToken, parseToken, TokenError } from "../../cli/host/identity/token.ts";
import {
  formatPlan,
  formatSurvivor,
  parsePlan,
  parseSurvivor,
  RecoveryFileError,
} from "../../cli/commands/recovery_files.ts";
import { type Holding, planRecovery } from "../../core/node/salvage.ts";
import { privateView, view } from "../support/wire_samples.ts";
import { parseScenario, ScenarioError } from "../../sim/scenario.ts";
import { type Decoder, decoder, someBytes } from "./decoder.ts";

const NETWORK = "000102030405060708090a0b0c0d0e0f";
const NOW = Date.UTC(2026, 0, 1);
const SECRET = new Uint8Array(32).fill(7), SEED = new Uint8Array(32).fill(9);
const AUTHORITY = await issueAuthority({ network: NETWORK, generation: 1, secret: SECRET, now: NOW });
const MEMBER = await issueMember({
  authority: AUTHORITY,
  secret: SECRET,
  node: "sirius",
  publicKey: publicKeyOfSeed(SEED),
  now: NOW,
});
const SCENARIOS = new URL("../../fixtures/scenarios/", import.meta.url);
const TEXTS = [...Deno.readDirSync(SCENARIOS)].map(({ name }) => name).filter((name) =>
  name.endsWith(".yaml")
)
  .sort().map((name) => Deno.readTextFileSync(new URL(name, SCENARIOS)));

const utf8 = (text: string) => new TextEncoder().encode(text);
/** As files are read: what is no UTF-8 is replaced. */
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const IDENTITY: readonly Decoder[] = [
  decoder({
    name: "authority certificate",
    errors: [CertificateError],
    sample: () => AUTHORITY,
    decode: readAuthority,
  }),
  decoder({
    name: "member certificate",
    errors: [CertificateError],
    sample: () => MEMBER,
    decode: readMember,
  }),
  decoder({
    name: "authority answer",
    errors: [WireError],
    sample: (random) =>
      encodeAuthorityAnswer(
        random.chance(1, 8) ? { network: NETWORK, open: true, authorities: [], statements: [] } : {
          network: NETWORK,
          open: false,
          authorities: [AUTHORITY],
          statements: Array.from({ length: random.below(4) }, () => ({
            key: publicKeyOfSeed(SEED),
            signature: exactly(64, random),
          })),
        },
      ),
    decode: decodeAuthorityAnswer,
    encode: encodeAuthorityAnswer,
  }),
  decoder({
    name: "invite token",
    errors: [TokenError],
    sample: (random) => utf8(token(random)),
    decode: (bytes) => parseToken(text(bytes)),
  }),
  decoder({
    name: "profile",
    errors: [ProfileError],
    sample: (random) => utf8(profile(random)),
    decode: (bytes) => parseProfile("profile.json", text(bytes)),
  }),
  decoder({
    name: "keyring",
    errors: [KeyringError],
    sample: (random) =>
      formatKeyring({
        kind: "open",
        head: { network: NETWORK, disk: "00112233", seal: null },
        content: keys(random),
      }),
    decode: (bytes) => parseKeyring("keyring.json", bytes),
  }),
  decoder({
    name: "keyring content",
    errors: [KeyringError],
    sample: (random) => encodeContent(keys(random)),
    decode: (bytes) => decodeContent("keyring.json", bytes),
  }),
];

const KEPT_BESIDE: readonly Decoder[] = [
  decoder({
    name: "scenario",
    errors: [ScenarioError],
    sample: (random) => utf8(random.pick(TEXTS)),
    decode: (bytes) => parseScenario(text(bytes), "scenario.yaml"),
    // Parsing what is repeated thousands of times takes its time, and nobody but its author waits for it.
    msMax: 5000,
  }),
  decoder({
    name: "survivor file",
    errors: [RecoveryFileError],
    sample: (random) =>
      utf8(formatSurvivor({
        node: nodeId("sirius"),
        network: NETWORK,
        view,
        viewAtEnd: random.chance(1, 2) ? view : privateView,
        holdings: Array.from({ length: random.below(4) }, (_, i) => holding(i)),
        held: random.chance(1, 2) ? null : [1, 2],
      })),
    decode: (bytes) => parseSurvivor("a.json", text(bytes)),
  }),
  decoder({
    name: "recovery plan",
    errors: [RecoveryFileError],
    sample: (random) => {
      const survivors = [holding(0), holding(1), holding(2)].slice(0, 1 + random.below(3));
      const made = planRecovery([{
        node: nodeId("sirius"),
        network: NETWORK,
        view,
        viewAtEnd: view,
        holdings: survivors,
      }], NETWORK);
      return utf8(formatPlan({ ...made, issuedMs: random.chance(1, 2) ? null : 1_750_000_000_000 }));
    },
    decode: (bytes) => parsePlan("plan.json", text(bytes)),
  }),
  decoder({
    name: "audit log",
    errors: [],
    sample: audit,
    decode: (bytes) => readAuditFile(bytes, OPEN_VAULT),
  }),
  decoder({
    name: "table manifest",
    errors: [TablesCorruptError, TablesVersionError],
    sample: manifest,
    decode: (bytes) => {
      const files = new MemoryFiles(new Map([[MANIFEST, bytes]]));
      readManifestOwner(files);
      return readManifest({ files, vault: OPEN_VAULT });
    },
  }),
  decoder({
    name: "table file",
    errors: [TablesCorruptError],
    sample: () => TABLE.bytes,
    decode: (bytes) => {
      const files = new MemoryFiles(new Map([[fileName(1), bytes]]));
      const reader = new SortedFileReader({ files, vault: OPEN_VAULT, cache: null }, {
        ...TABLE.info,
        bytes: bytes.length,
      });
      try {
        return TABLE.keys.map((key) => reader.get(key, filterHash(key)));
      } finally {
        reader.close();
      }
    },
  }),
];

/** Behind right checksums: what only who has the keys could have written, or a mistake of our own. */
const TABLES_INSIDE: readonly Decoder[] = [
  decoder({
    name: "table list",
    errors: [TablesCorruptError],
    sample: (random) => {
      const bytes = manifest(random), header = readUint32(bytes, 12);
      return bytes.slice(header, -CHECKSUM_BYTES);
    },
    decode: (body) => {
      const header = EMPTY_MANIFEST.subarray(0, readUint32(EMPTY_MANIFEST, 12));
      const sealed = new Seal(OPEN_VAULT, { generation: 0, salt: SALT }).seal(PART.manifest, 0, body, header);
      const files = new MemoryFiles(new Map([[MANIFEST, concatBytes([header, sealed])]]));
      const read = readManifest({ files, vault: OPEN_VAULT })!;
      return new Version(read.files);
    },
  }),
  decoder({
    name: "table index",
    errors: [TablesCorruptError],
    sample: () => TABLE.bytes.slice(TABLE.info.tailAt, -CHECKSUM_BYTES),
    decode: (tail) => {
      const sealed = new Seal(OPEN_VAULT, TABLE.info).seal(PART.tail, 0, tail);
      return readAll(concatBytes([TABLE.bytes.subarray(0, TABLE.info.tailAt), sealed]), TABLE.info.tailAt);
    },
  }),
  decoder({
    name: "table block",
    errors: [TablesCorruptError],
    sample: (random) => {
      const builder = new BlockBuilder();
      TABLE.keys.slice(0, 1 + random.below(20)).forEach((key, i) => {
        builder.add(key, i % 5 === 0 ? null : someBytes(random));
      });
      return builder.finish().slice();
    },
    decode: (block) => {
      const seal = new Seal(OPEN_VAULT, TABLE.info), sealed = seal.seal(PART.block, 0, block);
      const tail = new Packer();
      tail.uint32(0);
      tail.uint32(1);
      tail.uint32(sealed.length);
      tail.bytes(TABLE.keys[0]!);
      tail.raw(new Uint8Array(8).fill(0xff));
      const tailAt = HEADER_BYTES + sealed.length, header = TABLE.bytes.subarray(0, HEADER_BYTES);
      return readAll(concatBytes([header, sealed, seal.seal(PART.tail, 0, tail.finish())]), tailAt);
    },
  }),
];

export const FILES: readonly Decoder[] = [...IDENTITY, ...KEPT_BESIDE, ...TABLES_INSIDE];

// ---- identity

function exactly(length: number, random: Random): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256));
}

function token(random: Random): string {
  return formatToken({
    network: NETWORK,
    addresses: Array.from({ length: 1 + random.below(4) }, (_, i) => `10.0.0.${i}:7070`),
    fingerprints: [fingerprint(AUTHORITY)],
    id: exactly(8, random).toHex(),
    secret: exactly(16, random),
  });
}

function profile(random: Random): string {
  return JSON.stringify({
    format: 1,
    network: NETWORK,
    addresses: ["127.0.0.1:7070", "[::1]:7070"].slice(0, 1 + random.below(2)),
    authority: { fingerprint: fingerprint(AUTHORITY), certificates: [AUTHORITY.toBase64()] },
    members: random.chance(1, 2) ? [] : [{ node: "sirius", key: publicKeyOfSeed(SEED) }],
    access: null,
  });
}

function keys(random: Random): KeyringContent {
  const generations = new Map([[1, { state: "current" as const, secret: SECRET, authority: AUTHORITY }]]);
  const certificates = random.chance(1, 2) ? new Map([[1, MEMBER]]) : new Map<number, Uint8Array>();
  return { seed: SEED, certificates, generations, founding: null };
}

// ---- what a node keeps

function holding(partition: number): Holding {
  return {
    partition: partitionId(partition),
    term: term(2),
    exists: true,
    hollow: false,
    lastIndex: logIndex(9),
    lastTerm: term(2),
    applied: { index: logIndex(8), term: term(2) },
    configuration: { voters: [nodeId("sirius")], outgoing: [], learners: [] },
  };
}

function audit(random: Random): Uint8Array {
  const header = { generation: 0, salt: exactly(32, random) };
  const lines = Array.from({ length: random.below(4) }, (_, number) =>
    encodeLine({
      timeMs: NOW,
      node: nodeId("sirius"),
      who: "anyone",
      from: "127.0.0.1:1",
      what: "evict",
      outcome: "done",
    }, { ...header, number, cipher: null }));
  return concatBytes([encodeAuditHeader(header), ...lines]);
}

/** A directory that is a map. */
class MemoryFiles implements TableFiles {
  constructor(readonly files: Map<string, Uint8Array>) {}

  list(): string[] {
    return [...this.files.keys()].sort();
  }
  create(name: string) {
    this.files.set(name, new Uint8Array(0));
    const append = (bytes: Uint8Array) =>
      void this.files.set(name, concatBytes([this.files.get(name)!, bytes]));
    return { append, sync() {}, close() {} };
  }
  open(name: string) {
    const bytes = this.files.get(name);
    if (bytes === undefined) return null;
    const read = (at: number, into: Uint8Array) => {
      const part = bytes.subarray(at, at + into.length);
      into.set(part);
      return part.length;
    };
    return { read, size: () => bytes.length, close() {} };
  }
  rename(from: string, to: string): void {
    this.files.set(to, this.files.get(from)!);
    this.files.delete(from);
  }
  remove(name: string): void {
    this.files.delete(name);
  }
  syncDirectory(): void {}
  salt(): Uint8Array {
    return SALT.slice();
  }
  describe(name: string): string {
    return `tables/${name}`;
  }
}

const CHECKSUM_BYTES = 4;
const SALT = new Uint8Array(32).fill(5);
const TABLE = table();
const EMPTY_MANIFEST = manifest(Random.fromSeed(1));

/** All that can be asked of a file: single rows, and all of them in both directions. */
function readAll(bytes: Uint8Array, tailAt: number): unknown {
  const files = new MemoryFiles(new Map([[fileName(1), bytes]]));
  const info = { ...TABLE.info, bytes: bytes.length, tailAt };
  const reader = new SortedFileReader({ files, vault: OPEN_VAULT, cache: null }, info);
  try {
    let rows = 0;
    for (const reverse of reader.blocks === 0 ? [] : [false, true]) {
      const source = new FileSource(() => reader, { reverse, from: null });
      for (; source.key !== null; source.next()) rows += (source.value()?.length ?? 0) + 1;
    }
    return [rows, ...TABLE.keys.map((key) => reader.get(key, filterHash(key)))];
  } finally {
    reader.close();
  }
}

function table() {
  const files = new MemoryFiles(new Map()), random = Random.fromSeed(1);
  const writer = new SortedFileWriter({
    files,
    vault: OPEN_VAULT,
    number: 1,
    level: 1,
    age: 1,
    blockBytes: 512,
  });
  const keys = Array.from({ length: 64 }, (_, i) => utf8(`key ${String(i).padStart(4, "0")}`));
  keys.forEach((key, i) => writer.add(key, i % 7 === 0 ? null : someBytes(random)));
  const written = writer.finish([{ start: utf8("span a"), end: utf8("span b") }]);
  if (written === null) throw new Error("A file with rows was written");
  return { info: written.info, bytes: files.files.get(fileName(1))!, keys };
}

function manifest(random: Random): Uint8Array {
  const files = new MemoryFiles(new Map());
  const owner = random.chance(1, 3) ? null : { node: "sirius", network: NETWORK, disk: "00112233" };
  const infos = Array.from({ length: random.below(3) }, (_, i) => ({ ...TABLE.info, number: i + 1 }));
  writeManifest({ files, vault: OPEN_VAULT }, { owner, nextNumber: 9, files: infos });
  return files.files.get(MANIFEST)!;
}
