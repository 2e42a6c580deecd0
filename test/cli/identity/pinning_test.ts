/** What a joiner believes of what it is told in the clear. */
import assert from "node:assert/strict";
import { type AuthorityAnswer } from "../../../cli/host/identity/authority_answer.ts";
import { fingerprint } from "../../../cli/host/identity/certificates.ts";
import { pinnedAuthority, type PinningRefusal } from "../../../cli/host/identity/pinning.ts";
import { DAY_MS, generation, NETWORK, NOW, OTHER_NETWORK } from "./support.ts";

async function scene() {
  const one = await generation(), two = await generation({ id: 2 });
  const answer: AuthorityAnswer = {
    network: NETWORK,
    open: false,
    authorities: [two.authority, one.authority],
    statements: [],
  };
  return { one, two, answer, token: { network: NETWORK, fingerprints: [fingerprint(one.authority)] } };
}

function refusedWith(reason: PinningRefusal, ...args: Parameters<typeof pinnedAuthority>): void {
  const verdict = pinnedAuthority(...args);
  assert.equal(verdict.kind === "refused" ? verdict.reason : "believed", reason);
}

Deno.test("pinnedAuthority() believes the authorities that the token names, the newest first", async () => {
  const { two, answer, token } = await scene();
  const believed = (fingerprints: string[]) => {
    const verdict = pinnedAuthority(answer, { ...token, fingerprints }, NOW);
    return verdict.kind === "believed"
      ? verdict.authorities.map(({ generation }) => generation).join(" ")
      : verdict.reason;
  };
  assert.equal(believed([...token.fingerprints]), "1");
  assert.equal(believed([...token.fingerprints, fingerprint(two.authority)]), "2 1");
});

Deno.test("attack: an authority of a foreign fingerprint, though its name is right", async () => {
  const { answer, token } = await scene();
  const forged = await generation({ fill: 66 });
  refusedWith("fingerprint", { ...answer, authorities: [forged.authority] }, token, NOW);
  refusedWith("fingerprint", { ...answer, authorities: [new Uint8Array(5)] }, token, NOW);
});

Deno.test("attack: a node of another network, and of an open one that takes the private one's name", async () => {
  const { answer, token } = await scene();
  refusedWith("network", { ...answer, network: OTHER_NETWORK }, token, NOW);
  refusedWith("open", { ...answer, open: true, authorities: [] }, token, NOW);
});

Deno.test("what the token names has to be an authority of its network, and valid now", async () => {
  const { answer, token } = await scene();
  const elsewhere = await generation({ network: OTHER_NETWORK });
  const names = (der: Uint8Array) => ({ network: NETWORK, fingerprints: [fingerprint(der)] });
  for (const der of [elsewhere.authority, new Uint8Array(5)]) {
    refusedWith("invalid", { ...answer, authorities: [der] }, names(der), NOW);
  }
  refusedWith("not-valid-now", answer, token, NOW - DAY_MS);
  refusedWith("not-valid-now", answer, token, NOW + 30 * 365 * DAY_MS);
});
