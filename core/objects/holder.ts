/**
 * A node as a holder of fragments: keeps what it is given, gives back what it has, says what it holds. To peers by
 * messages, to itself by calls (LocalHolder in asks.ts).
 *
 * H1. Only what is proven to be the fragment that it is called is written, and only proven fragments are given out. What
 *     fails the proof when it is read is rotten: it is removed, counted, and told to who repairs.
 * H2. A name stands for one content for good: another content under it is refused. Where the same is there, or being
 *     written, nothing is written, and the answer is the same. Rotten content does not count, and is replaced.
 * H3. "stored" is said when the disk has said that it is durable.
 * H4. Bytes being written and fragments being read are bounded. Past it a writer is told "failed" and asks another; a
 *     reader is told nothing, for "not held" might be false.
 * H5. A node short of disk space takes no fragments.
 * H6. Where who asks may remove its own for the answer, only what was read and proven counts as held: one fragment at a time,
 *     for a few who ask at once, each of whom is answered once however often it asks.
 */
import type { Instant, NodeId } from "../base/ids.ts";
import { equalBytes } from "../base/bytes.ts";
import { LIMITS } from "../base/limits.ts";
import type { Effects } from "../wire/kernel.ts";
import type { FragmentPutOutcome, MessageOf } from "../wire/messages.ts";
import type { FragmentId } from "../wire/objects.ts";
import type { LocalHolder } from "./asks.ts";
import type { ChunkDisk, DiskFailure } from "./disk.ts";
import {
  CHUNK_END,
  compareFragments,
  type Fragment,
  fragmentKey,
  isFragmentId,
  parseFragment,
} from "./fragment.ts";

export interface HolderOptions {
  readonly effects: Effects;
  readonly disk: ChunkDisk;
  /** The node is short of disk space. */
  readonly low: () => boolean;
  /** Data partitions of the network. */
  readonly partitions: () => number;
  /** What was held under this name was not that fragment, and is gone (H1). */
  readonly rotten: (fragment: FragmentId, now: Instant) => void;
  /** Somebody wanted this fragment, and it is not here. */
  readonly absent: (fragment: FragmentId, now: Instant) => void;
}

type PutDone = (outcome: FragmentPutOutcome) => void;
interface Writing {
  readonly bytes: Uint8Array;
  readonly waiting: PutDone[];
}
interface Reading {
  readonly fragment: FragmentId;
  readonly done: (found: Fragment | null | "lost") => void;
}
interface Check {
  /** Sorted, with their places in the answer. */
  readonly asked: readonly { readonly fragment: FragmentId; readonly place: number }[];
  readonly held: boolean[];
  /** Up to here the answer is known; it is as yet what the disk lists, where more is to be verified. */
  at: number;
  verify: boolean;
  readonly done: (held: readonly boolean[] | null) => void;
}

export class Holder implements LocalHolder {
  readonly #options: HolderOptions;
  readonly #writing = new Map<string, Writing>();
  readonly #readQueue: Reading[] = [];
  #bytesWriting = 0;
  #reading = 0;
  #checks = 0;
  /** Of whom something is being verified, or waits for it. */
  readonly #askers = new Set<string>();
  readonly #toVerify: Check[] = [];
  #verifying = 0;
  #rotten = 0;

  constructor(options: HolderOptions) {
    this.#options = options;
  }

  /** Rotten fragments found in this life. */
  get rotten(): number {
    return this.#rotten;
  }

  // ---- peers

  handlePut(from: NodeId, { id, fragment, bytes }: MessageOf<"fragment-put">): void {
    this.put(
      fragment,
      bytes,
      (outcome) => this.#options.effects.send(from, { kind: "fragment-put-reply", id, outcome }),
    );
  }

  handleGet(from: NodeId, { id, fragment }: MessageOf<"fragment-get">): void {
    this.get(fragment, (found) => {
      if (found === "lost") return; // H4
      const bytes = found === null ? null : found.file;
      this.#options.effects.send(from, { kind: "fragment-get-reply", id, bytes });
    });
  }

