import { join } from "node:path";
import type { Logger } from "@logtape/logtape";
import { Command } from "commander";
import { InvariantError } from "../../core/base/invariant.ts";
import type { Settings } from "../../core/base/limits.ts";
import { RECORD_BYTES_DEFAULT, RECORD_BYTES_MIN, Recorder } from "../host/recorder.ts";
import { LOG_LEVELS, type LogLevel, startLogging } from "../host/log.ts";
import { Keyring } from "../host/identity/keyring.ts";
import type { Sealing } from "../host/identity/sealing.ts";
import { type InviteToken, looksLikeToken, parseToken, TokenError } from "../host/identity/token.ts";
import { parseAddress } from "../host/socket.ts";
import { PROFILE_FILE } from "../host/life/founding.ts";
import { openS3Face, type S3Face, type S3FaceOptions } from "../host/s3_face.ts";
import { type RunningNode, startNode } from "../host/start.ts";
import { statOf } from "../host/stat.ts";
import { VERSION } from "../version.ts";
import { UsageError } from "./errors.ts";
import {
  addressesOption,
  addressOption,
  bytesOption,
  capacityOption,
  choiceOption,
  collect,
  nodeIdOption,
  partitionsOption,
  replicasOption,
} from "./options.ts";
import { openingFor, type SealFlags, sealingFor, withSealing } from "./sealing.ts";

const RECORDER_CLOSE_MS_MAX = 2000;
const S3_GRACE_MS = 3000;

interface NodeFlags extends SealFlags {
  readonly data: string;
  readonly listen: string;
  readonly advertise?: string;
  readonly join?: readonly string[];
  readonly joinFile?: string;
  readonly dev?: boolean;
  readonly profileOut?: string;
  readonly id?: string;
  readonly zone?: string;
  readonly capacity?: number;
  readonly partitions?: number;
  readonly replicas?: number;
  readonly reserve?: number;
  readonly rebuild: boolean;
  readonly record?: string;
  readonly recordBytes?: number;
  readonly logLevel: LogLevel;
  readonly logJson?: boolean;
  readonly json?: boolean;
  readonly s3?: string;
  readonly s3Domain?: string;
  readonly s3Cert?: string;
  readonly s3Key?: string;
}

/** `space-opera node`: runs one node until it is told to stop. */
export function nodeCommand(): Command {
  return withSealing(new Command("node"), "that opens its keyring, or seals it on its first start")
    .description("run a node; without --join it begins a private network of its own")
    .option("--data <dir>", "where it keeps everything", "space-opera-data")
    .option(
      "--listen <host:port>",
      "where peers and clients reach it; port 0 takes a free one",
      addressOption("--listen"),
      "127.0.0.1:7070",
    )
    .option(
      "--advertise <host:port>",
      "the address told to others, where it is not the one listened on",
      addressOption("--advertise"),
    )
    .option(
      "--join <token>",
      "what `space-opera invite` printed on a member of the network to join; with --dev, and of a node that has " +
        "joined before, a member's host:port, which may be given more than once",
      collect,
    )
    .option("--join-file <file>", "a file with the token; - is standard input")
    .option("--dev", "an open network, for experiments on this machine: no TLS, no log-in, nothing encrypted")
    .option(
      "--profile-out <file>",
      "where a new private network writes the profile that lets you in (default: profile.json in DIR)",
    )
    .option(
      "--id <name>",
      "its name for life, on its first start (default: drawn at random)",
      nodeIdOption("--id"),
    )
    .option(
      "--zone <name>",
      "what fails together with it, on its first start: replicas are spread over zones",
    )
    .option(
      "--capacity <n>",
      "its share of the data against others', on its first start",
      capacityOption,
    )
    .option(
      "--partitions <n>",
      "of a new network: a power of two",
      partitionsOption,
    )
    .option("--replicas <n>", "of a new network: copies of each record", replicasOption)
    .option(
      "--reserve <size>",
      "with less space left it takes no writes (default: 256MiB, or 1/20 of a smaller disk)",
      bytesOption("--reserve"),
    )
    .option(
      "--no-rebuild",
      "refuse to start on damaged files; without it they are set aside and peers send the data anew",
    )
    .option(
      "--record <file>",
      'write down everything it is told, for "sim replay": parts FILE.000001 and so on',
    )
    .option(
      "--record-bytes <size>",
      "what a recording may take: the oldest lives are dropped (default: 1 GiB)",
      bytesOption("--record-bytes"),
    )
    .option(
      "--s3 <host:port>",
      "serve objects to clients of S3 there, too; port 0 takes a free one",
      addressOption("--s3"),
    )
    .option("--s3-domain <name>", "buckets are hosts under it, too, as in BUCKET.NAME")
    .option(
      "--s3-cert <file>",
      "the certificate, with those that lead to its authority, in PEM; without it: no TLS",
    )
    .option("--s3-key <file>", "its private key, in PEM")
    .option(
      "--log-level <level>",
      LOG_LEVELS.join(", "),
      choiceOption("--log-level", LOG_LEVELS),
      "info" as LogLevel,
    )
    .option("--log-json", "log lines of JSON")
    .option("--json", "print one line of JSON to stdout when ready")
    .addHelpText(
      "after",
      `
Examples:
  space-opera node
  space-opera node --data ./a --listen 127.0.0.1:7071
  space-opera node --data ./b --listen 127.0.0.1:7072 --join so1.…
  space-opera node --data ./b --listen 127.0.0.1:7072 --join-file token
  space-opera node --dev --data ./open --listen 127.0.0.1:7073
  space-opera node --record flight
  space-opera node --s3 127.0.0.1:9000

A first start without --join makes a network, and DIR/profile.json, with which other commands log in.

Stop it with SIGTERM or Ctrl-C: it hands over what it leads first.
What each message means and what to do about it: docs/troubleshooting.md`,
    )
    .action(run);
}

