import assert from "node:assert/strict";
import fc from "fast-check";
import { logIndex, nodeId, partitionId, term } from "../../../core/base/ids.ts";
import {
  describeEffects,
  describeInput,
  describeMessage,
  describeNote,
  describeRecord,
  describeRequest,
  describeResponse,
} from "../../../core/wire/describe.ts";
import { Effects, type Input, type Note } from "../../../core/wire/kernel.ts";
import { arbMessage, arbRecord, arbRequest, arbResponse } from "../../support/arbitraries.ts";
import {
  CHUNK_RESULTS,
  configuration,
  MESSAGES,
  RECORDS,
  REQUESTS,
  RESPONSES,
  type Samples,
} from "../../support/wire_samples.ts";

function table<T>(samples: Samples<T>, describe: (value: T) => string): string {
  return Object.values(samples).map(describe).join("\n");
}
const lines = (text: string) => text.trim().split("\n").map((line) => line.trim()).join("\n");

Deno.test("describeMessage() says what a trace needs, in one line", () => {
  assert.equal(
    table(MESSAGES, describeMessage),
    lines(`
    ping 24 canopus v300 [canopus suspect 4 by sirius at 10.0.0.2:7000, vega left 0 by vega at [::1]:65535]
    ack 24 v301
    ping-request 25 vega [canopus suspect 4 by sirius at 10.0.0.2:7000]
    nack 25
    push-pull reply [canopus suspect 4 by sirius at 10.0.0.2:7000, vega left 0 by vega at [::1]:65535]
    vote p3 t2 pre last 9@1
    vote-reply p3 t2 granted
    append p3 t2 prev 4@1 commit 4 entries 5..7 noop 6 config 7
    append-reply p3 t2 refused 9 try 4@1
    beats p3 t2 commit 9 round 255, p1024 t2 commit 4294967295 round 256 quiet
    beat-replies p3 t2 round 255 match 9
    timeout-now p3 t2
    snapshot p3 t2 at 9@2 [sirius canopus from sirius + vega] of 7 transfer 1 chunk 0 done rows 1
    snapshot-reply p3 t2 at 9 transfer 1 next 1 installed
    layout-get v300
    layout-is v300 e7
    layout-is v300 e7
    key-get 2 3
    forward 77 hops 1: put "star/32349" 6B:09ea95e1 session ffeeddcc/12 acknowledged 11 opened
    forward-reply 77: written 9@2 existed
    watch-start p3 id 8 "a".."b" from 9
    watch-start p3 id 8 "a".. from now
    watch-stop p3 id 8
    watch-events p3 id 8 ok after 9 to 11 ["a" 6B:09ea95e1 10@2, "b" none 11@2]
    replica-check p3
    replica-verdict p3 t2 commit 7 not needed
    space low
    fragment-put 9 p3 00112233/7.2 30B:f2190340
    fragment-put-reply 9 no-space
    fragment-get 10 p1024 ffffffff/4294967295.31
    fragment-get-reply 10 30B:f2190340
    fragment-get-reply 10 none
    fragment-check 11 [p3 00112233/7.2, p1024 ffffffff/4294967295.31]
    fragment-check-reply 11 [held none]
    segments-gone [p3 00112233, p1024 ffffffff]
  `),
  );
});

Deno.test("describeRequest() says what a trace needs, in one line", () => {
  assert.equal(
    table(REQUESTS, describeRequest),
    lines(`
    put "star/32349" 6B:09ea95e1 session ffeeddcc/12 acknowledged 11 opened
    put "k" 6B:09ea95e1 lease "l" ttl 1000ms history 3
    put "k" 300B:d1c37908 lease "l"
    delete "star/32349" session ffeeddcc/12 acknowledged 11
    cas "k" absent to 6B:09ea95e1 ttl 500ms
    cas "k" present to none
    cas "k" version 8@2 to 6B:09ea95e1
    cas "k" value 6B:09ea95e1 to 6B:09ea95e1 history 0
    transact if ["a" absent] then [put "a" 6B:09ea95e1, get "b"] else [delete "a"] session ffeeddcc/12 acknowledged 11 opened
    grant "l" 60000ms
    keep-alive "l"
    revoke "l"
    get "star/32349" linearizable
    get "k" stale at 4294967296@2
    history "k" stale
    range "a".. limit 100 keys-only linearizable
    range "a".."b" limit 100 reverse stale p3
    watch "".. from [p3:9]
    unwatch 4
    join canopus at 10.0.0.2:7000 network 000102030405060708090a0b0c0d0e0f
    join sirius at 10.0.0.1:7000 network any
    set-state vega gone force
    set-address vega vega.example:7000
    status
    members
    layout
    evict vega by key SOABCDEFGH234567
    invite-add 0123456789abcdef uses 3 until 1800000000000 now 1799999999000
    invite-drop 0123456789abcdef
    access-set SOABCDEFGH234567 "Nightly backup" ["backup/" rw, "" a]
    access-drop SOABCDEFGH234567
    keys-rotate
    key-made 3 by member sirius
    key-status vega holds 2 uses 1
    join canopus at 10.0.0.2:7000 network 000102030405060708090a0b0c0d0e0f by invite 0123456789abcdef
    audit 100
    chunk-put p3 00112233/7 4+2 30B:f2190340
    chunk-get p3 00112233/7 x3 30B
    segments-gone [p3 00112233, p1024 ffffffff]
  `),
  );
});

