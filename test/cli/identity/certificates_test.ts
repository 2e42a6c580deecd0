/** Certificates: what is issued holds in three readers, and what this program would not issue is no certificate. */
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import {
  authorityMatches,
  authorityName,
  CERTIFICATE_BYTES_MAX,
  CertificateError,
  type CertificateErrorReason,
  certificatePem,
  checkMember,
  checkValidity,
  CLOCK_SKEW_MS,
  fingerprint,
  MEMBER_NAME,
  publicKeyOf,
  readAuthority,
  readMember,
  renewalDue,
} from "../../../cli/host/identity/certificates.ts";
import { DerError, DerReader } from "../../../cli/host/identity/der.ts";
import { newSeed, publicKeyOfSeed } from "../../../cli/host/identity/ed25519.ts";
import {
  AUTHORITY_LIFE_MS,
  issueAuthority,
  issueMember,
  MEMBER_LIFE_MS,
} from "../../../cli/host/identity/issuing.ts";
import {
  crafted,
  DAY_MS,
  der,
  ED25519,
  flipped,
  generation,
  member,
  NETWORK,
  NOW,
  OTHER_NETWORK,
  replaced,
  resigned,
} from "./support.ts";

const refused = (reason: CertificateErrorReason) => (error: unknown) =>
  error instanceof CertificateError && error.reason === reason;

Deno.test("issueAuthority() makes the same certificate from the same secret and arguments", async () => {
  const one = await generation({ fill: 7 });
  assert.deepEqual((await generation({ fill: 7 })).authority, one.authority);
  assert.deepEqual(readAuthority(one.authority), {
    der: one.authority,
    network: NETWORK,
    generation: 1,
    key: publicKeyOf(one.authority),
    notBefore: NOW - CLOCK_SKEW_MS,
    notAfter: NOW - CLOCK_SKEW_MS + AUTHORITY_LIFE_MS,
  });
  assert.ok(authorityMatches(one.authority, one.secret));
  assert.ok(!authorityMatches(one.authority, new Uint8Array(32).fill(8)));
});

Deno.test("issueAuthority() refuses a network or a generation that no certificate can name", async () => {
  const secret = new Uint8Array(32);
  for (
    const [network, id] of [["net", 1], [NETWORK, 0], [NETWORK, 1.5], [NETWORK.toUpperCase(), 1]] as const
  ) {
    await assert.rejects(issueAuthority({ network, generation: id, secret, now: NOW }), refused("profile"));
  }
});

Deno.test("issueMember() makes what this program, the runtime's reader and the chain's signature agree on", async () => {
  const g = await generation();
  for (const node of ["sirius", '#1,="+\\<>;', "x".repeat(64)]) {
    const { der: bytes, key } = await member(g, { node });
    assert.deepEqual(readMember(bytes), {
      der: bytes,
      node,
      key,
      network: NETWORK,
      generation: 1,
      notBefore: NOW - CLOCK_SKEW_MS,
      notAfter: NOW - CLOCK_SKEW_MS + MEMBER_LIFE_MS,
    });
    checkMember(bytes, { authority: g.authority, node, publicKey: key, now: NOW });
    const twin = new X509Certificate(certificatePem(bytes));
    assert.equal(twin.subjectAltName, `DNS:${MEMBER_NAME}`);
    assert.equal(twin.ca, false);
    assert.equal(Date.parse(twin.validTo), readMember(bytes).notAfter);
    const authority = new X509Certificate(Buffer.from(g.authority));
    assert.equal(authority.ca, true);
    assert.equal(twin.issuer, authority.subject);
    assert.ok(twin.verify(authority.publicKey));
    assert.equal(twin.publicKey.export({ format: "der", type: "spki" }).toString("hex").slice(24), key);
    assert.equal(twin.fingerprint256.replaceAll(":", "").toLowerCase(), fingerprint(bytes));
  }
});

Deno.test("issueMember() refuses what it must not sign", async () => {
  const g = await generation(), other = await generation({ fill: 99 });
  const good = {
    authority: g.authority,
    secret: g.secret,
    node: "n",
    publicKey: publicKeyOfSeed(newSeed()),
    now: NOW,
  };
  await assert.rejects(issueMember({ ...good, secret: other.secret }), refused("wrong-key"));
  for (const node of ["", "two words", "x".repeat(65), "é"]) {
    await assert.rejects(issueMember({ ...good, node }), refused("wrong-node"));
  }
  // The last two are points of small order: anyone could sign for them.
  for (const publicKey of ["", "AB".repeat(32), "01" + "00".repeat(31), "01" + "00".repeat(30) + "80"]) {
    await assert.rejects(issueMember({ ...good, publicKey }), refused("algorithm"));
  }
  await assert.rejects(issueMember({ ...good, now: NOW - DAY_MS }), refused("not-yet-valid"));
  await assert.rejects(issueMember({ ...good, now: NOW + AUTHORITY_LIFE_MS }), refused("expired"));
});

