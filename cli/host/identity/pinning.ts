/**
 * What a joiner believes: of the authorities that an address names in the clear, the one whose fingerprint stands in
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
  | { readonly kind: "believed"; readonly authority: Authority }
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
  const pinned = answer.authorities.find((der) => fingerprints.includes(fingerprint(der)));
  if (pinned === undefined) {
    return refused(
      "fingerprint",
      "The node that answered does not know the authority that the invite names: it is not of that network, or the " +
        "network's keys have rotated since. Ask for a new invite",
    );
  }
  try {
    const authority = readAuthority(pinned);
    if (authority.network !== network) {
      return refused(
        "invalid",
        `The authority that the invite names is that of network ${authority.network}`,
      );
    }
    checkValidity(authority, now);
    return { kind: "believed", authority };
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    const clock = error.reason === "expired" || error.reason === "not-yet-valid";
    return refused(clock ? "not-valid-now" : "invalid", error.message);
  }
}

function refused(reason: PinningRefusal, message: string): PinningVerdict {
  return { kind: "refused", reason, message };
}