Deno.test("describeResponse() says what a trace needs, in one line", () => {
  assert.equal(
    table(RESPONSES, describeResponse),
    lines(`
    written 9@2 existed
    cas failed 9@2 found "α Centauri" 6B:09ea95e1 9@2
    cas applied 9@2 found none
    transacted then 9@2 [none, "α Centauri" 6B:09ea95e1 9@2]
    value "α Centauri" 6B:09ea95e1 9@2
    value none age 1500us
    values ["α Centauri" 6B:09ea95e1 9@2, "Θ" none 70000@1] next "c"
    values []
    watching from [p3:9]
    events p3 to 12 ["Θ" none 70000@1] gap
    done 301
    joined v300 e7
    status sirius active v300 1 replicas
    status sirius down v0 0 replicas
    layout v300 e7 2 leaders
    members canopus active unknown
    refused too-large: "The value has 1048577 bytes, the limit is 1048576"
    layout v300 e7 2 leaders
    audit 1 events
    stored 2 of 3
    chunk 30B:f2190340
    refused busy retry after 250ms: "Too many requests"
    refused moved leader canopus: "Ask the leader"
  `),
  );
});

Deno.test("describeRecord() says what a trace needs, in one line", () => {
  assert.equal(
    table(RECORDS, describeRecord),
    lines(`
    vote p3 t2 for canopus
    vote p3 t2 for nobody
    entries p3 5..7@2 noop 6 config 7
    truncate p3 from 6
    base p3 4@1 [sirius canopus from sirius + vega] of 1
    drop p3
    view v300 e7
    peers incarnation 9 [sirius at 10.0.0.1:7000, vega at [::1]:65535]
  `),
  );
});

const sirius = nodeId("sirius");
const p3 = partitionId(3);
const t2 = term(2);

const INPUTS: Samples<Input> = {
  start: { kind: "start" },
  wake: { kind: "wake" },
  messages: { kind: "messages", from: sirius, messages: [MESSAGES["nack"]!, MESSAGES["timeout-now"]!] },
  persisted: { kind: "persisted", upTo: 12 },
  checkpointed: { kind: "checkpointed", checkpoint: 2 },
  requests: { kind: "requests", requests: [{ client: 4, id: 1, request: REQUESTS["get"]! }] },
  space: { kind: "space", low: true },
  chunks: { kind: "chunks", results: Object.values(CHUNK_RESULTS) },
  "client-gone": { kind: "client-gone", client: 4 },
  "peer-lost": { kind: "peer-lost", peer: sirius },
  keys: { kind: "keys", holds: 2, uses: 1, statement: new Uint8Array(64) },
  "key-made": { kind: "key-made", id: 3, authority: Uint8Array.of(1) },
  "of whom": {
    kind: "requests",
    requests: [{
      client: 4,
      id: 2,
      request: { op: { kind: "layout" } },
      who: { kind: "invite", id: "0123456789abcdef", proof: "0".repeat(64) },
    }],
  },
  stop: { kind: "stop" },
};

