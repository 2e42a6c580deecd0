/** Encoded form of what peers say to each other: [tag, field, …] in the order of the declaration in messages.ts. */
import { LIMITS } from "../base/limits.ts";
import { unreachable } from "../base/invariant.ts";
import type { Reader, Wire } from "./cbor.ts";
import type {
  Append,
  Beat,
  BeatReply,
  Message,
  SnapshotChunk,
  Update,
  WatchEvent,
  WatchEvents,
  WatchStart,
} from "./messages.ts";
import { fragmentMessageWire, readFragmentMessage } from "./object_codec.ts";
import { readRequest, requestWire } from "./request_codec.ts";
import { readResponse, responseWire } from "./response_codec.ts";
import {
  configurationWire,
  entryWire,
  listWire,
  readAddress,
  readBytesOrNull,
  readConfiguration,
  readEntry,
  readList,
  readRow,
  readTextOrNull,
  readView,
  viewWire,
} from "./shared_codec.ts";
import { LIVENESS, MESSAGE, WATCH_STATUS } from "./tags.ts";

export function messageWire(message: Message): Wire {
  switch (message.kind) {
    case "append":
      return appendWire(message);
    case "append-reply": {
      const { partition, term, ok, index, indexTerm, refused } = message;
      return [MESSAGE["append-reply"], partition, term, ok, index, indexTerm, refused];
    }
    case "beats":
      return [MESSAGE.beats, listWire(message.beats, beatWire)];
    case "beat-replies":
      return [MESSAGE["beat-replies"], listWire(message.replies, beatReplyWire)];
    case "ping": {
      const { sequence, target, view, updates } = message;
      return [MESSAGE.ping, sequence, target, view, listWire(updates, updateWire)];
    }
    case "ack":
      return [MESSAGE.ack, message.sequence, message.view, listWire(message.updates, updateWire)];
    case "ping-request": {
      const { sequence, target, updates } = message;
      return [MESSAGE["ping-request"], sequence, target, listWire(updates, updateWire)];
    }
    case "nack":
      return [MESSAGE.nack, message.sequence];
    case "push-pull":
      return [MESSAGE["push-pull"], message.reply, listWire(message.members, updateWire)];
    case "vote": {
      const { partition, term, pre, transfer, lastIndex, lastTerm } = message;
      return [MESSAGE.vote, partition, term, pre, transfer, lastIndex, lastTerm];
    }
    case "vote-reply":
      return [MESSAGE["vote-reply"], message.partition, message.term, message.pre, message.granted];
    case "timeout-now":
      return [MESSAGE["timeout-now"], message.partition, message.term];
    case "snapshot":
      return snapshotWire(message);
    case "snapshot-reply": {
      const { partition, term, index, transfer, next, installed } = message;
      return [MESSAGE["snapshot-reply"], partition, term, index, transfer, next, installed];
    }
    case "layout-get":
      return [MESSAGE["layout-get"], message.version];
    case "layout-is":
      return [MESSAGE["layout-is"], viewWire(message.view)];
    case "forward":
      return [MESSAGE.forward, message.id, message.hops, requestWire(message.request)];
    case "forward-reply":
      return [MESSAGE["forward-reply"], message.id, responseWire(message.response)];
    case "watch-start": {
      const { id, partition, start, end, from } = message;
      return [MESSAGE["watch-start"], id, partition, start, end, from];
    }
    case "watch-stop":
      return [MESSAGE["watch-stop"], message.id, message.partition];
    case "watch-events": {
      const { id, partition, after, upTo, events } = message;
      const status = WATCH_STATUS.codes[message.status];
      return [MESSAGE["watch-events"], id, partition, after, upTo, listWire(events, eventWire), status];
    }
    case "replica-check":
      return [MESSAGE["replica-check"], message.partition];
    case "replica-verdict": {
      const { partition, term, commit, needed } = message;
      return [MESSAGE["replica-verdict"], partition, term, commit, needed];
    }
    case "space":
      return [MESSAGE.space, message.low];
    case "key-get":
      return [MESSAGE["key-get"], message.ids];
    case "fragment-put":
    case "fragment-put-reply":
    case "fragment-get":
    case "fragment-get-reply":
    case "fragment-check":
    case "fragment-check-reply":
    case "segments-gone":
      return fragmentMessageWire(message);
    default:
      return unreachable(message);
  }
}

const FIELDS_MAX = 16;