Deno.test("a member's certificate does not outlive its authority", async () => {
  const g = await generation();
  const late = await member(g, { now: NOW + AUTHORITY_LIFE_MS - 10 * DAY_MS });
  assert.equal(readMember(late.der).notAfter, readAuthority(g.authority).notAfter);
});

Deno.test("renewalDue() after two thirds of the life, and before it begins", async () => {
  const g = await generation();
  const { der: bytes, key } = await member(g);
  const end = readMember(bytes).notAfter;
  const due = NOW + (end - NOW) * 2 / 3;
  for (const [now, expected] of [[NOW, false], [due - 1, false], [due, true], [end, true]] as const) {
    assert.equal(renewalDue(bytes, now), expected, `${now - NOW}`);
  }
  assert.equal(renewalDue(bytes, NOW - CLOCK_SKEW_MS), false);
  assert.equal(renewalDue(bytes, NOW - CLOCK_SKEW_MS - 1), true);
  // A life shorter than the time before its issue that it is valid for, too.
  const brief = await issueMember({ ...g, node: "n", publicKey: key, now: NOW, lifeMs: 30_000 });
  assert.equal(readMember(brief).notAfter, NOW + 30_000);
  assert.equal(renewalDue(brief, NOW + 19_000), false);
  assert.equal(renewalDue(brief, NOW + 20_000), true);
});

Deno.test("attack: a certificate forged by an authority of the same name", async () => {
  const g = await generation(), forger = await generation({ fill: 66 });
  const { der: bytes, node, key } = await member(forger);
  assert.throws(
    () => checkMember(bytes, { authority: g.authority, node, publicKey: key, now: NOW }),
    refused("signature"),
  );
});

Deno.test("attack: a certificate by the authority of another network or another generation", async () => {
  const g = await generation();
  for (
    const other of [
      await generation({ network: OTHER_NETWORK, fill: 1 }),
      await generation({ id: 2, fill: 1 }),
    ]
  ) {
    const { der: bytes, node, key } = await member(other);
    assert.throws(
      () => checkMember(bytes, { authority: g.authority, node, publicKey: key, now: NOW }),
      refused("wrong-network"),
    );
  }
});

Deno.test("attack: an expired certificate, and one that is not valid yet", async () => {
  const g = await generation();
  const { der: bytes, node, key } = await member(g);
  const check = (now: number) => checkMember(bytes, { authority: g.authority, node, publicKey: key, now });
  check(NOW - CLOCK_SKEW_MS);
  check(NOW - CLOCK_SKEW_MS + MEMBER_LIFE_MS);
  assert.throws(() => check(NOW - CLOCK_SKEW_MS + MEMBER_LIFE_MS + 1000), refused("expired"));
  assert.throws(() => check(NOW - CLOCK_SKEW_MS - 1000), refused("not-yet-valid"));
  assert.throws(() => checkValidity(readAuthority(g.authority), NOW + 30 * 365 * DAY_MS), refused("expired"));
});

Deno.test("attack: a certificate for another node or another key", async () => {
  const g = await generation();
  const { der: bytes, node, key } = await member(g);
  const check = { authority: g.authority, node, publicKey: key, now: NOW };
  assert.throws(() => checkMember(bytes, { ...check, node: "vega" }), refused("wrong-node"));
  assert.throws(
    () => checkMember(bytes, { ...check, publicKey: publicKeyOfSeed(newSeed()) }),
    refused("wrong-key"),
  );
});

Deno.test("attack: a version 1 certificate, though the authority itself signed it", async () => {
  const g = await generation();
  const { der: bytes, key } = await member(g);
  const v1 = resigned(bytes, g, (signed) => {
    const body = signed.subarray(4);
    assert.equal(body.subarray(0, 5).toHex(), "a003020102");
    const keyEnds = body.toHex().indexOf(key) / 2 + 32;
    assert.equal(body[keyEnds], 0xa3);
    return der(0x30, body.subarray(5, keyEnds));
  });
  assert.equal(new X509Certificate(certificatePem(v1)).ca, false); // a well-formed certificate, to others
  assert.throws(() => readMember(v1), refused("version"));
  assert.throws(() => publicKeyOf(v1), refused("version"));
});

Deno.test("attack: a member's certificate used as an authority's, and the other way round", async () => {
  const g = await generation();
  const { der: bytes } = await member(g);
  assert.throws(() => readMember(g.authority), refused("profile"));
  assert.throws(() => readAuthority(bytes), refused("profile"));
});

