/**
 * Who may do what in a private network, as its members agree on it (part of SystemView). Nothing here is secret: of
 * every secret it holds the public part or a hash, so that whoever reads it gains no entry.
 */
import type { NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { unreachable } from "../base/invariant.ts";
import type { Reader, Wire } from "./cbor.ts";
import { listWire, readList } from "./lists.ts";
import { KEY_STATE, type KeyState, PRINCIPAL } from "./tags.ts";

/** All lists are sorted by id. */
export interface Security {
  readonly keys: readonly NetworkKey[];
  readonly access: readonly AccessKey[];
  readonly invites: readonly Invite[];
}

/**
 * One generation of the network's secret, from which its data key and its certificate authority come. The secret itself
 * is the hosts' affair.
 */
export interface NetworkKey {
  /** From 1. */
  readonly id: number;
  /**
   * wanted: to be made. made: being spread among members. current: new data is encrypted with it, and certificates are
   * issued by it. former: what it encrypted or issued may still be there.
   */
  readonly state: KeyState;
  /** The certificate of its authority, in DER; empty while it is wanted. */
  readonly authority: Uint8Array;
}

/** What the holder of an access key may do with keys that begin with `prefix`. */
export interface Right {
  readonly prefix: string;
  readonly read: boolean;
  readonly write: boolean;
  /** Make and revoke access keys with rights within `prefix`. With the empty prefix: run the network. */
  readonly admin: boolean;
}
export interface AccessKey {
  readonly id: string;
  /** Of Ed25519, 64 hexadecimal digits: its private part is the client's secret, and nowhere in the network. */
  readonly publicKey: string;
  /** For people. */
  readonly name: string;
  readonly rights: readonly Right[];
}

export interface Invite {
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** SHA-256 of the SHA-256 of its secret, 64 hexadecimal digits. */
  readonly hash: string;
  /** Where who uses it belongs; null: as it says itself. */
  readonly zone: string | null;
  /** Milliseconds since 1970. Looked at by the member that lets somebody in, by its own clock. */
  readonly expiresMs: number;
  /** How many may still use it. At 0 it is only remembered, so that who comes with it learns so. */
  readonly uses: number;
}

/** A member's own key, and how far it is with those of the network. */
export interface MemberIdentity {
  /** Public key of Ed25519, 64 hexadecimal digits. A connection counts as this member's only with it. */
  readonly key: string;
  /** The newest generation of the network's secret that it has. */
  readonly holds: number;
  /** The oldest generation that something on its disk, or its certificate, still needs. */
  readonly uses: number;
  /** Its signature under the authority of generation `holds`, 64 bytes; empty: none. */
  readonly statement: Uint8Array;
}

/** On whose behalf something is asked, as the host found out where the connection came in. */
export type Principal =
  | { readonly kind: "member"; readonly node: NodeId }
  | { readonly kind: "access"; readonly id: string }
  /**
   * `proof`: SHA-256 of the invite's secret, 64 hexadecimal digits. `nowMs`: when the proof was shown, milliseconds since
   * 1970 by the clock of the host that looked at it, for its view may not have had the invite yet.
   */
  | { readonly kind: "invite"; readonly id: string; readonly proof: string; readonly nowMs?: number };

/** `key SO7…`, `member b`, `invite 12ab…`; `anyone` for null, in an open network. */
export function describePrincipal(who: Principal | null): string {
  if (who === null) return "anyone";
  return who.kind === "member"
    ? `member ${who.node}`
    : `${who.kind === "access" ? "key" : "invite"} ${who.id}`;
}

export function securityWire({ keys, access, invites }: Security): Wire {
  return [listWire(keys, keyWire), listWire(access, accessKeyWire), listWire(invites, inviteWire)];
}
export function readSecurity(reader: Reader): Security {
  reader.tuple(3);
  return {
    keys: readList(reader, LIMITS.networkKeysMax, readKey),
    access: readList(reader, LIMITS.accessKeysMax, readAccessKey),
    invites: readList(reader, LIMITS.invitesMax, readInvite),
  };
}

function keyWire({ id, state, authority }: NetworkKey): Wire {
  return [id, KEY_STATE.codes[state], authority];
}
function readKey(reader: Reader): NetworkKey {
  reader.tuple(3);
  return {
    id: reader.integer(),
    state: reader.choice(KEY_STATE.names),
    authority: reader.bytes(LIMITS.authorityBytesMax),
  };
}

export function accessKeyWire({ id, publicKey, name, rights }: AccessKey): Wire {
  return [id, publicKey, name, listWire(rights, rightWire)];
}
export function readAccessKey(reader: Reader): AccessKey {
  reader.tuple(4);
  return {
    id: reader.token(LIMITS.accessIdBytesMax),
    publicKey: readHex(reader, 64),
    name: reader.text(LIMITS.accessNameBytesMax),
    rights: readList(reader, LIMITS.rightsMax, readRight),
  };
}
function rightWire({ prefix, read, write, admin }: Right): Wire {
  return [prefix, read, write, admin];
}
function readRight(reader: Reader): Right {
  reader.tuple(4);
  return {
    prefix: reader.text(LIMITS.keyBytesMax),
    read: reader.boolean(),
    write: reader.boolean(),
    admin: reader.boolean(),
  };
}

export function inviteWire({ id, hash, zone, expiresMs, uses }: Invite): Wire {
  return [id, hash, zone, expiresMs, uses];
}
export function readInvite(reader: Reader): Invite {
  reader.tuple(5);
  return {
    id: readHex(reader, 16),
    hash: readHex(reader, 64),
    zone: reader.skipNull() ? null : reader.text(LIMITS.zoneBytesMax),
    expiresMs: reader.integer(),
    uses: reader.integer(LIMITS.inviteUsesMax),
  };
}

export function identityWire({ key, holds, uses, statement }: MemberIdentity): Wire {
  return [key, holds, uses, statement];
}
export function readIdentity(reader: Reader): MemberIdentity {
  reader.tuple(4);
  return {
    key: readHex(reader, 64),
    holds: reader.integer(),
    uses: reader.integer(),
    statement: readStatement(reader),
  };
}
/** 64 bytes or none. */
export function readStatement(reader: Reader): Uint8Array {
  const statement = reader.bytes(64);
  if (statement.length % 64 !== 0) {
    reader.fail("invalid", `A statement has 64 bytes, not ${statement.length}`);
  }
  return statement;
}

export function principalWire(who: Principal): Wire {
  switch (who.kind) {
    case "member":
      return [PRINCIPAL.member, who.node];
    case "access":
      return [PRINCIPAL.access, who.id];
    case "invite":
      return who.nowMs === undefined
        ? [PRINCIPAL.invite, who.id, who.proof]
        : [PRINCIPAL.invite, who.id, who.proof, who.nowMs];
    default:
      return unreachable(who);
  }
}
export function readPrincipal(reader: Reader): Principal {
  const arity = reader.array(4);
  const tag = reader.integer();
  switch (tag) {
    case PRINCIPAL.member:
      reader.expectArity(arity, 2);
      return { kind: "member", node: reader.nodeId() };
    case PRINCIPAL.access:
      reader.expectArity(arity, 2);
      return { kind: "access", id: reader.token(LIMITS.accessIdBytesMax) };
    case PRINCIPAL.invite:
      if (arity !== 4) reader.expectArity(arity, 3);
      return {
        kind: "invite",
        id: readHex(reader, 16),
        proof: readHex(reader, 64),
        ...(arity === 4 ? { nowMs: reader.integer() } : {}),
      };
    default:
      return reader.fail("kind", `No principal has the tag ${tag}`);
  }
}

/** Exactly `digits` hexadecimal digits in lower case. */
export function readHex(reader: Reader, digits: number): string {
  const text = reader.token(digits);
  if (text.length !== digits || !/^[0-9a-f]*$/.test(text)) {
    reader.fail("invalid", `${JSON.stringify(text)} is not ${digits} hexadecimal digits`);
  }
  return text;
}
