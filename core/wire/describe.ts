/**
 * What passes between a core and its host as one short line each: the only form that traces and golden scripts use.
 * Equal values give equal lines, in every process. p3 is partition 3, t2 term 2, 4@1 the log position 4 of term 1, v7
 * a view's version, e5 an epoch, 256B:9d0c… so many bytes and their hash.
 */
import { unreachable } from "../base/invariant.ts";
import {
  describeBytes,
  describeChunkOp,
  describeChunkResult,
  describeFragment,
  describeFragmentMessage,
} from "./describe_objects.ts";
import {
  describeConfiguration,
  describeRequest,
  describeResponse,
  interval,
  text,
} from "./describe_request.ts";
import type { Effects, Input, JournalRecord, Note } from "./kernel.ts";
import type { Entry, Message, Update } from "./messages.ts";
import { describePrincipal } from "./security.ts";

export * from "./describe_request.ts";
export * from "./describe_objects.ts";

/** `append p3 t2 prev 4@1 commit 4 entries 5..7` */
export function describeMessage(message: Message): string {
  switch (message.kind) {
    case "ping":
      return `ping ${message.sequence} ${message.target} v${message.view}${updates(message.updates)}`;
    case "ack":
      return `ack ${message.sequence} v${message.view}${updates(message.updates)}`;
    case "ping-request":
      return `ping-request ${message.sequence} ${message.target}${updates(message.updates)}`;
    case "nack":
      return `nack ${message.sequence}`;
    case "push-pull":
      return `push-pull${message.reply ? " reply" : ""}${updates(message.members)}`;
    case "layout-get":
      return `layout-get v${message.version}`;
    case "layout-is":
      return `layout-is v${message.view.version} e${message.view.epoch}`;
    case "forward":
      return `forward ${message.id} hops ${message.hops}: ${describeRequest(message.request)}`;
    case "forward-reply":
      return `forward-reply ${message.id}: ${describeResponse(message.response)}`;
    case "beats": {
      const beats = message.beats.map((b) =>
        `p${b.partition} t${b.term} commit ${b.commit} round ${b.round}${b.quiet ? " quiet" : ""}`
      );
      return `beats ${beats.join(", ")}`;
    }
    case "beat-replies": {
      const replies = message.replies.map((r) =>
        `p${r.partition} t${r.term} round ${r.round} match ${r.match}`
      );
      return `beat-replies ${replies.join(", ")}`;
    }
    case "space":
      return `space ${message.low ? "low" : "enough"}`;
    case "key-get":
      return `key-get ${message.ids.join(" ")}`;
    case "fragment-put":
    case "fragment-put-reply":
    case "fragment-get":
    case "fragment-get-reply":
    case "fragment-check":
    case "fragment-check-reply":
    case "segments-gone":
      return describeFragmentMessage(message);
    default:
      return `${message.kind} p${message.partition} ${describeReplicaMessage(message)}`.trimEnd();
  }
}