const KEY_USAGE = x509.KeyUsageFlags;
const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
const LEAF = new x509.BasicConstraintsExtension(false, undefined, true);
const USAGE = new x509.KeyUsagesExtension(KEY_USAGE.digitalSignature, true);
const BOTH_ENDS = new x509.ExtendedKeyUsageExtension([serverAuth, clientAuth]);
const NAMED = new x509.SubjectAlternativeNameExtension([{ type: "dns", value: MEMBER_NAME }]);

Deno.test("attack: a member's certificate with other extensions, though the authority itself signed it", async () => {
  const g = await generation();
  const { key } = await member(g);
  const craft = (...extensions: x509.Extension[]) =>
    crafted(g, { subject: "sirius", issuer: authorityName(NETWORK, 1), key, extensions });
  const check = { authority: g.authority, node: "sirius", publicKey: key, now: NOW };
  checkMember(await craft(LEAF, USAGE, BOTH_ENDS, NAMED), check);
  // What is unknown and not critical does no harm.
  checkMember(
    await craft(LEAF, USAGE, BOTH_ENDS, NAMED, new x509.Extension("1.2.3", false, new Uint8Array(2))),
    check,
  );

  const bad: [CertificateErrorReason, x509.Extension[]][] = [
    ["profile", [new x509.BasicConstraintsExtension(true, undefined, true), USAGE, BOTH_ENDS, NAMED]],
    ["profile", [new x509.BasicConstraintsExtension(true, 0, true), USAGE, BOTH_ENDS, NAMED]],
    ["profile", [LEAF, new x509.KeyUsagesExtension(KEY_USAGE.keyCertSign, true), BOTH_ENDS, NAMED]],
    ["profile", [
      LEAF,
      new x509.KeyUsagesExtension(KEY_USAGE.digitalSignature | KEY_USAGE.keyCertSign, true),
      BOTH_ENDS,
      NAMED,
    ]],
    ["profile", [LEAF, USAGE, new x509.ExtendedKeyUsageExtension([serverAuth]), NAMED]],
    ["profile", [
      LEAF,
      USAGE,
      BOTH_ENDS,
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "a.b" }]),
    ]],
    ["profile", [LEAF, USAGE, BOTH_ENDS]],
    ["damaged", [USAGE, BOTH_ENDS, NAMED]],
    ["damaged", [LEAF, USAGE, BOTH_ENDS, NAMED, LEAF]],
    ["damaged", [LEAF, USAGE, BOTH_ENDS, NAMED, new x509.Extension("1.2.3", true, new Uint8Array(2))]],
    ["damaged", [
      LEAF,
      USAGE,
      BOTH_ENDS,
      new x509.SubjectAlternativeNameExtension([
        { type: "dns", value: MEMBER_NAME },
        { type: "dns", value: "other" },
      ]),
    ]],
  ];
  for (const [reason, extensions] of bad) {
    const bytes = await craft(...extensions);
    assert.throws(
      () => checkMember(bytes, check),
      refused(reason),
      extensions.map(({ type }) => type).join(),
    );
  }
});

Deno.test("attack: an authority that may do more or less than sign members' certificates", async () => {
  const g = await generation();
  const { key } = readAuthority(g.authority);
  const name = authorityName(NETWORK, 1);
  const craft = (...extensions: x509.Extension[]) =>
    crafted(g, { subject: name, issuer: name, key, extensions });
  const ca = new x509.BasicConstraintsExtension(true, 0, true);
  const sign = new x509.KeyUsagesExtension(KEY_USAGE.keyCertSign, true);
  assert.equal(readAuthority(await craft(ca, sign)).generation, 1);
  for (
    const extensions of [
      [LEAF, sign],
      [new x509.BasicConstraintsExtension(true, undefined, true), sign],
      [new x509.BasicConstraintsExtension(true, 1, true), sign],
      [new x509.BasicConstraintsExtension(false, 0, true), sign],
      [ca],
      [ca, new x509.KeyUsagesExtension(KEY_USAGE.keyCertSign | KEY_USAGE.cRLSign, true)],
      [ca, sign, BOTH_ENDS],
    ]
  ) {
    const bytes = await craft(...extensions);
    assert.throws(() => readAuthority(bytes), refused("profile"));
  }
});

Deno.test("attack: a certificate that outlives its authority, after the authority's end", async () => {
  const g = await generation();
  const { key } = await member(g);
  const end = readAuthority(g.authority).notAfter;
  const bytes = await crafted(g, {
    subject: "sirius",
    issuer: authorityName(NETWORK, 1),
    key,
    extensions: [LEAF, USAGE, BOTH_ENDS, NAMED],
    notAfter: end + DAY_MS,
  });
  const check = { authority: g.authority, node: "sirius", publicKey: key };
  checkMember(bytes, { ...check, now: end });
  assert.throws(() => checkMember(bytes, { ...check, now: end + 1000 }), refused("expired"));
});

