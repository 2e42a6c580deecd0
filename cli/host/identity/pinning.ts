/**
 * What a joiner believes: of the authorities that an address names in the clear, those whose fingerprints stand in
 * its token. Whoever answers can say anything, and can prove nothing else in the TLS that follows.
 */
import {
  type Authority,
  CertificateError,
  checkValidity,
  fingerprint,
  readAuthority,
} from "./certificates.ts";
import type { AuthorityAnswer } from "./authority_answer.ts";
import type { InviteToken } from "./token.ts";

/**
 * open: the network lets anyone in and has no authorities. network: it is another one. fingerprint: none of its
 * authorities is the one in the token. invalid: that one's certificate is none. not-valid-now: by this machine's clock.
 */
export type PinningRefusal = "open" | "network" | "fingerprint" | "invalid" | "not-valid-now";

export type PinningVerdict =
  /** At least one, the newest generation first: which of them the node there shows a certificate of is not known. */
  | { readonly kind: "believed"; readonly authorities: readonly Authority[] }
  | { readonly kind: "refused"; readonly reason: PinningRefusal; readonly message: string };

/** `now` in milliseconds since 1970. */
export function pinnedAuthority(
  answer: AuthorityAnswer,
  { network, fingerprints }: Pick<InviteToken, "network" | "fingerprints">,
  now: number,
): PinningVerdict {
  if (answer.network !== network) {
    return refused(
      "network",
      `A node of network ${answer.network} answered, and the invite is for ${network}. Check the addresses`,
    );
  }
  if (answer.open) {
    return refused("open", "The node that answered is of an open network, and the invite of a private one");
  }
  const pinned = answer.authorities.filter((der) => fingerprints.includes(fingerprint(der)));
  if (pinned.length === 0) {
    return refused(
      "fingerprint",
      "The node that answered does not know the authority that the invite names: it is not of that network, or the " +
        "network's keys have rotated since. Ask for a new invite",
    );
  }
  const authorities: Authority[] = [];
  let why: PinningVerdict | null = null;
  for (const der of pinned) {
    const read = readPinned(der, network, now);
    if ("reason" in read) why ??= read;
    else authorities.push(read);
  }
  return authorities.length === 0 ? why! : { kind: "believed", authorities };
}

function readPinned(
  der: Uint8Array,
  network: string,
  now: number,
): Authority | PinningVerdict & { readonly kind: "refused" } {
  try {
    const authority = readAuthority(der);
    if (authority.network !== network) {
      return refused(
        "invalid",
        `The authority that the invite names is that of network ${authority.network}`,
      );
    }
    checkValidity(authority, now);
    return authority;
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    const clock = error.reason === "expired" || error.reason === "not-yet-valid";
    return refused(clock ? "not-valid-now" : "invalid", error.message);
  }
}

function refused(
  reason: PinningRefusal,
  message: string,
): PinningVerdict & { readonly kind: "refused" } {
  return { kind: "refused", reason, message };
}