export function readMessage(reader: Reader): Message {
  const arity = reader.array(FIELDS_MAX);
  const tag = reader.integer();
  switch (tag) {
    case MESSAGE.append:
      reader.expectArity(arity, 7);
      return readAppend(reader);
    case MESSAGE["append-reply"]:
      reader.expectArity(arity, 7);
      return {
        kind: "append-reply",
        partition: reader.partition(),
        term: reader.term(),
        ok: reader.boolean(),
        index: reader.index(),
        indexTerm: reader.term(),
        refused: reader.index(),
      };
    case MESSAGE.beats:
      reader.expectArity(arity, 2);
      return { kind: "beats", beats: readList(reader, LIMITS.partitionsMax + 1, readBeat) };
    case MESSAGE["beat-replies"]:
      reader.expectArity(arity, 2);
      return { kind: "beat-replies", replies: readList(reader, LIMITS.partitionsMax + 1, readBeatReply) };
    case MESSAGE.ping:
      reader.expectArity(arity, 5);
      return {
        kind: "ping",
        sequence: reader.integer(),
        target: reader.nodeId(),
        view: reader.integer(),
        updates: readList(reader, LIMITS.membersMax, readUpdate),
      };
    case MESSAGE.ack:
      reader.expectArity(arity, 4);
      return {
        kind: "ack",
        sequence: reader.integer(),
        view: reader.integer(),
        updates: readList(reader, LIMITS.membersMax, readUpdate),
      };
    default:
      return readRareMessage(reader, arity, tag);
  }
}

function readRareMessage(reader: Reader, arity: number, tag: number): Message {
  switch (tag) {
    case MESSAGE["ping-request"]:
      reader.expectArity(arity, 4);
      return {
        kind: "ping-request",
        sequence: reader.integer(),
        target: reader.nodeId(),
        updates: readList(reader, LIMITS.membersMax, readUpdate),
      };
    case MESSAGE.nack:
      reader.expectArity(arity, 2);
      return { kind: "nack", sequence: reader.integer() };
    case MESSAGE["push-pull"]:
      reader.expectArity(arity, 3);
      return {
        kind: "push-pull",
        reply: reader.boolean(),
        members: readList(reader, LIMITS.membersMax, readUpdate),
      };
    case MESSAGE.vote:
      reader.expectArity(arity, 7);
      return {
        kind: "vote",
        partition: reader.partition(),
        term: reader.term(),
        pre: reader.boolean(),
        transfer: reader.boolean(),
        lastIndex: reader.index(),
        lastTerm: reader.term(),
      };
    case MESSAGE["vote-reply"]:
      reader.expectArity(arity, 5);
      return {
        kind: "vote-reply",
        partition: reader.partition(),
        term: reader.term(),
        pre: reader.boolean(),
        granted: reader.boolean(),
      };
    case MESSAGE["timeout-now"]:
      reader.expectArity(arity, 3);
      return { kind: "timeout-now", partition: reader.partition(), term: reader.term() };
    case MESSAGE["layout-get"]:
      reader.expectArity(arity, 2);
      return { kind: "layout-get", version: reader.integer() };
    case MESSAGE["layout-is"]:
      reader.expectArity(arity, 2);
      return { kind: "layout-is", view: readView(reader) };
    case MESSAGE.forward:
      reader.expectArity(arity, 4);
      return { kind: "forward", id: reader.integer(), hops: reader.integer(), request: readRequest(reader) };
    case MESSAGE["forward-reply"]:
      reader.expectArity(arity, 3);
      return { kind: "forward-reply", id: reader.integer(), response: readResponse(reader) };
    default:
      return readReplicaMessage(reader, arity, tag);
  }
}

