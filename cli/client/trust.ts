import { isFormer } from "../../core/wire/members.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import type { Proof } from "../../core/wire/session.ts";
import { askAuthorities } from "../host/ask_authorities.ts";
import { LOG_IN_RANDOM_BYTES } from "../host/identity/access_key.ts";
import {
  CertificateError,
  certificatePem,
  fingerprint,
  type MemberCertificate,
  readAuthority,
} from "../host/identity/certificates.ts";
import { mayFollow } from "../host/identity/handover.ts";
import type { AuthorityAnswer } from "../host/identity/authority_answer.ts";
import type { SecureDial } from "../host/socket.ts";
import { learn, type Learned, type Profile } from "./profile.ts";

/** What came of asking whom to believe. `refused`: asking there again will not help. */
export type Enquiry =
  | { readonly kind: "learned" }
  /** Nothing that was not known. `answered`: somebody is there. */
  | { readonly kind: "nothing"; readonly answered: boolean }
  | { readonly kind: "refused"; readonly why: string };

/**
 * Whom a client of a private network believes, and how it shows who it is. What it learns goes into its profile:
 *
 * T1. From a view, which comes over a connection that it believes: the members, where they are, and the authorities of the
 *     generations that are made or current.
 * T2. From anyone who is asked: an authority whose fingerprint it was given, where it was given no more; and a new one
 *     for which most of the members that it knows have signed (handover.ts).
 * T3. Who was evicted since the profile was written can still pose as a member by an authority of then. So before it
 *     speaks to anyone, a client listens around whether members vouch for a newer one: among those at LISTENED_TO
 *     addresses is one that was not evicted, unless somebody in between sees to it that no other is heard.
 */
export class Trust {
  #profile: Profile;
  readonly #changed: (profile: Profile) => void;
  #enquiries = new Map<string, Promise<Enquiry>>();

  constructor(profile: Profile, changed: (profile: Profile) => void) {
    this.#profile = profile;
    this.#changed = changed;
  }

  get profile(): Profile {
    return this.#profile;
  }

  /** null: the authorities are not known yet. */
  dial(): SecureDial | null {
    const { authorities } = this.#profile;
    if (authorities.length === 0) return null;
    return { preamble: "client", own: null, authorities: authorities.map(({ der }) => certificatePem(der)) };
  }

  /** For a connection to who has shown this certificate; null: the profile lets nobody log in. */
  proof({ der }: MemberCertificate): Proof | null {
    const { access, network } = this.#profile;
    if (access === null) return null;
    const random = crypto.getRandomValues(new Uint8Array(LOG_IN_RANDOM_BYTES));
    const signature = access.signLogIn({ network, serverCertificate: der, random });
    return { kind: "access", id: access.id, random, signature };
  }

  /** T1. */
  saw({ network, members, security }: SystemView): void {
    if (security === null || network !== this.#profile.network) return;
    const present = members.filter(({ state }) => !isFormer(state));
    const known = new Map(
      present.flatMap(({ id, identity }) => identity === undefined ? [] : [[identity.key, id] as const]),
    );
    const authorities = security.keys.filter(({ state }) => state === "made" || state === "current");
    this.#learn({
      addresses: [...new Set([...this.#profile.addresses, ...present.map(({ address }) => address)])],
      authorities: authorities.map(({ authority }) => authority),
      members: [...known].map(([key, node]) => ({ node, key })),
    });
  }

  /** T3. Resolves once as many have answered, or when no more are to be waited for. */
  async listenAround(addresses: readonly string[]): Promise<void> {
    const asked = [...new Set([...addresses, ...this.#profile.addresses])].slice(0, ASKED_MAX);
    if (this.#profile.authorities.length === 0 || asked.length < 2) return;
    const rest = new AbortController(), enough = Promise.withResolvers<void>();
    const late = setTimeout(enough.resolve, LISTEN_MS_MAX);
    let answered = 0;
    const all = asked.map(async (address) => {
      const enquiry = await this.#enquire(address, rest.signal);
      if (enquiry.kind === "nothing" && !enquiry.answered) return;
      if (enquiry.kind === "learned" || ++answered === LISTENED_TO) enough.resolve();
    });
    await Promise.race([enough.promise, Promise.all(all)]);
    clearTimeout(late);
    rest.abort();
  }

  /** T2, of the node at `address`. Of several who ask at once one asks. */
  enquire(address: string): Promise<Enquiry> {
    const underWay = this.#enquiries.get(address);
    if (underWay !== undefined) return underWay;
    const enquiry = this.#enquire(address).finally(() => this.#enquiries.delete(address));
    this.#enquiries.set(address, enquiry);
    return enquiry;
  }

  async #enquire(address: string, signal?: AbortSignal): Promise<Enquiry> {
    let answer;
    try {
      answer = await askAuthorities(address, signal);
    } catch {
      return { kind: "nothing", answered: false };
    }
    const { network } = this.#profile;
    if (answer.network !== network) {
      const kind = answer.open ? "the open network" : "network";
      return refused(`${kind} ${answer.network} is there, and the profile is for ${network}`);
    }
    if (answer.open) return refused("the network is open there, and the profile is for a private one");
    try {
      return this.#profile.authorities.length === 0 ? this.#pin(answer) : this.#follow(answer);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      return refused(`what it says of its authority cannot be used: ${error.message}`);
    }
  }

  #pin({ authorities }: AuthorityAnswer): Enquiry {
    const pinned = authorities.filter((der) => fingerprint(der) === this.#profile.fingerprint);
    if (pinned.length === 0) {
      return refused(
        "its authority is not the one that the profile names: somebody poses as the network, or its keys " +
          "were rotated since. Take a new profile from an operator",
      );
    }
    this.#learn({ authorities: pinned });
    return { kind: "learned" };
  }

  #follow({ authorities, statements }: AuthorityAnswer): Enquiry {
    const { network, members, authorities: believed } = this.#profile;
    const generation = believed[0]!.generation, known = members.map(({ key }) => key);
    let why: string | null = null;
    for (const authority of authorities) {
      if (readAuthority(authority).generation <= generation) continue;
      const offered = { authority, statements };
      const verdict = mayFollow({ network, generation, known, offered, now: Date.now() });
      if (verdict.kind === "follow") {
        this.#learn({ authorities: [authority] });
        return { kind: "learned" };
      }
      why ??= verdict.message;
    }
    return why === null ? { kind: "nothing", answered: true } : refused(why);
  }

  #learn(learned: Learned): void {
    const next = learn(this.#profile, learned);
    if (next === this.#profile) return;
    this.#profile = next;
    this.#changed(next);
  }
}

/** Of the addresses that a client knows, so many are asked at once, and so many answers are enough (T3). */
const ASKED_MAX = 8;
const LISTENED_TO = 2;
const LISTEN_MS_MAX = 300;

function refused(why: string): Enquiry {
  return { kind: "refused", why };
}
