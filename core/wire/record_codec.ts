/** Encoded form of journal records: [tag, field, …] in the order of the declaration in kernel.ts. */
import { LIMITS } from "../base/limits.ts";
import { unreachable } from "../base/invariant.ts";
import type { Reader, Wire } from "./cbor.ts";
import type { JournalRecord } from "./kernel.ts";
import {
  configurationWire,
  entryWire,
  listWire,
  readAddress,
  readConfiguration,
  readEntry,
  readList,
  readView,
  viewWire,
} from "./shared_codec.ts";
import { RECORD } from "./tags.ts";

export function recordWire(record: JournalRecord): Wire {
  switch (record.kind) {
    case "entries":
      return [RECORD.entries, record.partition, listWire(record.entries, entryWire)];
    case "vote":
      return [RECORD.vote, record.partition, record.term, record.votedFor];
    case "truncate":
      return [RECORD.truncate, record.partition, record.from];
    case "base": {
      const { partition, index, term, configuration, configurationIndex } = record;
      return [RECORD.base, partition, index, term, configurationWire(configuration), configurationIndex];
    }
    case "drop":
      return [RECORD.drop, record.partition];
    case "view":
      return [RECORD.view, viewWire(record.view)];
    case "peers":
      return [RECORD.peers, record.incarnation, listWire(record.peers, peerWire)];
    default:
      return unreachable(record);
  }
}

const FIELDS_MAX = 16;

export function readRecord(reader: Reader): JournalRecord {
  const arity = reader.array(FIELDS_MAX);
  const tag = reader.integer();
  switch (tag) {
    case RECORD.entries:
      reader.expectArity(arity, 3);
      return {
        kind: "entries",
        partition: reader.partition(),
        entries: readList(reader, LIMITS.arrayItemsMax, readEntry),
      };
    case RECORD.vote:
      reader.expectArity(arity, 4);
      return {
        kind: "vote",
        partition: reader.partition(),
        term: reader.term(),
        votedFor: reader.nodeIdOrNull(),
      };
    case RECORD.truncate:
      reader.expectArity(arity, 3);
      return { kind: "truncate", partition: reader.partition(), from: reader.index() };
    case RECORD.base:
      reader.expectArity(arity, 6);
      return {
        kind: "base",
        partition: reader.partition(),
        index: reader.index(),
        term: reader.term(),
        configuration: readConfiguration(reader),
        configurationIndex: reader.index(),
      };
    case RECORD.drop:
      reader.expectArity(arity, 2);
      return { kind: "drop", partition: reader.partition() };
    case RECORD.view:
      reader.expectArity(arity, 2);
      return { kind: "view", view: readView(reader) };
    case RECORD.peers:
      reader.expectArity(arity, 3);
      return {
        kind: "peers",
        incarnation: reader.integer(),
        peers: readList(reader, LIMITS.membersMax, readPeer),
      };
    default:
      return reader.fail("kind", `No record has the tag ${tag}`);
  }
}

type Peer = Extract<JournalRecord, { kind: "peers" }>["peers"][number];

function peerWire(peer: Peer): Wire {
  return [peer.node, peer.address];
}
function readPeer(reader: Reader): Peer {
  reader.tuple(2);
  return { node: reader.nodeId(), address: readAddress(reader) };
}
