import fc from "fast-check";
import type {
  AccessKey,
  Invite,
  MemberIdentity,
  NetworkKey,
  Principal,
  Right,
  Security,
} from "../../core/wire/security.ts";
import type { Proof } from "../../core/wire/session.ts";
import {
  type Arb,
  arbAddress,
  arbInteger,
  arbNodeId,
  arbZone,
  exactly,
  hex,
  list,
  orNull,
  whole,
} from "./arbitrary_basics.ts";

export const arbStatement: Arb<Uint8Array> = fc.constantFrom(new Uint8Array(0), new Uint8Array(64).fill(7));
export const arbIdentity = whole<MemberIdentity>({
  key: hex(64),
  holds: arbInteger,
  uses: arbInteger,
  statement: arbStatement,
});
export const arbAccessKey = whole<AccessKey>({
  id: arbAddress.map((token) => token.slice(0, 32)),
  publicKey: hex(64),
  name: fc.constantFrom("", "backup", "\u00e9"),
  rights: list(
    whole<Right>({ prefix: arbZone, read: fc.boolean(), write: fc.boolean(), admin: fc.boolean() }),
  ),
});
export const arbInvite = whole<Invite>({
  id: hex(16),
  hash: hex(64),
  zone: orNull(arbZone),
  expiresMs: arbInteger,
  uses: fc.nat({ max: 1000 }),
});
export const arbAuthority = fc.uint8Array({ maxLength: 40 });
export const arbSecurity = whole<Security>({
  keys: list(whole<NetworkKey>({
    id: arbInteger,
    state: fc.constantFrom("wanted", "made", "current", "former"),
    authority: arbAuthority,
  })),
  access: list(arbAccessKey),
  invites: list(arbInvite),
});
export const arbPrincipal: Arb<Principal> = fc.oneof(
  arbNodeId.map((node) => ({ kind: "member" as const, node })),
  fc.constant({ kind: "access" as const, id: "SOABCDEF" }),
  fc.tuple(hex(16), hex(64)).map(([id, proof]) => ({ kind: "invite" as const, id, proof })),
  fc.tuple(hex(16), hex(64), fc.nat()).map(([id, proof, nowMs]) => ({
    kind: "invite" as const,
    id,
    proof,
    nowMs,
  })),
);

export const arbProof: Arb<Proof> = fc.oneof(
  fc.tuple(exactly(32), exactly(64)).map(([random, signature]) => ({
    kind: "access" as const,
    id: "SOABCDEF",
    random,
    signature,
  })),
  fc.tuple(hex(16), exactly(16), hex(64), exactly(64), arbInteger).map((
    [id, secret, key, signature, clockMs],
  ) => ({
    kind: "invite" as const,
    id,
    secret,
    key,
    signature,
    clockMs,
  })),
);
