/** A private network's members for tests of what lies below the core: keys and certificates that are real. */
import { nodeId } from "../../../core/base/ids.ts";
import type { Member, MemberState, SystemView } from "../../../core/wire/messages.ts";
import type { NodeCredentials } from "../../../cli/host/credentials.ts";
import { certificatePem } from "../../../cli/host/identity/certificates.ts";
import { newSeed, privateKeyPem, publicKeyOfSeed } from "../../../cli/host/identity/ed25519.ts";
import { issueAuthority, issueMember } from "../../../cli/host/identity/issuing.ts";
import { type OwnCertificate, ownCertificate } from "../../../cli/host/tls.ts";

export const NETWORK = "ab".repeat(16);

export interface Authority {
  readonly secret: Uint8Array;
  readonly der: Uint8Array;
}
export async function authority(network = NETWORK, generation = 1): Promise<Authority> {
  const secret = crypto.getRandomValues(new Uint8Array(32));
  return { secret, der: await issueAuthority({ network, generation, secret, now: Date.now() }) };
}
export interface Identity {
  readonly key: string;
  readonly own: OwnCertificate;
}
export async function identity(by: Authority, node: string, seed = newSeed()): Promise<Identity> {
  const key = publicKeyOfSeed(seed);
  const der = await issueMember({
    authority: by.der,
    secret: by.secret,
    node,
    publicKey: key,
    now: Date.now(),
  });
  return { key, own: ownCertificate(privateKeyPem(seed), der) };
}

/** What all of a test's nodes agree on. Changed in place by who is put into it. */
export class World {
  readonly by: Authority;
  readonly members = new Map<string, { key: string; state: MemberState }>();
  constructor(by: Authority) {
    this.by = by;
  }
  view(): SystemView {
    const members = [...this.members].map(([id, { key, state }]) => ({
      id: nodeId(id),
      state,
      identity: { key, holds: 1, uses: 1, statement: new Uint8Array(0) },
    })) as unknown as Member[];
    const keys = [{ id: 1, state: "current", authority: this.by.der }];
    return {
      network: NETWORK,
      members,
      security: { keys, access: [], invites: [] },
    } as unknown as SystemView;
  }
  credentials({ own }: Identity): NodeCredentials {
    return {
      network: NETWORK,
      tls: () => ({ own, authorities: [certificatePem(this.by.der)] }),
      view: () => this.view(),
      admit: () => Promise.reject(new Error("not here")),
    };
  }
}