/** Snapshots, watches and the rest that one replica says to another. */
function readReplicaMessage(reader: Reader, arity: number, tag: number): Message {
  switch (tag) {
    case MESSAGE.snapshot:
      reader.expectArity(arity, 11);
      return readSnapshot(reader);
    case MESSAGE["snapshot-reply"]:
      reader.expectArity(arity, 7);
      return {
        kind: "snapshot-reply",
        partition: reader.partition(),
        term: reader.term(),
        index: reader.index(),
        transfer: reader.integer(),
        next: reader.integer(),
        installed: reader.boolean(),
      };
    case MESSAGE["watch-start"]:
      reader.expectArity(arity, 6);
      return readWatchStart(reader);
    case MESSAGE["watch-stop"]:
      reader.expectArity(arity, 3);
      return { kind: "watch-stop", id: reader.integer(), partition: reader.partition() };
    case MESSAGE["watch-events"]:
      reader.expectArity(arity, 7);
      return readWatchEvents(reader);
    case MESSAGE["replica-check"]:
      reader.expectArity(arity, 2);
      return { kind: "replica-check", partition: reader.partition() };
    case MESSAGE["replica-verdict"]:
      reader.expectArity(arity, 5);
      return {
        kind: "replica-verdict",
        partition: reader.partition(),
        term: reader.term(),
        commit: reader.index(),
        needed: reader.boolean(),
      };
    case MESSAGE.space:
      reader.expectArity(arity, 2);
      return { kind: "space", low: reader.boolean() };
    case MESSAGE["key-get"]:
      reader.expectArity(arity, 2);
      return { kind: "key-get", ids: readList(reader, LIMITS.networkKeysMax, (r) => r.integer()) };
    default:
      return readFragmentMessage(reader, arity, tag);
  }
}

function updateWire(update: Update): Wire {
  return [update.node, update.address, update.incarnation, LIVENESS.codes[update.status], update.by];
}
function readUpdate(reader: Reader): Update {
  reader.tuple(5);
  return {
    node: reader.nodeId(),
    address: readAddress(reader),
    incarnation: reader.integer(),
    status: reader.choice(LIVENESS.names),
    by: reader.nodeId(),
  };
}

function appendWire(message: Append): Wire {
  const { partition, term, prevIndex, prevTerm, commit, entries } = message;
  return [MESSAGE.append, partition, term, prevIndex, prevTerm, commit, listWire(entries, entryWire)];
}
function readAppend(reader: Reader): Append {
  return {
    kind: "append",
    partition: reader.partition(),
    term: reader.term(),
    prevIndex: reader.index(),
    prevTerm: reader.term(),
    commit: reader.index(),
    entries: readList(reader, LIMITS.appendEntriesMax, readEntry),
  };
}

function beatWire(beat: Beat): Wire {
  return [beat.partition, beat.term, beat.commit, beat.round, beat.quiet];
}
function readBeat(reader: Reader): Beat {
  reader.tuple(5);
  return {
    partition: reader.partition(),
    term: reader.term(),
    commit: reader.index(),
    round: reader.integer(),
    quiet: reader.boolean(),
  };
}

function beatReplyWire(reply: BeatReply): Wire {
  return [reply.partition, reply.term, reply.round, reply.match];
}
function readBeatReply(reader: Reader): BeatReply {
  reader.tuple(4);
  return {
    partition: reader.partition(),
    term: reader.term(),
    round: reader.integer(),
    match: reader.index(),
  };
}

function snapshotWire(message: SnapshotChunk): Wire {
  return [
    MESSAGE.snapshot,
    message.partition,
    message.term,
    message.index,
    message.indexTerm,
    configurationWire(message.configuration),
    message.configurationIndex,
    message.transfer,
    message.sequence,
    message.done,
    message.rows,
  ];
}
function readSnapshot(reader: Reader): SnapshotChunk {
  return {
    kind: "snapshot",
    partition: reader.partition(),
    term: reader.term(),
    index: reader.index(),
    indexTerm: reader.term(),
    configuration: readConfiguration(reader),
    configurationIndex: reader.index(),
    transfer: reader.integer(),
    sequence: reader.integer(),
    done: reader.boolean(),
    rows: readList(reader, LIMITS.arrayItemsMax, readRow),
  };
}

function readWatchStart(reader: Reader): WatchStart {
  return {
    kind: "watch-start",
    id: reader.integer(),
    partition: reader.partition(),
    start: reader.text(),
    end: readTextOrNull(reader),
    from: reader.skipNull() ? null : reader.index(),
  };
}

function eventWire(event: WatchEvent): Wire {
  return [event.key, event.value, event.term, event.index];
}
function readEvent(reader: Reader): WatchEvent {
  reader.tuple(4);
  return {
    key: reader.text(),
    value: readBytesOrNull(reader),
    term: reader.term(),
    index: reader.index(),
  };
}
function readWatchEvents(reader: Reader): WatchEvents {
  return {
    kind: "watch-events",
    id: reader.integer(),
    partition: reader.partition(),
    after: reader.index(),
    upTo: reader.index(),
    events: readList(reader, LIMITS.arrayItemsMax, readEvent),
    status: reader.choice(WATCH_STATUS.names),
  };
}