  handleCheck(from: NodeId, message: MessageOf<"fragment-check">): void {
    const { id, fragments } = message, verify = message.verify === true, asker = `${id} ${from}`;
    if (verify && this.#askers.has(asker)) return; // H6
    if (verify) this.#askers.add(asker);
    this.check(fragments, (held) => {
      this.#askers.delete(asker);
      if (held === null) return;
      this.#options.effects.send(from, { kind: "fragment-check-reply", id, held });
    }, verify);
  }

  // ---- keeping

  put(fragment: FragmentId, bytes: Uint8Array, done: PutDone): void {
    const { low, partitions, disk } = this.#options;
    if (low()) return done("no-space"); // H5
    if (fragment.partition > partitions() || !isFragmentId(fragment)) return done("refused");
    const key = fragmentKey(fragment), writing = this.#writing.get(key);
    if (writing !== undefined) { // H2
      if (!equalBytes(writing.bytes, bytes)) return done("refused");
      return void writing.waiting.push(done);
    }
    if (this.#bytesWriting + bytes.length > LIMITS.fragmentBytesWritingMax) return done("failed"); // H4
    if (parseFragment(bytes, fragment) === null) return done("refused"); // H1
    this.#writing.set(key, { bytes, waiting: [done] });
    this.#bytesWriting += bytes.length;
    disk.readRare(fragment, (there, _failed, now) => this.#compared(fragment, key, there, now));
  }

  #compared(fragment: FragmentId, key: string, there: Uint8Array | null, now: Instant): void {
    const { bytes } = this.#writing.get(key)!;
    if (there !== null && equalBytes(there, bytes)) return this.#wrote(key, "stored");
    if (there !== null && parseFragment(there, fragment) !== null) return this.#wrote(key, "refused");
    if (there !== null) this.#found(fragment, now);
    this.#options.disk.write(fragment, bytes, (failure) => this.#wrote(key, outcomeOf(failure)));
  }

  #wrote(key: string, outcome: FragmentPutOutcome): void {
    const { bytes, waiting } = this.#writing.get(key)!;
    this.#writing.delete(key);
    this.#bytesWriting -= bytes.length;
    for (const done of waiting) done(outcome);
  }

  // ---- giving

  get(fragment: FragmentId, done: Reading["done"]): void {
    if (!isFragmentId(fragment)) return done(null);
    if (this.#readQueue.length >= LIMITS.fragmentsReadWaitingMax) return done("lost"); // H4
    this.#readQueue.push({ fragment, done });
    this.#readNext();
  }

  #readNext(): void {
    while (this.#reading < LIMITS.fragmentsReadingMax) {
      const next = this.#readQueue.shift();
      if (next === undefined) return;
      this.#reading++;
      this.#options.disk.read(next.fragment, (bytes, failed, now) => {
        this.#reading--;
        if (bytes === null && !failed) this.#options.absent(next.fragment, now);
        next.done(bytes === null ? null : this.prove(next.fragment, bytes, now));
        this.#readNext();
      });
    }
  }

  /** H1: what was read under this name, or null: it was rotten, and is being removed. */
  prove(fragment: FragmentId, bytes: Uint8Array, now: Instant): Fragment | null {
    const found = parseFragment(bytes, fragment);
    if (found !== null) return found;
    // What is being written in its place is not removed again.
    if (!this.#writing.has(fragmentKey(fragment))) {
      this.#options.disk.remove([fragment], () => {});
    }
    this.#found(fragment, now);
    return null;
  }

  #found(fragment: FragmentId, now: Instant): void {
    this.#rotten++;
    this.#options.rotten(fragment, now);
  }

  // ---- telling

  check(fragments: readonly FragmentId[], done: Check["done"], verify = false): void {
    if (this.#checks >= LIMITS.fragmentChecksMax) return done(null); // H4
    const asked = fragments.map((fragment, place) => ({ fragment, place }))
      .filter(({ fragment }) => isFragmentId(fragment))
      .sort((a, b) => compareFragments(a.fragment, b.fragment));
    this.#checks++;
    const held = new Array<boolean>(fragments.length).fill(false);
    this.#checkNext({ asked, held, at: 0, verify, done });
  }

  /** Each page of the disk's list settles at least one of them, and neighbours along with it. */
  #checkNext(check: Check): void {
    const { asked, at } = check, first = asked[at];
    if (first === undefined) return this.#checkedAll(check, check.held);
    const { partition } = first.fragment;
    const others = asked.findIndex(({ fragment }, i) => i > at && fragment.partition !== partition);
    const end = others < 0 ? asked.length : others;
    this.#options.disk.list(partition, before(first.fragment), end - at, (page) => {
      if (page === null) return this.#checkedAll(check, null);
      this.#settle(check, end, page);
      this.#checkNext(check);
    });
  }

  #settle(
    check: Check,
    end: number,
    { fragments, done }: { readonly fragments: readonly { readonly fragment: FragmentId }[]; done: boolean },
  ): void {
    const { asked, held } = check;
    let listed = 0;
    for (; check.at < end; check.at++) {
      const { fragment, place } = asked[check.at]!;
      while (listed < fragments.length && compareFragments(fragments[listed]!.fragment, fragment) < 0) {
        listed++;
      }
      if (listed === fragments.length) {
        if (done) continue;
        // A page that brings nothing and is not the last would keep it here for ever.
        if (fragments.length === 0) check.at++;
        return;
      }
      held[place] = compareFragments(fragments[listed]!.fragment, fragment) === 0;
    }
  }

  #checkedAll(check: Check, held: readonly boolean[] | null): void {
    if (check.verify && held !== null) {
      check.verify = false;
      check.at = 0;
      this.#toVerify.push(check);
      return this.#verifyNext();
    }
    this.#checks--;
    check.done(held);
  }

  #verifyNext(): void {
    while (this.#verifying < LIMITS.fragmentsVerifyingMax) {
      const check = this.#toVerify.shift();
      if (check === undefined) return;
      this.#verifying++;
      this.#verify(check);
    }
  }

  /** H6: what is rotten is found by reading it (H1). */
  #verify(check: Check): void {
    const { asked, held } = check;
    while (check.at < asked.length && !held[asked[check.at]!.place]) check.at++;
    const next = asked[check.at];
    if (next === undefined) return this.#verified(check, held);
    this.get(next.fragment, (found) => {
      if (found === "lost") return this.#verified(check, null);
      held[next.place] = found !== null;
      check.at++;
      this.#verify(check);
    });
  }

  #verified(check: Check, held: readonly boolean[] | null): void {
    this.#verifying--;
    this.#checkedAll(check, held);
    this.#verifyNext();
  }
}

function outcomeOf(failure: DiskFailure | null): FragmentPutOutcome {
  if (failure === null) return "stored";
  return failure === "no-space" ? "no-space" : "failed";
}

/** The last fragment that could come before it, in the order of compareFragments(); null: it is the first of all. */
function before(fragment: FragmentId): FragmentId | null {
  const { partition, segment, chunk, index } = fragment, lastIndex = LIMITS.stripeMax - 1;
  if (index > 0) return { ...fragment, index: index - 1 };
  if (chunk > 0) return { partition, segment, chunk: chunk - 1, index: lastIndex };
  const earlier = BigInt(`0x${segment}`) - 1n;
  if (earlier < 0n) return null;
  return {
    partition,
    segment: earlier.toString(16).padStart(32, "0"),
    chunk: CHUNK_END - 1,
    index: lastIndex,
  };
}
