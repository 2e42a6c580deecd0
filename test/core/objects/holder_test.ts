import assert from "node:assert/strict";
import fc from "fast-check";
import type { Instant, NodeId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { equalFragments, fragmentKey, makeFragments } from "../../../core/objects/fragment.ts";
import { erasureCoder as coder } from "../../../core/objects/erasure.ts";
import type { FragmentPutOutcome, Message } from "../../../core/wire/messages.ts";
import type { FragmentId } from "../../../core/wire/objects.ts";
import { fragmentIds } from "./arbitraries.ts";
import { bytesOf, ChunkNetwork, type ChunkNode, fragmentAt, replicated, SEGMENT } from "./chunk_network.ts";

const ID = fragmentAt(0, 0);
const PEER = "n1" as NodeId;

function fileOf(chunk: number, seed = 1): Uint8Array {
  const scheme = replicated(3);
  return makeFragments(SEGMENT, chunk, { scheme, sealed: bytesOf(100, seed), coder })[0]!;
}
/** What the holder says to its peer. */
function saidTo(network: ChunkNetwork, what: (holder: ChunkNode) => void): Message[] {
  const before = network.sent.length;
  what(network.node(0));
  network.run(50_000);
  return network.sent.slice(before).filter((s) => s.from === "n0" && s.to === PEER).map((s) => s.message);
}
function put(network: ChunkNetwork, fragment: FragmentId, bytes: Uint8Array): FragmentPutOutcome[] {
  const said = saidTo(
    network,
    (holder) => network.deliver(PEER, holder, { kind: "fragment-put", id: 77, fragment, bytes }),
  );
  return said.map((m) => m.kind === "fragment-put-reply" && m.id === 77 ? m.outcome : assert.fail(m.kind));
}

Deno.test("A holder keeps only what is the fragment that it is called (H1)", () => {
  const network = new ChunkNetwork(2), file = fileOf(0), { disk } = network.node(0);
  for (
    const [fragment, bytes] of [
      [ID, file.with(60, 1)],
      [ID, file.subarray(0, 70)],
      [ID, new Uint8Array(0)],
      [fragmentAt(1, 0), file],
      [{ ...ID, partition: 3 } as FragmentId, file],
      [{ ...ID, partition: 9 } as FragmentId, file],
      [{ ...ID, segment: "x" }, file],
    ] as const
  ) assert.deepEqual(put(network, fragment, bytes), ["refused"]);
  assert.equal(disk.files.size, 0);
  assert.deepEqual(put(network, ID, file), ["stored"]);
  assert.deepEqual(disk.get(ID), file);
});

Deno.test("A name stands for one content: another is refused, the same is not written again (H2)", () => {
  const network = new ChunkNetwork(2), { disk } = network.node(0);
  assert.deepEqual(put(network, ID, fileOf(0)), ["stored"]);
  assert.deepEqual(put(network, ID, fileOf(0)), ["stored"]);
  assert.equal(disk.asked.get("write"), 1);
  assert.deepEqual(put(network, ID, fileOf(0, 2)), ["refused"]);
  assert.deepEqual(disk.get(ID), fileOf(0));
});

Deno.test("Rotten content is no content: it is replaced, and told (H2)", () => {
  const network = new ChunkNetwork(2), { disk, rotten } = network.node(0);
  put(network, ID, fileOf(0));
  disk.damage(ID, 80);
  assert.deepEqual(put(network, ID, fileOf(0, 2)), ["stored"]);
  assert.deepEqual(disk.get(ID), fileOf(0, 2));
  assert.deepEqual(rotten, [ID]);
});

Deno.test("Of puts at the same time the first decides, the same waits for it, another is refused", () => {
  const network = new ChunkNetwork(2);
  const said = saidTo(network, (holder) => {
    for (const [id, seed] of [[1, 1], [2, 2], [3, 1]] as const) {
      network.deliver(PEER, holder, { kind: "fragment-put", id, fragment: ID, bytes: fileOf(0, seed) });
    }
  });
  const outcomes = new Map(
    said.map((m) => m.kind === "fragment-put-reply" ? [m.id, m.outcome] : assert.fail()),
  );
  assert.deepEqual([...outcomes].sort(), [[1, "stored"], [2, "refused"], [3, "stored"]]);
  assert.equal(network.node(0).disk.asked.get("write"), 1);
});

Deno.test("What is written in the place of something rotten is not removed with it", () => {
  for (const order of [["put", "get"], ["get", "put"]]) {
    const network = new ChunkNetwork(2), { disk } = network.node(0);
    put(network, ID, fileOf(0));
    disk.damage(ID, 80);
    const said = saidTo(network, (holder) => {
      for (const what of order) {
        if (what === "get") network.deliver(PEER, holder, { kind: "fragment-get", id: 1, fragment: ID });
        else {network.deliver(PEER, holder, {
            kind: "fragment-put",
            id: 2,
            fragment: ID,
            bytes: fileOf(0, 2),
          });}
      }
    });
    assert.ok(said.some((m) => m.kind === "fragment-put-reply" && m.outcome === "stored"));
    assert.deepEqual(disk.get(ID), fileOf(0, 2), `${order}`);
  }
});

Deno.test("stored is said when the disk said so, and what the disk says otherwise is told (H3, H5)", () => {
  const network = new ChunkNetwork(2), holder = network.node(0);
  const before = network.sent.length;
  network.deliver(PEER, holder, { kind: "fragment-put", id: 1, fragment: ID, bytes: fileOf(0) });
  assert.equal(network.sent.length, before);
  network.run(10_000);
  assert.equal(network.sent.length, before + 1);
  holder.disk.failing = "no-space";
  assert.deepEqual(put(network, fragmentAt(1, 0), fileOf(1)), ["no-space"]);
  holder.disk.failing = "disk";
  assert.deepEqual(put(network, fragmentAt(1, 0), fileOf(1)), ["failed"]);
  holder.disk.failing = null;
  holder.low = true;
  assert.deepEqual(put(network, fragmentAt(1, 0), fileOf(1)), ["no-space"]);
});

Deno.test("Bytes being written are bounded (H4)", () => {
  const network = new ChunkNetwork(2), sealed = new Uint8Array(LIMITS.chunkBytesMax);
  const large = (chunk: number) =>
    makeFragments(SEGMENT, chunk, { scheme: replicated(3), sealed, coder })[0]!;
  const said = saidTo(network, (holder) => {
    for (let chunk = 0; chunk < 70; chunk++) {
      const bytes = large(chunk);
      network.deliver(PEER, holder, {
        kind: "fragment-put",
        id: chunk,
        fragment: fragmentAt(chunk, 0),
        bytes,
      });
    }
  });
  const failed = said.filter((m) => m.kind === "fragment-put-reply" && m.outcome === "failed").length;
  assert.equal(70 - failed, Math.floor(LIMITS.fragmentBytesWritingMax / large(0).length));
  for (let chunk = 100; chunk < 170; chunk++) {
    assert.deepEqual(put(network, fragmentAt(chunk, 0), large(chunk)), ["stored"], "there is room again");
  }
});

Deno.test("A holder gives what it has, and null for what it has not or what is rotten (H1)", () => {
  const network = new ChunkNetwork(2), holder = network.node(0);
  const get = (fragment: FragmentId) =>
    saidTo(network, () => network.deliver(PEER, holder, { kind: "fragment-get", id: 5, fragment }));
  put(network, ID, fileOf(0));
  assert.deepEqual(get(ID), [{ kind: "fragment-get-reply", id: 5, bytes: fileOf(0) }]);
  const nothing = [{ kind: "fragment-get-reply", id: 5, bytes: null }];
  assert.deepEqual(get(fragmentAt(1, 0)), nothing);
  assert.deepEqual(get({ ...ID, segment: "x" }), nothing);
  holder.disk.damage(ID, 50);
  assert.deepEqual(get(ID), nothing);
  assert.deepEqual(holder.rotten, [ID]);
  assert.equal(holder.objects.holder.rotten, 1);
  assert.equal(holder.disk.get(ID), null);
  holder.disk.failing = "disk";
  assert.deepEqual(get(ID), nothing);
});

Deno.test("Fragments being read are bounded, and all are given in their turn; past that nothing is said (H4)", () => {
  const network = new ChunkNetwork(2), holder = network.node(0);
  put(network, ID, fileOf(0));
  const many = LIMITS.fragmentsReadingMax + LIMITS.fragmentsReadWaitingMax + 5;
  let most = 0;
  const said = saidTo(network, () => {
    for (let id = 0; id < many; id++) {
      network.deliver(PEER, holder, { kind: "fragment-get", id, fragment: ID });
      most = Math.max(most, holder.objects.disk.size);
    }
  });
  assert.equal(most, LIMITS.fragmentsReadingMax);
  assert.equal(said.length, many - 5);
});

Deno.test("A check tells of each fragment whether it is held, as a set does", () => {
  fc.assert(
    fc.property(fc.array(fragmentIds), fc.array(fragmentIds, { maxLength: 40 }), (held, asked) => {
      const network = new ChunkNetwork(2), { disk } = network.node(0);
      for (const fragment of held) {
        disk.files.set(fragmentKey(fragment), { fragment, bytes: new Uint8Array(1) });
      }
      const said = saidTo(
        network,
        (holder) => network.deliver(PEER, holder, { kind: "fragment-check", id: 3, fragments: asked }),
      );
      const expected = asked.map((a) => held.some((h) => equalFragments(a, h)));
      assert.deepEqual(said, [{ kind: "fragment-check-reply", id: 3, held: expected }]);
      assert.ok((disk.asked.get("list") ?? 0) <= asked.length);
    }),
  );
});

Deno.test("A check of neighbours takes one look at the disk; a disk that fails says nothing", () => {
  const network = new ChunkNetwork(2), holder = network.node(0);
  for (let chunk = 0; chunk < 20; chunk++) put(network, fragmentAt(chunk, 0), fileOf(chunk));
  const fragments = Array.from({ length: 20 }, (_, i) => fragmentAt(19 - i, 0));
  const check = () =>
    saidTo(network, () => network.deliver(PEER, holder, { kind: "fragment-check", id: 3, fragments }));
  assert.deepEqual(check(), [{ kind: "fragment-check-reply", id: 3, held: fragments.map(() => true) }]);
  assert.equal(holder.disk.asked.get("list"), 1);
  const absent = Array.from({ length: 20 }, (_, i) => fragmentAt(100 + i, 0));
  const none = saidTo(
    network,
    () => network.deliver(PEER, holder, { kind: "fragment-check", id: 3, fragments: absent }),
  );
  assert.deepEqual(none, [{ kind: "fragment-check-reply", id: 3, held: absent.map(() => false) }]);
  assert.equal(holder.disk.asked.get("list"), 2);
  for (let i = 0; i <= LIMITS.fragmentChecksMax; i++) assert.equal(check().length, 1);
  holder.disk.failing = "disk";
  assert.deepEqual(check(), []);
  holder.disk.failing = null;
  assert.equal(check().length, 1);
  holder.disk.take = ({ op }) => ({ kind: "listed", op, fragments: [], done: false });
  assert.equal(check().length, 1, "a disk that lists nothing and has more keeps nobody waiting");
});

Deno.test("A disk's answers count once, and those to questions of another life not at all (C1, C2)", () => {
  const network = new ChunkNetwork(1), node = network.node(0);
  const heard: string[] = [];
  network.act(node, () => {
    node.objects.disk.read(ID, (bytes, failed) => void heard.push(`read ${bytes} ${failed}`));
    node.objects.disk.write(ID, fileOf(0), (failure) => void heard.push(`write ${failure}`));
    node.objects.disk.list(
      ID.partition,
      null,
      9,
      (page) => void heard.push(`list ${page?.fragments.length}`),
    );
    node.objects.disk.partitions((all) => void heard.push(`partitions ${all}`));
    node.objects.disk.remove([ID], (failed) => void heard.push(`remove ${failed}`));
  });
  assert.equal(heard.length, 0);
  network.results(node, [{ kind: "written", op: 1 }, { kind: "removed", op: 999_999 }]);
  assert.equal(heard.length, 0, "numbers of another life");
  const all = ["read null false", "write null", "list 1", "partitions 2", "remove false"];
  network.run(10_000);
  assert.deepEqual(heard, all);
  network.results(node, Array.from({ length: 2000 }, (_, op) => ({ kind: "written" as const, op })));
  assert.deepEqual(heard, all, "all have been answered");
  network.act(node, () => node.objects.disk.read(ID, (_, failed) => void heard.push(`${failed}`)));
  network.results(node, Array.from({ length: 2000 }, (_, op) => ({ kind: "removed" as const, op })));
  assert.equal(heard.at(-1), "true", "an answer of another kind is a failure");
});

Deno.test("A fetch of one fragment asks those named, in order, and nobody else", () => {
  const network = new ChunkNetwork(5), bytes = bytesOf(100);
  network.node(3).disk.files.set(fragmentKey(ID), { fragment: ID, bytes: fileOf(0) });
  const wanted = { segment: SEGMENT, chunk: 0, scheme: replicated(3), sealedBytes: 100 };
  const fetch = (from: number[], us = 1_000_000): string[] => {
    const heard: string[] = [], node = network.node(0);
    network.act(node, () =>
      void node.objects.fetcher.fetchFragment(
        wanted,
        {
          index: 0,
          from: from.map((i) => network.node(i).id),
          until: (network.now + us) as Instant,
        },
        network.now as Instant,
        (fetched) => {
          heard.push(fetched.kind);
          if (fetched.kind === "found") assert.deepEqual(Uint8Array.from(fetched.fragment.payload), bytes);
        },
      ));
    network.run(us + 1);
    return heard;
  };
  assert.deepEqual(fetch([1, 3]), ["found"]);
  assert.deepEqual(network.sent.filter((s) => s.from === "n0").map((s) => s.to), ["n1", "n3"]);
  assert.deepEqual(fetch([1, 2]), ["absent"]);
  assert.deepEqual(fetch([]), ["absent"]);
  network.node(2).presence = "away";
  assert.deepEqual(fetch([1, 2]), ["unsure"]);
  network.node(3).silent = true;
  assert.deepEqual(fetch([1, 3]), ["unsure"]);
  network.assertIdle();
});

Deno.test("Repair gets a chunk without asking itself, and hears how much came from others", () => {
  const network = new ChunkNetwork(4), node = network.order()[0]!, bytes = bytesOf(100);
  const scheme = replicated(3), heard: unknown[] = [];
  network.answer(network.put(node, bytes, scheme));
  network.run(50_000);
  const read = node.disk.asked.get("read");
  network.act(node, () =>
    void node.objects.fetcher.fetchChunk(
      { segment: SEGMENT, chunk: 0, scheme, sealedBytes: 100 },
      { until: (network.now + 1_000_000) as Instant, withoutSelf: true },
      network.now as Instant,
      (fetched) => heard.push(fetched.kind === "found" && fetched.fetchedBytes),
    ));
  network.run(50_000);
  assert.deepEqual(heard, [fileOf(0).length]);
  assert.equal(node.disk.asked.get("read"), read);
  network.act(node, () => {
    const now = network.now as Instant;
    const number = node.objects.fetcher.fetchChunk(
      { segment: SEGMENT, chunk: 0, scheme, sealedBytes: 100 },
      { until: (now + 1_000_000) as Instant },
      now,
      () => assert.fail("it was cancelled"),
    );
    node.objects.fetcher.cancel(number, now);
  });
  network.run(2_000_000);
  network.assertIdle();
});