Deno.test("attack: other algorithms, other names and unknown critical extensions, signed by the authority", async () => {
  const g = await generation();
  const { der: bytes, key } = await member(g);
  const change = (from: string, to: string) => resigned(bytes, g, (signed) => replaced(signed, from, to));
  const spki = "300506032b6570032100";
  // Ed25519 has no parameters, not even none written out.
  const parameters = resigned(bytes, g, (signed) => {
    const body = signed.subarray(4).toHex().replace("300506032b6570", "300706032b65700500");
    return der(0x30, Uint8Array.fromHex(body));
  });
  assert.throws(() => readMember(parameters), refused("algorithm"));
  // X25519 is one number away from Ed25519.
  assert.throws(() => readMember(change(spki, "300506032b656e032100")), refused("algorithm"));
  const name = new TextEncoder().encode(MEMBER_NAME).toHex();
  assert.throws(() => readMember(change(name, name.replace("6d", "6e"))), refused("profile"));
  // clientAuth becomes codeSigning.
  assert.throws(() => readMember(change("2b06010505070302", "2b06010505070303")), refused("profile"));
  // keyUsage, which is critical, under another number.
  assert.throws(() => readMember(change("0603551d0f0101ff", "0603551d7f0101ff")), refused("damaged"));
  assert.throws(() => readMember(change(key, "01" + "00".repeat(31))), refused("algorithm"));
});

Deno.test("attack: an authority's certificate with another key put in", async () => {
  const g = await generation();
  const foreign = publicKeyOfSeed(newSeed());
  const swapped = replaced(g.authority, publicKeyOf(g.authority), foreign);
  assert.throws(() => readAuthority(swapped), refused("signature"));
});

Deno.test("attack: one flipped bit anywhere in a certificate", async () => {
  const g = await generation();
  const { der: bytes, node, key } = await member(g);
  const check = { authority: g.authority, node, publicKey: key, now: NOW };
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    assert.throws(() => checkMember(flipped(bytes, bit), check), CertificateError, `bit ${bit}`);
  }
  for (let bit = 0; bit < g.authority.length * 8; bit++) {
    assert.throws(() => readAuthority(flipped(g.authority, bit)), CertificateError, `bit ${bit}`);
  }
});

Deno.test("a certificate has a bounded size", async () => {
  const { authority } = await generation();
  assert.throws(() => readAuthority(new Uint8Array(0)), refused("size"));
  assert.throws(() => readAuthority(new Uint8Array(CERTIFICATE_BYTES_MAX + 1)), refused("size"));
  assert.throws(() => readAuthority(authority.subarray(0, 100)), refused("damaged"));
});

Deno.test("whatever bytes come, reading throws CertificateError and nothing else", async () => {
  const g = await generation();
  const { der: bytes } = await member(g);
  const mutated = fc.tuple(
    fc.constantFrom(bytes, g.authority),
    fc.array(fc.tuple(fc.nat(500), fc.nat(255)), { maxLength: 4 }),
  )
    .map(([original, changes]) => {
      const copy = original.slice();
      for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
      return copy;
    });
  const any = fc.oneof(fc.uint8Array({ maxLength: 1100 }), mutated);
  fc.assert(
    fc.property(any, (input) => {
      for (const read of [readAuthority, readMember, publicKeyOf]) {
        try {
          read(input);
        } catch (error) {
          if (!(error instanceof CertificateError)) throw error;
        }
      }
    }),
    { numRuns: 3000 },
  );
});

Deno.test("DerReader refuses what is not DER", () => {
  const bad = (hex: string, read: (reader: DerReader) => unknown) =>
    assert.throws(() => read(new DerReader(Uint8Array.fromHex(hex))), DerError, hex);
  bad("0281", (reader) => reader.bytes(2));
  bad("02", (reader) => reader.bytes(2));
  bad("028005", (reader) => reader.bytes(2)); // indefinite
  bad("02810105", (reader) => reader.bytes(2)); // a length that fits one byte
  bad("0282000105", (reader) => reader.bytes(2));
  bad("028400000001ff", (reader) => reader.bytes(2));
  bad("010101", (reader) => reader.boolean());
  bad("0303010000", (reader) => reader.bits());
  bad("170d3236313332313132303030305a", (reader) => reader.time()); // month 13
  bad("170d3236303233303132303030305a", (reader) => reader.time()); // 30 February
  bad("170d3236313132313132303030302b", (reader) => reader.time());
  assert.equal(
    new DerReader(Uint8Array.fromHex("180f32303530303130323033303430355a")).time(),
    Date.UTC(2050, 0, 2, 3, 4, 5),
  );
  assert.equal(new DerReader(ED25519).enter(0x30).oid(), "2b6570");
});