async function run(flags: NodeFlags): Promise<void> {
  const log = startLogging({ level: flags.logLevel, json: flags.logJson === true });
  const settings: Partial<Settings> = {
    ...(flags.partitions === undefined ? {} : { partitions: flags.partitions }),
    ...(flags.replicas === undefined ? {} : { replicas: flags.replicas }),
  };
  const { data, listen, advertise, id, zone, capacity, reserve, rebuild, dev, profileOut } = flags;
  const entry = await entryOf(flags);
  if (dev === true) checkLoopback(flags);
  const sealing = dev === true ? null : await sealingOf(flags);
  const given = {
    advertise,
    ...entry,
    open: dev,
    sealing: sealing ?? undefined,
    profileOut,
    id,
    zone,
    capacity,
    reserve,
  };
  const s3Options = s3OptionsOf(flags);
  const recorder = openRecorder(flags, log);
  const node = await startNode({
    data,
    listen,
    settings,
    rebuild,
    log,
    ...(recorder === null ? {} : { recorder }),
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  });
  const face = s3Options === null ? null : await faceOf(node, { ...s3Options, log, open: dev === true });
  const stop = () => {
    log.info("Stopping");
    // What is under way there needs the node.
    void Promise.resolve(face?.stop(S3_GRACE_MS)).finally(() => node.stop());
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, stop);
  node.ready.then(({ id, address, network, origin }) => {
    log.info("Node {id} of network {network} is ready at {address} ({origin})", {
      id,
      network,
      address,
      origin,
    });
    if (origin === "genesis" && dev !== true) {
      const path = profileOut ?? join(data, PROFILE_FILE);
      log.info("Whoever has the profile {path} may run the network: other commands log in with it", { path });
    }
    if (flags.json) {
      const s3 = face === null ? {} : { s3: face.url };
      console.log(JSON.stringify({ node: id, network, address, origin, ...s3 }));
    }
    // What went wrong is told by `done`.
  }, () => {});
  try {
    await node.done;
    log.info("Stopped");
  } catch (error) {
    if (!(error instanceof InvariantError)) throw error;
    // With the place in the code: it is for those who mend that.
    log.fatal("A rule of the core was found broken: {error}", { error });
    Deno.exitCode = 1;
  } finally {
    void face?.stop(0);
    // A disk that answers no more does not keep the process.
    await Promise.race([recorder?.close(), new Promise((done) => setTimeout(done, RECORDER_CLOSE_MS_MAX))]);
  }
}

/** What it serves S3 with, read before anything begins. */
function s3OptionsOf(
  { s3, s3Domain, s3Cert, s3Key, dev }: NodeFlags,
): Pick<S3FaceOptions, "listen" | "domain" | "tls"> | null {
  if (s3 === undefined) {
    for (
      const [name, value] of Object.entries({
        "--s3-domain": s3Domain,
        "--s3-cert": s3Cert,
        "--s3-key": s3Key,
      })
    ) {
      if (value !== undefined) throw new UsageError(`Option ${name} goes with --s3 HOST:PORT`);
    }
    return null;
  }
  if (dev === true) checkLocal("--s3", s3);
  if ((s3Cert === undefined) !== (s3Key === undefined)) {
    throw new UsageError("Options --s3-cert and --s3-key go together: give both, or neither");
  }
  const tls = s3Cert === undefined || s3Key === undefined
    ? null
    : { cert: pemOf("--s3-cert", s3Cert, /CERTIFICATE/), key: pemOf("--s3-key", s3Key, /PRIVATE KEY/) };
  return { listen: s3, domain: s3Domain ?? null, tls };
}

