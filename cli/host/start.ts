import type { Logger } from "@logtape/logtape";
import { type NodeId, nodeId } from "../../core/base/ids.ts";
import { InvariantError } from "../../core/base/invariant.ts";
import { DEFAULT_SETTINGS, type Settings } from "../../core/base/limits.ts";
import { Random } from "../../core/base/random.ts";
import { genesisView } from "../../core/node/genesis.ts";
import { Node } from "../../core/node/node.ts";
import type { Origin } from "../../core/node/options.ts";
import type { Note } from "../../core/wire/kernel.ts";
import type { Member } from "../../core/wire/messages.ts";
import { DataDirectory, type NodeIdentity } from "./directory.ts";
import { JournalFiles } from "./journal.ts";
import { askToJoin } from "./join.ts";
import { Runner } from "./runner.ts";
import { formatAddress, parseAddress } from "./socket.ts";
import { SqliteTables } from "./tables/tables.ts";
import { Transport } from "./transport.ts";

export interface StartOptions {
  readonly data: string;
  /** "host:port"; port 0 takes a free one. */
  readonly listen: string;
  /** What others are told; by default the address listened on. */
  readonly advertise?: string;
  /** Addresses of any nodes of the network to join, where the data directory is empty. None: a network of its own. */
  readonly join?: readonly string[];
  /** All three of a node's first start only; later the data directory says. */
  readonly id?: string;
  readonly zone?: string;
  readonly capacity?: number;
  /** Of a new network. */
  readonly settings?: Partial<Settings>;
  readonly log: Logger;
}

export interface RunningNode {
  readonly id: NodeId;
  readonly network: string;
  readonly address: string;
  readonly origin: Origin["kind"];
  /** Hands leadership over, answers what is under way, syncs and closes. */
  stop(): Promise<void>;
  /** Resolves when the node has stopped; rejects when it could not go on. */
  readonly done: Promise<void>;
}

/** A node that is asked to stop ends after this long at the latest. */
const STOP_MS_MAX = 8000;

/**
 * Runs a node on its data directory until it is stopped.
 * @throws {Error} when the directory is in use or damaged, the address is taken, or no network answered
 */
export async function startNode(options: StartOptions): Promise<RunningNode> {
  const opened: Opened = { directory: DataDirectory.open(options.data) };
  try {
    return await run(options, opened);
  } catch (error) {
    await close(opened, { failed: true });
    throw error;
  }
}

/** The parts of a node that are to be closed when it ends, or when the next part could not be opened. */
interface Opened {
  readonly directory: DataDirectory;
  transport?: Transport;
  journal?: JournalFiles;
  tables?: SqliteTables;
}

async function close({ directory, transport, journal, tables }: Opened, { failed }: { failed: boolean }) {
  if (transport !== undefined) await Promise.race([transport.close(), delay(1000)]);
  await journal?.close();
  // After a failure the journal may lack what the tables would be made to hold.
  if (failed) tables?.abandon();
  else await tables?.close();
  directory.close();
}

async function run(options: StartOptions, opened: Opened): Promise<RunningNode> {
  const { directory } = opened;
  const { log } = options;
  const ended = Promise.withResolvers<void>();
  // A node that fails before anyone waits for its end still reports to whoever waits later.
  ended.promise.catch(() => {});
  let failed = false;
  const fail = (error: Error) => {
    if (failed) return;
    failed = true;
    runner.kill();
    if (error instanceof InvariantError) log.fatal("A rule of the core was found broken: {error}", { error });
    else log.fatal(error.message);
    ended.reject(error);
  };

  const known = directory.identity();
  const id = known?.node ?? nodeId(options.id ?? `node-${randomHex(4)}`);
  const disk = known?.disk ?? randomHex(8);
  const stopping = Promise.withResolvers<void>();
  const transport = opened.transport = new Transport({
    messages: (from, messages) => runner.messages(from, messages),
    requests: (client, requests) => runner.requests(client, requests),
    clientGone: (client) => runner.input({ kind: "client-gone", client }),
    peerLost: (peer, why) => {
      log.info("Lost peer {peer}: {why}", { peer, why });
      runner.input({ kind: "peer-lost", peer });
    },
    refused: (from, why) => log.warn("Refused a connection from {from}: {why}", { from, why }),
  });
  const listening = await transport.listen(options.listen);
  const address = options.advertise ?? advertised(listening);

  // A new node knows who it is before it has a journal, which bears its name.
  const first = known === null ? await firstOrigin({ ...options, id, address, disk, known }) : null;
  if (first !== null) directory.writeIdentity(identityOf(options, { id, disk }, first));
  const { journal, recovered } = JournalFiles.open({
    directory: directory.path,
    node: id,
    events: {
      durable: (upTo) => runner.durable(upTo),
      failed: (message) => fail(new Error(message)),
    },
  });
  opened.journal = journal;
  const origin: Origin = recovered !== null && recovered.view !== null
    ? { kind: "recovered", recovered }
    : first ?? await firstOrigin({ ...options, id, address, disk, known });
  const view = origin.kind === "recovered" ? origin.recovered.view! : origin.view;
  if (known !== null && known.network !== view.network) {
    throw new Error(
      `Cannot use the data directory "${directory.path}": node.json is of network ${known.network}, the journal of ` +
        `${view.network}. Restore the file that belongs to the other`,
    );
  }
  const tables = opened.tables = new SqliteTables(
    directory.tables,
    (message) => fail(new Error(message)),
  );
  const node = new Node({ id, address, origin, random: Random.fromSeed(randomSeed()), tables });
  const runner: Runner = new Runner({
    journal,
    tables,
    transport,
    counters: () => hostCounters(transport, journal, runner),
    noted: (note) => logNote(log, note),
    stopped: () => stopping.resolve(),
    failed: fail,
  });
  transport.begin({ node: id, network: view.network, address }, (peer) => node.addressOf(peer));
  runner.start(node);

  let stopped: Promise<void> | null = null;
  const stop = async () => {
    runner.input({ kind: "stop" });
    await Promise.race([stopping.promise, delay(STOP_MS_MAX), ended.promise.catch(() => {})]);
    runner.kill();
    await close(opened, { failed });
    ended.resolve();
  };
  return {
    id,
    network: view.network,
    address,
    origin: origin.kind,
    stop: () => stopped ??= stop(),
    done: ended.promise,
  };
}