Deno.test("describeInput() says what a trace needs, in one line", () => {
  assert.equal(
    table(INPUTS, describeInput),
    lines(`
    start
    wake
    messages from sirius [nack 25; timeout-now p3 t2]
    persisted to 12
    checkpointed 2
    requests [4/1 get "star/32349" linearizable]
    space low
    chunks [written 1; read 2 30B:f2190340; read 3 none; removed 4; listed 5 [p3 00112233/7.2 300B 1000ms, p1024 ffffffff/4294967295.31 0B 0ms] done; partitions 6 [p1 p3]; failed 7 no-space: "No space left on device"]
    client-gone 4
    peer-lost sirius
    keys holds 2 uses 1
    key-made 3
    requests [4/2 (invite 0123456789abcdef) layout]
    stop
  `),
  );
});

const fragment = { partition: p3, segment: "00112233445566778899aabbccddeeff", chunk: 7, index: 1 };
const NOTES: Samples<Note> = {
  member: { kind: "member", node: sirius, status: "suspect", incarnation: 4 },
  leader: { kind: "leader", partition: p3, term: t2 },
  "stepped-down": { kind: "stepped-down", partition: p3, term: t2, why: "a quorum is silent" },
  campaign: { kind: "campaign", partition: p3, term: t2, pre: true },
  quiet: { kind: "quiet", partition: p3, quiet: true },
  awake: { kind: "quiet", partition: p3, quiet: false },
  configuration: { kind: "configuration", partition: p3, index: logIndex(9), configuration },
  applied: { kind: "applied", partition: p3, index: logIndex(9) },
  "snapshot-sent": { kind: "snapshot-sent", partition: p3, to: sirius, index: logIndex(9) },
  "snapshot-installed": { kind: "snapshot-installed", partition: p3, index: logIndex(9) },
  transfer: { kind: "transfer", partition: p3, to: sirius },
  compacted: { kind: "compacted", partition: p3, base: logIndex(9) },
  dropped: { kind: "dropped", partition: p3 },
  duplicate: { kind: "duplicate", partition: p3 },
  view: { kind: "view", version: 300, epoch: 7 },
  standing: { kind: "standing", state: "removed" },
  "fragment-repaired": { kind: "fragment-repaired", fragment, bytes: 144, fetched: 288 },
  "fragment-rotten": { kind: "fragment-rotten", fragment },
  "fragment-removed": { kind: "fragment-removed", fragment, why: "moved" },
  look: { kind: "look", done: true },
  refused: { kind: "refused", from: sirius, message: "append", why: "not a member" },
};

Deno.test("describeNote() says what a trace needs, in one line", () => {
  assert.equal(
    table(NOTES, describeNote),
    lines(`
    member sirius suspect 4
    leader p3 t2
    stepped-down p3 t2: a quorum is silent
    campaign p3 t2 pre
    quiet p3
    awake p3
    configuration p3 9 [sirius canopus from sirius + vega]
    applied p3 9
    snapshot-sent p3 to sirius at 9
    snapshot-installed p3 at 9
    transfer p3 to sirius
    compacted p3 base 9
    dropped p3
    duplicate p3
    view v300 e7
    standing removed
    fragment-repaired p3 00112233/7.1 144B of 288B
    fragment-rotten p3 00112233/7.1
    fragment-removed p3 00112233/7.1: moved
    look done
    refused append from sirius: not a member
  `),
  );
});

Deno.test("describeEffects() tells a step's effects in the order in which a host sees to them", () => {
  const effects = new Effects();
  assert.deepEqual(describeEffects(effects), []);
  effects.note(NOTES["leader"]!);
  effects.reply(4, 1, RESPONSES["written"]!);
  effects.sendDurable(sirius, MESSAGES["vote-reply"]!);
  effects.send(sirius, MESSAGES["nack"]!);
  effects.record(RECORDS["drop"]!);
  effects.checkpoint = { number: 2, records: [RECORDS["drop"]!] };
  effects.stopped = true;
  assert.deepEqual(describeEffects(effects), [
    "persist drop p3",
    "send sirius nack 25",
    "send sirius after 1 vote-reply p3 t2 granted",
    "reply 4/1 written 9@2 existed",
    "checkpoint 2 of 1 records",
    "note leader p3 t2",
    "stopped",
  ]);
});

Deno.test("every description is one line", () => {
  const oneLine = (text: string) => assert.ok(/^[^\r\n]+$/.test(text), text);
  fc.assert(fc.property(arbMessage, (message) => oneLine(describeMessage(message))));
  fc.assert(fc.property(arbRequest, (request) => oneLine(describeRequest(request))));
  fc.assert(fc.property(arbResponse, (response) => oneLine(describeResponse(response))));
  fc.assert(fc.property(arbRecord, (record) => oneLine(describeRecord(record))));
});
