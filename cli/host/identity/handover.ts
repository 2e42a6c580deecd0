/**
 * How a client follows its network to a new generation of keys. What it was given first names the authority of that
 * time and the members that it knows; later it meets an authority that it does not know. It follows when more than half
 * of the members that it knows have signed that they accept it: a member that was shut out has neither their keys nor
 * any way to make more than half of them sign, nor does it help it to offer a generation that is over.
 */
import { type Authority, CertificateError, checkValidity, readAuthority } from "./certificates.ts";
import { isPublicKey } from "./ed25519.ts";
import { type Statement, verifyStatement } from "./statements.ts";

export interface Handover {
  /** What the client believes now. */
  readonly network: string;
  /** The newest generation that it knows. */
  readonly generation: number;
  /** The members' keys that it knows, 64 hexadecimal digits each. */
  readonly known: readonly string[];
  readonly offered: {
    /** In DER. */
    readonly authority: Uint8Array;
    readonly statements: readonly Statement[];
  };
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * invalid: the authority's certificate is none. not-valid-now: by this machine's clock. network: it is of another one.
 * older: it is of a generation before the one known. no-members: the client knows no member that could vouch. minority:
 * not more than half of those that it knows have signed.
 */
export type HandoverRefusal = "invalid" | "not-valid-now" | "network" | "older" | "no-members" | "minority";

export type HandoverVerdict =
  | {
    readonly kind: "follow";
    readonly authority: Authority;
    readonly signed: number;
    readonly known: number;
  }
  | { readonly kind: "refused"; readonly reason: HandoverRefusal; readonly message: string };

export function mayFollow({ network, generation, known, offered, now }: Handover): HandoverVerdict {
  let authority;
  try {
    authority = readAuthority(offered.authority);
  } catch (error) {
    return refusal("invalid", error);
  }
  try {
    checkValidity(authority, now);
  } catch (error) {
    return refusal("not-valid-now", error);
  }
  if (authority.network !== network) {
    return refused("network", `The authority is that of network ${authority.network}, not of ${network}`);
  }
  if (authority.generation <= generation) {
    return refused(
      "older",
      `The authority is of generation ${authority.generation}, and the client knows generation ${generation} already`,
    );
  }
  const members = new Set(known.filter(isPublicKey));
  if (members.size === 0) {
    return refused(
      "no-members",
      "The profile names no members that could vouch for a new authority. Take a new profile",
    );
  }
  const signed = countSigned(members, authority, offered.statements);
  if (signed * 2 > members.size) return { kind: "follow", authority, signed, known: members.size };
  return refused(
    "minority",
    `Only ${signed} of the ${members.size} members that the profile names vouch for the authority of generation ` +
      `${authority.generation}; more than half have to. Take a new profile from an operator`,
  );
}

/** Each member counts once, however many statements come in its name: one of them has to hold. */
function countSigned(
  members: ReadonlySet<string>,
  authority: Authority,
  statements: readonly Statement[],
): number {
  const { network, generation, der } = authority;
  const signed = new Set<string>();
  for (const statement of statements) {
    if (!members.has(statement.key) || signed.has(statement.key)) continue;
    if (verifyStatement(statement, { network, generation, authority: der })) signed.add(statement.key);
  }
  return signed.size;
}

function refusal(reason: HandoverRefusal, error: unknown): HandoverVerdict {
  if (!(error instanceof CertificateError)) throw error;
  return refused(reason, error.message);
}

function refused(reason: HandoverRefusal, message: string): HandoverVerdict {
  return { kind: "refused", reason, message };
}