/** Of a node that starts for the first time, or crashed before its first record was durable. */
async function firstOrigin(
  options: StartOptions & { id: NodeId; address: string; disk: string; known: NodeIdentity | null },
): Promise<Origin & { readonly kind: "genesis" | "joined" }> {
  const { id, address, disk, known, join = [] } = options;
  const member: Member = {
    id,
    address,
    zone: known?.zone ?? options.zone ?? "",
    capacity: known?.capacity ?? options.capacity ?? 100,
    state: "active",
    disk,
  };
  if (known?.founder ?? join.length === 0) {
    const network = known?.network ?? randomHex(16);
    const settings = { ...DEFAULT_SETTINGS, ...options.settings };
    return { kind: "genesis", view: genesisView({ network, settings, members: [member] }) };
  }
  if (join.length === 0) {
    throw new Error(
      `Node "${id}" has not finished joining network ${known?.network}. Name a node of that network with --join`,
    );
  }
  return {
    kind: "joined",
    view: await askToJoin({
      addresses: join,
      member: { ...member, state: "joining" },
      network: known?.network ?? null,
      fresh: known === null,
    }),
  };
}

function identityOf(
  options: StartOptions,
  { id, disk }: { id: NodeId; disk: string },
  { kind, view }: Origin & { readonly kind: "genesis" | "joined" },
): NodeIdentity {
  const { zone = "", capacity = 100 } = options;
  return { node: id, network: view.network, zone, capacity, founder: kind === "genesis", disk };
}

/** Listening on all interfaces is no address to be reached at. */
function advertised(listening: string): string {
  const { host, port } = parseAddress(listening);
  if (host !== "0.0.0.0" && host !== "::") return listening;
  const found = Deno.networkInterfaces().find((i) => i.family === "IPv4" && !i.address.startsWith("127."));
  return formatAddress(found?.address ?? "127.0.0.1", port);
}

function hostCounters(
  transport: Transport,
  journal: JournalFiles,
  runner: Runner,
): (readonly [string, number])[] {
  return [
    ["clients", transport.clients],
    ["journal segment bytes", journal.segmentBytes],
    ["memory bytes", Deno.memoryUsage().rss],
    ["slowest turn microseconds", Math.round(runner.takeSlowestTurn() * 1000)],
    ...[...transport.counters].sort(([a], [b]) => a < b ? -1 : 1),
  ];
}

function logNote(log: Logger, note: Note): void {
  switch (note.kind) {
    case "member":
      return log.info("Member {node} is {status}", { ...note });
    case "leader":
      return log.debug("Leads partition {partition} in term {term}", { ...note });
    case "stepped-down":
      return log.debug("No longer leads partition {partition}: {why}", { ...note });
    case "view":
      return log.info("Network view {version}, epoch {epoch}", { ...note });
    case "refused":
      return log.warn("Refused a {message} message from {from}: {why}", { ...note });
    case "snapshot-sent":
    case "snapshot-installed":
    case "dropped":
      return log.debug("Partition {partition}: {kind}", { ...note });
    default:
      return log.debug("{kind} {note}", { kind: note.kind, note });
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

function randomHex(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toHex();
}

function randomSeed(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high! & 0x1f_ffff) * 0x1_0000_0000 + low!;
}