/** What follows the kind and the partition. */
function describeReplicaMessage(message: Extract<Message, { partition: unknown }>): string {
  switch (message.kind) {
    case "vote": {
      const flags = `${message.pre ? " pre" : ""}${message.transfer ? " transfer" : ""}`;
      return `t${message.term}${flags} last ${message.lastIndex}@${message.lastTerm}`;
    }
    case "vote-reply":
      return `t${message.term}${message.pre ? " pre" : ""} ${message.granted ? "granted" : "denied"}`;
    case "append": {
      const { term, prevIndex, prevTerm, commit, entries } = message;
      return `t${term} prev ${prevIndex}@${prevTerm} commit ${commit}${appended(entries, term)}`;
    }
    case "append-reply": {
      const { term, ok, index, indexTerm, refused } = message;
      return ok
        ? `t${term} ok ${index}@${indexTerm}`
        : `t${term} refused ${refused} try ${index}@${indexTerm}`;
    }
    case "timeout-now":
      return `t${message.term}`;
    case "snapshot": {
      const { term, index, indexTerm, configuration, configurationIndex, transfer, sequence, done, rows } =
        message;
      const who = `${describeConfiguration(configuration)} of ${configurationIndex}`;
      const part = `transfer ${transfer} chunk ${sequence}${done ? " done" : ""} rows ${rows.length}`;
      return `t${term} at ${index}@${indexTerm} ${who} ${part}`;
    }
    case "snapshot-reply": {
      const { term, index, transfer, next, installed } = message;
      return `t${term} at ${index} transfer ${transfer} next ${next}${installed ? " installed" : ""}`;
    }
    case "watch-start":
      return `id ${message.id} ${interval(message.start, message.end)} from ${message.from ?? "now"}`;
    case "watch-stop":
      return `id ${message.id}`;
    case "watch-events": {
      const { id, after, upTo, events, status } = message;
      const told = events.map((e) => `${text(e.key)} ${describeBytes(e.value)} ${e.index}@${e.term}`);
      return `id ${id} ${status} after ${after} to ${upTo} [${told.join(", ")}]`;
    }
    case "replica-check":
      return "";
    case "replica-verdict": {
      const { term, commit, needed } = message;
      return `t${term} commit ${commit} ${needed ? "needed" : "not needed"}`;
    }
    default:
      return unreachable(message);
  }
}

/** `messages from sirius [nack 4]` */
export function describeInput(input: Input): string {
  switch (input.kind) {
    case "start":
    case "wake":
    case "checkpoint":
    case "stop":
      return input.kind;
    case "messages":
      return `messages from ${input.from} [${input.messages.map(describeMessage).join("; ")}]`;
    case "persisted":
      return `persisted to ${input.upTo}`;
    case "checkpointed":
      return `checkpointed ${input.checkpoint}`;
    case "requests": {
      const requests = input.requests.map((r) => {
        const who = r.who === undefined ? "" : ` (${describePrincipal(r.who)})`;
        return `${r.client}/${r.id}${who} ${describeRequest(r.request)}`;
      });
      return `requests [${requests.join("; ")}]`;
    }
    case "client-gone":
      return `client-gone ${input.client}`;
    case "space":
      return `space ${input.low ? "low" : "enough"}`;
    case "chunks":
      return `chunks [${input.results.map(describeChunkResult).join("; ")}]`;
    case "peer-lost":
      return `peer-lost ${input.peer}`;
    case "keys":
      return `keys holds ${input.holds} uses ${input.uses}`;
    case "key-made":
      return `key-made ${input.id}`;
    default:
      return unreachable(input);
  }
}

/** `entries p3 5..7@2` */
export function describeRecord(record: JournalRecord): string {
  switch (record.kind) {
    case "vote":
      return `vote p${record.partition} t${record.term} for ${record.votedFor ?? "nobody"}`;
    case "entries":
      return `entries p${record.partition}${span(record.entries)}`;
    case "truncate":
      return `truncate p${record.partition} from ${record.from}`;
    case "base": {
      const who = `${describeConfiguration(record.configuration)} of ${record.configurationIndex}`;
      return `base p${record.partition} ${record.index}@${record.term} ${who}`;
    }
    case "drop":
      return `drop p${record.partition}`;
    case "view":
      return `view v${record.view.version} e${record.view.epoch}`;
    case "peers": {
      const peers = record.peers.map((p) => `${p.node} at ${p.address}`);
      return `peers incarnation ${record.incarnation} [${peers.join(", ")}]`;
    }
    default:
      return unreachable(record);
  }
}

