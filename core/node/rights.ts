/**
 * What each asker may do in a private network: pure functions of the agreed view. A right is on a prefix, and covers the
 * keys, and the names of leases, that begin with it.
 *
 * Z1. Nobody known may do nothing; in an open network everybody may do everything.
 * Z2. An access key reads and writes only what one of its rights covers: each key and lease that an operation names, in
 *     every branch of a transaction, and of a range or a watch the whole of it.
 * Z3. Who runs the network has the right admin on the empty prefix. Another one with admin makes, changes and drops only
 *     keys all of whose rights, those before and those after, lie within what it administers, and gives no right that it
 *     has not itself. It is not told which rights others have, nor whether there is a key that it cannot drop.
 * Z4. What a member says of itself it alone says.
 * Z5. An invite lets its holder ask for the layout and to join, and nothing else.
 */
import { compareUtf8, prefixEnd } from "../base/bytes.ts";
import { unreachable } from "../base/invariant.ts";
import { isOperator, knownInvite } from "../system/security.ts";
import { findMember } from "../system/system.ts";
import { interval, text } from "../wire/describe_request.ts";
import { isFormer } from "../wire/members.ts";
import type { SystemView } from "../wire/messages.ts";
import { refusal } from "../wire/ops.ts";
import type { CasOp, Op, PutOp, Refused, TransactOp } from "../wire/requests.ts";
import type { AccessKey, Principal, Right, Security } from "../wire/security.ts";

type Use = "read" | "write";

/** Why `who` may not have `op` done; null: it may. */
export function denial(view: SystemView, who: Principal | null, op: Op): Refused | null {
  const { security } = view;
  if (security === null) return null;
  switch (who?.kind) {
    case undefined:
      return denied("The network is private, and nobody has logged in here: show an access key (--profile)");
    case "member":
      return memberDenial(view, who.node, op);
    case "invite":
      return inviteDenial(security, who, op);
    case "access": {
      const key = findAccess(security, who.id);
      if (key !== null) return keyDenial(security, key, op);
      return denied(
        `Access key "${who.id}" is not known, or was revoked; ask who runs the network for another`,
      );
    }
    default:
      return unreachable(who);
  }
}

/** The view as `who` may see it: not everyone is told who else may do what. */
export function viewFor(view: SystemView, who: Principal | null): SystemView {
  const { security } = view;
  if (security === null || who?.kind === "member") return view;
  const key = who?.kind === "access" ? findAccess(security, who.id) : null;
  if (key !== null && isOperator(key)) return view;
  const access = key === null ? [] : security.access.filter((k) => k === key || administers(key, k.rights));
  return { ...view, security: { keys: security.keys, access, invites: [] } };
}

function memberDenial(
  view: SystemView,
  node: Extract<Principal, { kind: "member" }>["node"],
  op: Op,
): Refused | null {
  const member = findMember(view, node);
  if (member === null || member.state === "evicted") {
    return denied(
      `Node "${node}" does not belong to the network${member === null ? "" : ": it was evicted"}`,
    );
  }
  if (op.kind === "join" || op.kind === "layout" || op.kind === "members" || op.kind === "status") {
    return null;
  }
  if ((op.kind === "set-address" || op.kind === "key-status") && op.node !== node) { // Z4
    return denied(`Node "${node}" speaks for itself, and not for "${op.node}"`);
  }
  return isFormer(member.state)
    ? denied(`Node "${node}" is ${member.state}; it comes back by joining`)
    : null;
}

function inviteDenial(
  security: Security,
  who: Extract<Principal, { kind: "invite" }>,
  op: Op,
): Refused | null {
  // The state machine looks at the invite itself, and lets in again who was let in before.
  if (op.kind === "join") return null;
  if (op.kind !== "layout") return denied(`An invite lets a node join, and not ask for "${op.kind}"`);
  return knownInvite(security, who) === null
    ? denied(`Invite "${who.id}" is not known, or its secret is wrong`)
    : null;
}

