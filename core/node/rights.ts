/**
 * What each asker may do in a private network: pure functions of the agreed view. A right is on a prefix, and covers the
 * keys, and the names of leases, that begin with it; one on "so://bucket/…" covers objects instead (coverage.ts).
 *
 * Z1. Nobody known may do nothing; in an open network everybody may do everything.
 * Z2. An access key reads and writes only what one of its rights covers: each key and lease that an operation names, in
 *     every branch of a transaction, and of a range or a watch the whole of it.
 * Z3. Who runs the network has the right admin on the empty prefix. Another one with admin makes, changes and drops only
 *     keys all of whose rights, those before and those after, lie within what it administers, and gives no right that it
 *     has not itself. It is not told which rights others have, nor whether there is a key that it cannot drop.
 * Z4. What a member says of itself it alone says.
 * Z5. An invite lets its holder ask for the layout and to join, and nothing else.
 * Z6. The rows of objects are covered by rights on objects, and by those on the empty prefix, and by no others; and
 *     rights on objects cover no ordinary keys, whatever those are named. Rights of the one sort are never given by who
 *     has only the other.
 * Z7. The row of a segment is covered as the newest row of the object is that it names. Chunks are covered by any right on
 *     objects of that use, for they name no object: to read one, which is ciphertext, takes its segment's id, which is in the
 *     rows of its object; to write one takes what only the segment's writer has (N1 in core/objects/segment_id.ts); and of
 *     what is said to be gone the registry is asked. What shows all segments needs a right on all objects.
 * Z8. The secret with which an access key signs S3 requests is read by members alone, and written by who may change
 *     that access key.
 */
import { unreachable } from "../base/invariant.ts";
import { isOperator, knownInvite } from "../system/security.ts";
import { findMember } from "../system/system.ts";
import { interval, text } from "../wire/describe_request.ts";
import { isFormer } from "../wire/members.ts";
import type { SystemView } from "../wire/messages.ts";
import { refusal } from "../wire/ops.ts";
import type { CasOp, Op, PutOp, Refused, TransactOp } from "../wire/requests.ts";
import type { AccessKey, Principal, Right, Security } from "../wire/security.ts";
import { isRow, startPastRows } from "../wire/rows.ts";
import {
  coversKey,
  coversObjects,
  coversSpan,
  nameShown,
  secretOwner,
  type Use,
  within,
} from "./coverage.ts";

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
      return nameDenial(security, key, { use: "read", name: op.key });
    case "put":
      return putDenial(security, key, op);
    case "delete":
      return nameDenial(security, key, { use: "write", name: op.key });
    case "cas":
      return nameDenial(security, key, { use: "read", name: op.key }) ?? putDenial(security, key, op);
    case "transact":
      return transactDenial(security, key, op);
    case "grant":
    case "keep-alive":
    case "revoke":
      return nameDenial(security, key, { use: "write", name: op.lease });
    case "range":
    case "watch":
      return spanDenial(security, key, op);
    case "chunk-get":
      return chunkDenial(key, "read");
    case "chunk-put":
    case "segments-gone":
      return chunkDenial(key, "write");
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

function putDenial(security: Security, key: AccessKey, { key: name, lease }: PutOp | CasOp): Refused | null {
  return nameDenial(security, key, { use: "write", name }) ??
    (lease === undefined ? null : nameDenial(security, key, { use: "write", name: lease }));
}

function transactDenial(
  security: Security,
  key: AccessKey,
  { conditions, then, otherwise }: TransactOp,
): Refused | null {
  for (const { key: name } of conditions) {
    const refused = nameDenial(security, key, { use: "read", name });
    if (refused !== null) return refused;
  }
  for (const item of [...then, ...otherwise]) {
    const refused = item.kind === "put"
      ? putDenial(security, key, item)
      : nameDenial(security, key, { use: item.kind === "get" ? "read" : "write", name: item.key });
    if (refused !== null) return refused;
  }
  return null;
}

function nameDenial(
  security: Security,
  key: AccessKey,
  { use, name }: { readonly use: Use; readonly name: string },
): Refused | null {
  const owner = secretOwner(name);
  if (owner !== null) return secretDenial(security, key, use, owner);
  if (key.rights.some((right) => coversKey(right, use, name))) return null;
  return denied(
    `Access key "${key.id}" may not ${use} ${
      text(nameShown(name))
    }: it needs the right ${use} on a prefix of that`,
  );
}

/** Z8. */
function secretDenial(security: Security, key: AccessKey, use: Use, owner: string): Refused | null {
  if (use === "write") return takes(key, findAccess(security, owner)) ? null : takingDenial(key, owner);
  return denied(`Access key "${key.id}" may not read the S3 secret of "${owner}": only members do`);
}

function spanDenial(
  security: Security,
  key: AccessKey,
  { start, end }: { readonly start: string; readonly end: string | null },
): Refused | null {
  if (end === `${start}\0`) return nameDenial(security, key, { use: "read", name: start });
  // What is refused for its own sake is another's to say: here it counts as the whole of what it may show.
  const shown = startPastRows(start, end);
  if (key.rights.some((right) => coversSpan(right, shown, end))) return null;
  if (isRow(start)) {
    const shown = text(nameShown(start));
    return denied(
      `Access key "${key.id}" may not list what begins with ${shown}: it needs the right read on a prefix of that`,
    );
  }
  return denied(
    `Access key "${key.id}" may not read ${
      interval(start, end)
    }: it needs the right read on one prefix that all keys ` +
      `from there to there begin with`,
  );
}

/** Z7. */
function chunkDenial({ id, rights }: AccessKey, use: Use): Refused | null {
  if (rights.some((right) => coversObjects(right, use))) return null;
  return denied(
    `Access key "${id}" may not ${use} objects: it needs the right ${use} on a prefix such as "so://bucket/"`,
  );
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
      const has = !right[use] || key.rights.some((own) => own[use] && within(right.prefix, own.prefix));
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
  return others.every(({ prefix }) => rights.some((own) => own.admin && within(prefix, own.prefix)));
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