/** `leader p3 t2` */
export function describeNote(note: Note): string {
  switch (note.kind) {
    case "member":
      return `member ${note.node} ${note.status} ${note.incarnation}`;
    case "view":
      return `view v${note.version} e${note.epoch}`;
    case "standing":
      return `standing ${note.state}`;
    case "refused":
      return `refused ${note.message} from ${note.from}: ${note.why}`;
    case "leader":
      return `leader p${note.partition} t${note.term}`;
    case "stepped-down":
      return `stepped-down p${note.partition} t${note.term}: ${note.why}`;
    case "campaign":
      return `campaign p${note.partition} t${note.term}${note.pre ? " pre" : ""}`;
    case "campaign-lost":
      return `campaign-lost p${note.partition} t${note.term}${note.pre ? " pre" : ""}`;
    case "checkpoint":
      return `checkpoint ${note.number} ${note.done ? "done" : "begun"}`;
    case "quiet":
      return `${note.quiet ? "quiet" : "awake"} p${note.partition}`;
    case "configuration":
      return `configuration p${note.partition} ${note.index} ${describeConfiguration(note.configuration)}`;
    case "applied":
      return `applied p${note.partition} ${note.index}`;
    case "snapshot-begun":
    case "snapshot-sent":
      return `${note.kind} p${note.partition} to ${note.to} at ${note.index}`;
    case "snapshot-installed":
      return `snapshot-installed p${note.partition} at ${note.index}`;
    case "transfer":
      return `transfer p${note.partition} to ${note.to}`;
    case "compacted":
      return `compacted p${note.partition} base ${note.base}`;
    case "dropped":
    case "duplicate":
    case "leases-ended":
      return `${note.kind} p${note.partition}`;
    case "fragment-repaired": {
      const { fragment, bytes, fetched } = note;
      return `fragment-repaired ${describeFragment(fragment)} ${bytes}B of ${fetched}B`;
    }
    case "fragment-rotten":
      return `fragment-rotten ${describeFragment(note.fragment)}`;
    case "fragment-removed":
      return `fragment-removed ${describeFragment(note.fragment)}: ${note.why}`;
    case "look":
      return `look ${note.done ? "done" : "begun"}`;
    case "audit":
      return `audit ${note.client} ${note.who}: ${note.what}: ${note.outcome}`;
    default:
      return unreachable(note);
  }
}

/** One line for each effect of a step, in the order in which a host sees to them; none for a step without any. */
export function describeEffects(effects: Effects): string[] {
  const lines: string[] = [];
  for (const record of effects.persist) lines.push(`persist ${describeRecord(record)}`);
  for (const { to, message } of effects.sendNow) lines.push(`send ${to} ${describeMessage(message)}`);
  for (const { to, message } of effects.sendAfterPersist) {
    lines.push(`send ${to} after ${effects.persistedUpTo} ${describeMessage(message)}`);
  }
  for (const { client, id, response } of effects.replies) {
    lines.push(`reply ${client}/${id} ${describeResponse(response)}`);
  }
  for (const op of effects.chunkOps) lines.push(`chunk ${describeChunkOp(op)}`);
  if (effects.checkpoint !== null) {
    const { number, records } = effects.checkpoint;
    lines.push(`checkpoint ${number} of ${records.length} records`);
  }
  for (const { to, ids } of effects.keyOffers) lines.push(`offer ${to} keys ${ids.join(" ")}`);
  if (effects.makeKey !== null) lines.push(`make key ${effects.makeKey}`);
  for (const note of effects.notes) lines.push(`note ${describeNote(note)}`);
  if (effects.stopped) lines.push("stopped");
  return lines;
}

function updates(list: readonly Update[]): string {
  if (list.length === 0) return "";
  return ` [${
    list.map((u) => `${u.node} ${u.status} ${u.incarnation} by ${u.by} at ${u.address}`).join(", ")
  }]`;
}

/** ` entries 5..7` where the last is of the message's own term. */
function appended(entries: readonly Entry[], term: number): string {
  if (entries.length === 0) return "";
  return ` entries${span(entries).replace(`@${term}`, "")}`;
}

/** ` 5..7@2`, with the kinds of those that are no commands; nothing for none. */
function span(entries: readonly Entry[]): string {
  const first = entries[0];
  const last = entries[entries.length - 1];
  if (first === undefined || last === undefined) return "";
  const special = entries.filter((e) => e.kind !== "command").map((e) => ` ${e.kind} ${e.index}`).join("");
  return ` ${first.index === last.index ? "" : `${first.index}..`}${last.index}@${last.term}${special}`;
}