function pemOf(option: string, file: string, what: RegExp): string {
  let text: string;
  try {
    text = Deno.readTextFileSync(file);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message;
    throw new UsageError(`Option ${option}: cannot read "${file}": ${why}`);
  }
  if (/-----BEGIN [A-Z0-9 ]+-----/.exec(text)?.[0].match(what)) return text;
  throw new UsageError(`Option ${option}: "${file}" is no PEM file of a ${what.source.toLowerCase()}`);
}

/** @throws {Error} where the address cannot be listened on; then the node has stopped */
async function faceOf(node: RunningNode, options: Omit<S3FaceOptions, "node">): Promise<S3Face> {
  try {
    return openS3Face({ ...options, node });
  } catch (error) {
    await node.stop();
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot serve S3 at "${options.listen}": ${why}`);
  }
}

/** What opens the keyring that is there, or seals the one that a first start makes. */
async function sealingOf(flags: NodeFlags): Promise<Sealing | null> {
  const { data } = flags;
  return Keyring.look(data) === "none" ? await sealingFor(flags, data) : await openingFor(flags, data);
}

/** How the node is to find the network that it joins. */
async function entryOf(
  { join = [], joinFile, dev = false, data }: NodeFlags,
): Promise<{ readonly join?: readonly string[]; readonly token?: InviteToken }> {
  if (joinFile !== undefined && join.length > 0) throw new UsageError("Give --join or --join-file, not both");
  const given = joinFile === undefined ? join : [await tokenText(joinFile)];
  const tokens = given.filter(looksLikeToken);
  if (tokens.length === 0 && joinFile === undefined) {
    if (join.length === 0) return {};
    const addresses = addressesOption("--join")(join.join(","), []);
    if (dev || Keyring.look(data) !== "none" || hasIdentity(data)) return { join: addresses };
    throw new UsageError(
      `A private network lets nobody in by an address: give --join the token that \`space-opera invite\` prints on one ` +
        `of its members. To join an open network at "${join[0]}", give --dev`,
    );
  }
  if (dev) throw new UsageError("A token lets into a private network: leave --dev out, or --join an address");
  if (given.length > 1) throw new UsageError("Option --join takes one token, and no address beside it");
  try {
    return { token: parseToken(given[0]!) };
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    throw new UsageError(error.message);
  }
}

async function tokenText(file: string): Promise<string> {
  if (file === "-") return await new Response(Deno.stdin.readable).text();
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message;
    throw new UsageError(`Option --join-file: cannot read "${file}": ${why}`);
  }
}

/** A node has lived here before: what it may do is in its directory. */
function hasIdentity(data: string): boolean {
  return statOf(join(data, "node.json"))?.isFile === true;
}

/** Whoever reaches an open network can do anything. */
function checkLoopback({ listen, advertise = listen }: NodeFlags): void {
  checkLocal("--listen", listen);
  checkLocal("--advertise", advertise);
}

function checkLocal(name: string, address: string): void {
  const { host } = parseAddress(address);
  if (host === "localhost" || host === "::1" || host.startsWith("127.")) return;
  throw new UsageError(
    `An open network is for this machine only, and "${address}" is reached from others. Give ${name} a loopback ` +
      `address such as 127.0.0.1:7070, or leave --dev out for a private network`,
  );
}

function openRecorder({ record, recordBytes }: NodeFlags, log: Logger): Recorder | null {
  if (record === undefined) {
    if (recordBytes === undefined) return null;
    throw new UsageError("Option --record-bytes goes with --record FILE");
  }
  if (recordBytes !== undefined && recordBytes < RECORD_BYTES_MIN) {
    throw new UsageError(`Option --record-bytes takes 1MiB or more, not ${recordBytes} bytes`);
  }
  return Recorder.open({
    file: record,
    bytesMax: recordBytes ?? RECORD_BYTES_DEFAULT,
    program: VERSION,
    warn: (message) => log.warn(message),
  });
}
