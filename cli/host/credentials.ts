import type { NodeId } from "../../core/base/ids.ts";
import { isFormer } from "../../core/wire/members.ts";
import type { Member, SystemView } from "../../core/wire/messages.ts";
import type { Security } from "../../core/wire/security.ts";
import type { Admission } from "../../core/wire/session.ts";
import type { HelloRefusal } from "../../core/wire/tags.ts";
import { ANSWER_AUTHORITIES_MAX, type AuthorityAnswer } from "./identity/authority_answer.ts";
import type { TlsMaterial } from "./tls.ts";

/** What a node of a private network shows, and by what it knows others. Asked anew for each connection. */
export interface NodeCredentials {
  readonly network: string;
  /** null: it has no certificate yet. */
  tls(): TlsMaterial | null;
  /** The newest view it knows; null: none yet. */
  view(): SystemView | null;
  /** A certificate for who was let in, and the secrets that members have. */
  admit(node: NodeId, publicKey: string): Promise<Admission>;
}

/** Why who has this key may not be connected to as `node`; null: it may. `gone` and `removed` find their way back. */
export function objectionTo(view: SystemView, node: NodeId, key: string): HelloRefusal | null {
  const shutOut = view.members.some(({ state, identity }) => state === "evicted" && identity?.key === key);
  if (shutOut) return "evicted";
  const member = view.members.find(({ id }) => id === node);
  if (member === undefined) return "unknown";
  return member.identity?.key === key ? null : "impostor";
}

/** The member that has this key and may speak for itself as a client; of several names the one in use. */
export function memberOfKey(view: SystemView, key: string): Member | null {
  const known = view.members.filter(({ state, identity }) => identity?.key === key && state !== "removed");
  if (known.some(({ state }) => state === "evicted")) return null;
  return known.find(({ state }) => !isFormer(state)) ?? known[0] ?? null;
}

export function keyOf(view: SystemView, node: NodeId): string | null {
  return view.members.find(({ id }) => id === node)?.identity?.key ?? null;
}

/** Certificates of the generations by which somebody may be known, the newest first. */
export function authoritiesOf({ keys }: Security): Uint8Array[] {
  return keys.filter(({ state }) => state !== "wanted").map(({ authority }) => authority).reverse();
}

/** What anyone is told who asks. Not of a generation that is not current yet: nobody shows a certificate of it. */
export function authorityAnswer(view: SystemView): AuthorityAnswer {
  const { network, security } = view;
  if (security === null) return { network, open: true, authorities: [], statements: [] };
  const statements = view.members
    .filter(({ state, identity }) =>
      !isFormer(state) && identity !== undefined && identity.statement.length > 0
    )
    .map(({ identity }) => ({ key: identity!.key, signature: identity!.statement }));
  const shown = { ...security, keys: security.keys.filter(({ state }) => state !== "made") };
  const authorities = authoritiesOf(shown).slice(0, ANSWER_AUTHORITIES_MAX);
  return { network, open: false, authorities, statements };
}

/** Of a node of a private network that has neither keys nor members yet: it lets nobody in. */
export const NO_CREDENTIALS: NodeCredentials = {
  network: "",
  tls: () => null,
  view: () => null,
  admit: () => Promise.reject(new Error("this node has no keys yet")),
};
