/** The parts that messages, requests, records and commands share: `…Wire` encodes, `read…` decodes and checks. */
import type { NodeId } from "../base/ids.ts";
import type { Settings } from "../base/limits.ts";
import { LIMITS } from "../base/limits.ts";
import type { Row } from "../base/ports.ts";
import { encode, Reader, type Wire } from "./cbor.ts";
import { listWire, readList } from "./lists.ts";
import type { Configuration, Entry, Member, SystemView } from "./messages.ts";
import type { AuditEvent, KeyValue, Version } from "./requests.ts";
import { identityWire, readIdentity, readSecurity, securityWire } from "./security.ts";
export { listWire, readList } from "./lists.ts";
import { ENTRY_KIND, MEMBER_STATE } from "./tags.ts";

export function entryWire(entry: Entry): Wire {
  return [entry.term, entry.index, ENTRY_KIND.codes[entry.kind], entry.data];
}
export function readEntry(reader: Reader): Entry {
  reader.tuple(4);
  return {
    term: reader.term(),
    index: reader.index(),
    kind: reader.choice(ENTRY_KIND.names),
    data: reader.bytes(),
  };
}

export function readNodeIds(reader: Reader, max: number): NodeId[] {
  const count = reader.array(max);
  const ids: NodeId[] = [];
  for (let i = 0; i < count; i++) ids.push(reader.nodeId());
  return ids;
}

export function configurationWire(configuration: Configuration): Wire {
  return [configuration.voters, configuration.outgoing, configuration.learners];
}
export function readConfiguration(reader: Reader): Configuration {
  reader.tuple(3);
  return {
    voters: readNodeIds(reader, LIMITS.replicasMax),
    outgoing: readNodeIds(reader, LIMITS.replicasMax),
    learners: readNodeIds(reader, LIMITS.replicasMax),
  };
}
/** All of `bytes` as one value that `read` takes. */
export function decodeWith<T>(bytes: Uint8Array, read: (reader: Reader) => T): T {
  const reader = new Reader(bytes);
  const value = read(reader);
  reader.end();
  return value;
}

export function versionWire(version: Version): Wire {
  return [version.term, version.index];
}
export function readVersion(reader: Reader): Version {
  reader.tuple(2);
  return { term: reader.term(), index: reader.index() };
}

export function keyValueWire(item: KeyValue): Wire {
  return [item.key, item.value, item.version.term, item.version.index];
}
export function readKeyValue(reader: Reader): KeyValue {
  reader.tuple(4);
  return {
    key: reader.text(),
    value: readBytesOrNull(reader),
    version: { term: reader.term(), index: reader.index() },
  };
}

export function readBytesOrNull(reader: Reader): Uint8Array | null {
  return reader.skipNull() ? null : reader.bytes();
}
export function readTextOrNull(reader: Reader, max?: number): string | null {
  return reader.skipNull() ? null : reader.text(max);
}

export function readRow(reader: Reader): Row {
  reader.tuple(2);
  return [reader.bytes(), reader.bytes()];
}

export function memberWire(member: Member): Wire {
  const { id, address, zone, capacity, state, disk, identity } = member;
  const wire: Wire[] = [id, address, zone, capacity, MEMBER_STATE.codes[state], disk];
  if (identity !== undefined) wire.push(identityWire(identity));
  return wire;
}
/** Journals and tables of format 1 have members without a disk, those of an open network are without an identity. */
export function readMember(reader: Reader): Member {
  const fields = reader.array(7);
  if (fields < 5) reader.fail("invalid", `A member has 6 or 7 fields, not ${fields}`);
  const member: Member = {
    id: reader.nodeId(),
    address: readAddress(reader),
    zone: reader.text(LIMITS.zoneBytesMax),
    capacity: reader.integer(),
    state: reader.choice(MEMBER_STATE.names),
    disk: fields === 5 ? "" : reader.text(LIMITS.diskBytesMax),
  };
  return fields < 7 ? member : { ...member, identity: readIdentity(reader) };
}

export function readAddress(reader: Reader): string {
  return reader.token(LIMITS.addressBytesMax);
}

const HEX_32 = /^[0-9a-f]{32}$/;

/** 32 hexadecimal digits: the name of a network or a client. */
export function readName(reader: Reader): string {
  const name = reader.token(32);
  if (!HEX_32.test(name)) reader.fail("invalid", `${JSON.stringify(name)} is not 32 hexadecimal digits`);
  return name;
}

function settingsWire(settings: Settings): Wire {
  return [
    settings.partitions,
    settings.replicas,
    settings.systemReplicas,
    settings.heartbeatUs,
    settings.electionTimeoutUsMin,
    settings.electionTimeoutUsMax,
    settings.probeIntervalUs,
    settings.probeTimeoutUs,
    settings.suspicionMultiplier,
    settings.pushPullUs,
    settings.graceUs,
    settings.quietAfterUs,
    settings.leaseReads,
  ];
}
function readSettings(reader: Reader): Settings {
  reader.tuple(13);
  return {
    partitions: reader.integer(LIMITS.partitionsMax),
    replicas: reader.integer(LIMITS.replicasMax),
    systemReplicas: reader.integer(LIMITS.replicasMax),
    heartbeatUs: reader.integer(),
    electionTimeoutUsMin: reader.integer(),
    electionTimeoutUsMax: reader.integer(),
    probeIntervalUs: reader.integer(),
    probeTimeoutUs: reader.integer(),
    suspicionMultiplier: reader.integer(),
    pushPullUs: reader.integer(),
    graceUs: reader.integer(),
    quietAfterUs: reader.integer(),
    leaseReads: reader.boolean(),
  };
}

export function viewWire(view: SystemView): Wire {
  const wire: Wire[] = [
    view.version,
    view.network,
    settingsWire(view.settings),
    view.epoch,
    listWire(view.members, memberWire),
    view.assignment,
  ];
  if (view.security !== null) wire.push(securityWire(view.security));
  return wire;
}
/** That of an open network, as all were before format 3, has 6 fields. */
export function readView(reader: Reader): SystemView {
  const fields = reader.array(7);
  if (fields < 6) reader.fail("invalid", `A view has 6 or 7 fields, not ${fields}`);
  return {
    version: reader.integer(),
    network: readName(reader),
    settings: readSettings(reader),
    epoch: reader.epoch(),
    members: readList(reader, LIMITS.membersMax, readMember),
    assignment: readList(reader, LIMITS.partitionsMax + 1, readReplicas),
    security: fields < 7 ? null : readSecurity(reader),
  };
}
function readReplicas(reader: Reader): NodeId[] {
  return readNodeIds(reader, LIMITS.replicasMax);
}
/** What a snapshot or a table keeps of the agreed state. */
export function encodeView(view: SystemView): Uint8Array {
  return encode(viewWire(view));
}
/** @throws {WireError} when `bytes` is not exactly one view */
export function decodeView(bytes: Uint8Array): SystemView {
  return decodeWith(bytes, readView);
}

/** In answers, and in the lines of an audit log: a change of it is one of that file's format, too. */
export function auditEventWire({ timeMs, node, who, from, what, outcome }: AuditEvent): Wire {
  return [timeMs, node, who, from, what, outcome];
}
export function readAuditEvent(reader: Reader): AuditEvent {
  reader.tuple(6);
  return {
    timeMs: reader.integer(),
    node: reader.nodeId(),
    who: reader.text(),
    from: reader.text(),
    what: reader.text(),
    outcome: reader.text(),
  };
}