function keyDenial(security: Security, key: AccessKey, op: Op): Refused | null {
  switch (op.kind) {
    case "get":
    case "history":
      return nameDenial(key, "read", op.key);
    case "put":
      return putDenial(key, op);
    case "delete":
      return nameDenial(key, "write", op.key);
    case "cas":
      return nameDenial(key, "read", op.key) ?? putDenial(key, op);
    case "transact":
      return transactDenial(key, op);
    case "grant":
    case "keep-alive":
    case "revoke":
      return nameDenial(key, "write", op.lease);
    case "range":
    case "watch":
      return spanDenial(key, op.start, op.end);
    case "unwatch":
    case "status":
    case "members":
    case "layout":
      return null;
    case "join":
      return denied(`Node "${op.member.id}" needs an invite: \`space-opera invite\` on any member makes one`);
    case "set-address":
    case "key-made":
    case "key-status":
      return denied(`Only a member asks for "${op.kind}", and access key "${key.id}" is none`);
    case "set-state":
    case "evict":
    case "invite-add":
    case "invite-drop":
    case "keys-rotate":
    case "audit":
      return isOperator(key) ? null : denied(
        `Access key "${key.id}" may not ask for "${op.kind}": it needs the right admin on the prefix ""`,
      );
    case "access-set":
      return grantDenial(security, key, op.access);
    case "access-drop":
      return takes(key, findAccess(security, op.id)) ? null : takingDenial(key, op.id);
    default:
      return unreachable(op);
  }
}

function putDenial(key: AccessKey, { key: name, lease }: PutOp | CasOp): Refused | null {
  return nameDenial(key, "write", name) ?? (lease === undefined ? null : nameDenial(key, "write", lease));
}

function transactDenial(key: AccessKey, { conditions, then, otherwise }: TransactOp): Refused | null {
  for (const condition of conditions) {
    const refused = nameDenial(key, "read", condition.key);
    if (refused !== null) return refused;
  }
  for (const item of [...then, ...otherwise]) {
    const refused = item.kind === "put"
      ? putDenial(key, item)
      : nameDenial(key, item.kind === "get" ? "read" : "write", item.key);
    if (refused !== null) return refused;
  }
  return null;
}

function nameDenial({ id, rights }: AccessKey, use: Use, name: string): Refused | null {
  if (rights.some((right) => right[use] && name.startsWith(right.prefix))) return null;
  return denied(
    `Access key "${id}" may not ${use} ${text(name)}: it needs the right ${use} on a prefix of that`,
  );
}

function spanDenial(key: AccessKey, start: string, end: string | null): Refused | null {
  const { id, rights } = key;
  if (end === `${start}\0`) return nameDenial(key, "read", start);
  if (rights.some((right) => right.read && holdsSpan(right.prefix, start, end))) return null;
  return denied(
    `Access key "${id}" may not read ${
      interval(start, end)
    }: it needs the right read on one prefix that all keys ` +
      `from there to there begin with`,
  );
}

/** True where every key from `start` up to but without `end`, in the order of their UTF-8 forms, begins with `prefix`. */
export function holdsSpan(prefix: string, start: string, end: string | null): boolean {
  if (!start.startsWith(prefix)) return false;
  const beyond = prefixEnd(prefix);
  return beyond === null || (end !== null && compareUtf8(end, beyond) <= 0);
}

// ---- who makes and drops access keys (Z3)

function grantDenial(security: Security, key: AccessKey, wanted: AccessKey): Refused | null {
  if (isOperator(key)) return null;
  const known = findAccess(security, wanted.id);
  if (known !== null && !takes(key, known)) return takingDenial(key, wanted.id);
  for (const right of wanted.rights) {
    if (!administers(key, [right])) {
      return denied(
        `Access key "${key.id}" may not give rights on ${
          text(right.prefix)
        }: it needs the right admin on a prefix of that`,
      );
    }
    for (const use of ["read", "write"] as const) {
      const has = !right[use] || key.rights.some((own) => own[use] && right.prefix.startsWith(own.prefix));
      if (has) continue;
      return denied(
        `Access key "${key.id}" may not give the right ${use} on ${
          text(right.prefix)
        }, which it has not itself`,
      );
    }
  }
  return null;
}

/** Whether it may change or drop the key `known`; null: there is none, which who runs the network may be told. */
function takes(key: AccessKey, known: AccessKey | null): boolean {
  return isOperator(key) || (known !== null && administers(key, known.rights));
}

/** The same whether there is such a key or not. */
function takingDenial({ id }: AccessKey, other: string): Refused {
  return denied(
    `Access key "${id}" may not change or drop "${other}": it needs the right admin on all prefixes that key has rights on`,
  );
}

/** It has admin on a prefix of each. */
function administers({ rights }: AccessKey, others: readonly Right[]): boolean {
  return others.every(({ prefix }) => rights.some((own) => own.admin && prefix.startsWith(own.prefix)));
}

/** Binary search: access keys are sorted, and every request of a client asks. */
function findAccess({ access }: Security, id: string): AccessKey | null {
  let low = 0, high = access.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (access[middle]!.id < id) low = middle + 1;
    else high = middle;
  }
  const found = access[low];
  return found !== undefined && found.id === id ? found : null;
}

function denied(message: string): Refused {
  return refusal("denied", message);
}
