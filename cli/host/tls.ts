/**
 * TLS between members, and from clients to members: version 1.3, certificates by the network's own authorities, nobody
 * else's. What TLS proves is that the other end has the private key of a certificate that an authority signed; whether that
 * key is a member's, the view says, and whoever calls here looks (peerKey).
 */
import tls from "node:tls";
import {
  CertificateError,
  certificatePem,
  MEMBER_NAME,
  type MemberCertificate,
  readMember,
} from "./identity/certificates.ts";
import type { Carrier } from "./tls_stream.ts";

/** What a node shows of itself, and whom it believes. */
export interface TlsMaterial {
  readonly own: OwnCertificate;
  /** Certificates of authorities, in PEM. */
  readonly authorities: readonly string[];
}

export interface OwnCertificate {
  /** Its private key, in PEM. */
  readonly key: string;
  /** In DER, and in PEM. */
  readonly der: Uint8Array;
  readonly pem: string;
}

export interface AcceptOptions {
  readonly material: TlsMaterial;
  /** The other end has to show a certificate of a member. */
  readonly mutual: boolean;
  readonly secured: (socket: tls.TLSSocket) => void;
  /** The handshake came to nothing; the connection is closed. */
  readonly failed: (why: string) => void;
}

const HANDSHAKE_MS_MAX = 10_000;
const ALWAYS = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } as const;

/**
 * Answers a handshake. A server for each connection costs a twentieth of its handshake, and takes the certificates of just
 * now: those that stand are not touched when certificates change.
 */
export function acceptTls(carrier: Carrier, { material, mutual, secured, failed }: AcceptOptions): void {
  const { own, authorities } = material;
  const server = tls.createServer({
    ...ALWAYS,
    key: own.key,
    cert: own.pem,
    ca: [...authorities],
    requestCert: mutual,
    rejectUnauthorized: true,
    handshakeTimeout: HANDSHAKE_MS_MAX,
  }, secured);
  server.on("tlsClientError", (error: Error) => {
    carrier.destroy();
    failed(tlsErrorText(error));
  });
  carrier.on("error", () => {}); // told as tlsClientError, or by the socket over it
  server.emit("connection", carrier);
}

export interface DialOptions {
  /** Certificates of authorities, in PEM. */
  readonly authorities: readonly string[];
  /** null: as a client, which shows no certificate. */
  readonly own: OwnCertificate | null;
}

/** Begins a handshake; what comes of it, "secureConnect" or "error" says. */
export function dialTls(carrier: Carrier, { authorities, own }: DialOptions): tls.TLSSocket {
  const stream = tls.connect({
    ...ALWAYS,
    socket: carrier,
    ca: [...authorities],
    ...(own === null ? {} : { key: own.key, cert: own.pem }),
    rejectUnauthorized: true,
    servername: MEMBER_NAME,
    // Who it is, the key says, and whoever dials looks at that. The name is looked at in readMember().
    checkServerIdentity: () => undefined,
  });
  keepToFirstCertificate(stream);
  return stream;
}

/**
 * Once a handshake is done the runtime itself looks at all certificates that came, those too that no signature depends on;
 * what is none among them throws where nobody could catch it, and the process would end. The first one is all that
 * counts, and peerCertificate() says what is wrong with it.
 */
function keepToFirstCertificate(stream: tls.TLSSocket): void {
  const first = stream.getPeerCertificate.bind(stream);
  const safe = () => {
    try {
      return first(false);
    } catch {
      return {}; // nobody's: peerCertificate() finds none
    }
  };
  stream.getPeerCertificate = safe as typeof stream.getPeerCertificate;
}

/**
 * The certificate that the other end has proved to be its own; null where it showed none.
 * @throws {CertificateError} where it is not that of a member
 */
export function peerCertificate(socket: tls.TLSSocket): MemberCertificate | null {
  let raw: Uint8Array | undefined;
  try {
    raw = socket.getPeerCertificate()?.raw;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CertificateError("damaged", `These bytes are not a certificate: ${why}`);
  }
  return raw === undefined || raw.length === 0 ? null : readMember(new Uint8Array(raw));
}

export function ownCertificate(key: string, der: Uint8Array): OwnCertificate {
  return { key, der, pem: certificatePem(der) };
}

/** For people: what went wrong, where the runtime's own words say little. */
export function tlsErrorText(error: Error): string {
  const { code = "" } = error as Error & { code?: unknown };
  const known = typeof code === "string" ? TEXTS.get(code) : undefined;
  return known ?? error.message;
}

/** Of a certificate that does not hold here. The runtime has the same word for one that is over or not valid yet. */
export const OTHER_AUTHORITY =
  "its certificate is by an authority that this end does not know, or not valid by this machine's clock";
const TEXTS: ReadonlyMap<string, string> = new Map([
  ["SELF_SIGNED_CERT_IN_CHAIN", OTHER_AUTHORITY],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", OTHER_AUTHORITY],
  ["UNABLE_TO_GET_ISSUER_CERT", OTHER_AUTHORITY],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", OTHER_AUTHORITY],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", OTHER_AUTHORITY],
  ["CERT_SIGNATURE_FAILURE", OTHER_AUTHORITY],
  ["CERT_HAS_EXPIRED", "its certificate has expired, or this machine's clock is wrong"],
  ["CERT_NOT_YET_VALID", "its certificate is not valid yet, or this machine's clock is wrong"],
  ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "it does not know the authority of this end's certificate"],
  ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "it wants a certificate"],
]);
