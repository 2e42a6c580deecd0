/**
 * A node whose journal is damaged has forgotten votes and acknowledgements that others rely on, so it never comes back
 * as the member it was: it becomes a new one that gets its data from the others. What is left of the old one is kept.
 */
import { join } from "node:path";
import { type NodeId, nodeId } from "../../../core/base/ids.ts";
import { newestConfiguration } from "../../../core/node/salvage.ts";
import { OPEN_VAULT, type Vault } from "../../../core/base/vault.ts";
import { PART, readRawRecord, readSegmentHeader, SEGMENT_HEADER_BYTES } from "../../../core/wire/journal.ts";
import { recordCipher } from "../../../core/wire/journal_cipher.ts";
import { readBatch } from "../../../core/wire/journal_recovery.ts";
import { WireError } from "../../../core/wire/codec.ts";
import type { JournalRecord, Recovered } from "../../../core/wire/kernel.ts";
import { isFormer } from "../../../core/wire/members.ts";
import type { Configuration, SystemView } from "../../../core/wire/messages.ts";
import type { DataDirectory, NodeIdentity } from "../directory.ts";
import { randomHex } from "./origin.ts";

/** What the readable part of a journal says of the network. */
export interface Salvaged {
  readonly view: SystemView | null;
  readonly peers: readonly string[];
}

/** Reads what it can of views and peers in the journal's files, the newest last; of encrypted ones what `vault` opens. */
export function salvage(directory: string, vault: Vault = OPEN_VAULT): Salvaged {
  let view: SystemView | null = null;
  let peers: readonly string[] = [];
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name);
  for (const name of names.filter((each) => /^journal-\d+\.log$/.test(each)).sort()) {
    for (const record of readable(join(directory, name), vault)) {
      if (record.kind === "view") view = record.view;
      if (record.kind === "peers") peers = record.peers.map(({ address }) => address);
    }
  }
  return { view, peers };
}

function* readable(path: string, vault: Vault) {
  try {
    const bytes = Deno.readFileSync(path);
    const start = readSegmentHeader(bytes);
    if (start.kind !== "segment") return;
    const { salt, key } = start.header, header = bytes.subarray(0, SEGMENT_HEADER_BYTES);
    if (key === null && vault.current !== 0) return; // C5 in core/wire/journal_cipher.ts
    const cipher = recordCipher(vault, { key, header, opening: null });
    for (let at = SEGMENT_HEADER_BYTES;;) {
      const raw = readRawRecord(bytes, at, salt);
      if (raw === null) return;
      at = raw.end;
      if (raw.part !== PART.live && raw.part !== PART.head) continue;
      const payload = cipher === null ? raw.payload : cipher.decrypt(raw.place, raw.payload);
      if (payload !== null) yield* decoded(payload);
    }
  } catch {
    // Whatever is wrong with the file, another may say more.
  }
}

/** Nothing where it does not decode. */
function decoded(payload: Uint8Array): JournalRecord[] {
  try {
    return readBatch(payload);
  } catch (error) {
    if (error instanceof WireError) return [];
    throw error;
  }
}

/**
 * Who the node is from now on.
 * @throws {Error} when nobody else can have its data, or nobody is known to ask
 */
export function rebuilt(
  directory: DataDirectory,
  identity: NodeIdentity,
  { damage, join: named, vault }: { damage: Error; join: readonly string[]; vault?: Vault },
): NodeIdentity {
  const { view, peers } = salvage(directory.path, vault);
  const members = view?.members.filter(({ id, state }) =>
    id !== identity.node && id !== identity.formerly && !isFormer(state)
  );
  const addresses = unique([
    ...named,
    ...(members?.map(({ address }) => address) ?? []),
    ...peers,
    ...identity.peers,
  ]);
  if (addresses.length === 0 || view?.settings.replicas === 1) {
    throw new Error(
      `${damage.message}. No other node is known to have this data, so node "${identity.node}" does not begin ` +
        `anew by itself, and nothing was changed in "${directory.path}". Restore it from a copy; or, if ` +
        `this node belonged to a network, name another node of it with --join`,
    );
  }
  return {
    ...identity,
    node: nextName(identity.node),
    founder: false,
    disk: randomHex(8),
    started: false,
    peers: addresses,
    formerly: identity.node,
    aside: directory.nameAside(),
  };
}

const NAME_LENGTH_MAX = 64;

/** "sirius" becomes "sirius.2", that "sirius.3". */
export function nextName(node: NodeId): NodeId {
  const match = /^(.+)\.(\d{1,9})$/.exec(node);
  const suffix = `.${match === null ? 2 : Number(match[2]) + 1}`;
  return nodeId((match?.[1] ?? node).slice(0, NAME_LENGTH_MAX - suffix.length) + suffix);
}

/**
 * The partitions whose data would be lost with the tables: what the journal does not hold any more, no other node has.
 * Both count, the configuration where the log begins and the newest in it: whether that is committed is not known.
 */
export function onlyHere(recovered: Recovered, self: NodeId): number[] {
  const partitions: number[] = [];
  for (const [partition, replica] of recovered.replicas) {
    if (!replica.exists || replica.base.index === 0) continue;
    if (isAlone(replica.configuration, self) || isAlone(newestConfiguration(replica), self)) {
      partitions.push(partition);
    }
  }
  return partitions.sort((a, b) => a - b);
}

function isAlone({ voters, outgoing }: Configuration, self: NodeId): boolean {
  return [...voters, ...outgoing].every((voter) => voter === self);
}

function unique(addresses: readonly string[]): string[] {
  return [...new Set(addresses)];
}
