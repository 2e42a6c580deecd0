/** Sees from outside in which situations with objects the nodes of a run are. Changes nothing. */
import type { Effects, Input, Note } from "../../core/wire/kernel.ts";
import type { Message } from "../../core/wire/messages.ts";
import type { Machine } from "../machine.ts";
import type { Observer } from "../observer.ts";
import type { Sometimes } from "../sometimes.ts";
import { fragmentKey } from "../../core/objects/fragment.ts";

export class ObjectSightings implements Observer {
  readonly #sometimes: Sometimes;
  /** By machine: what it asked others for and has had no answer to, by fragment; and by question, which one. */
  readonly #asked: Map<string, Set<number>>[] = [];
  readonly #questions: Map<number, string>[] = [];
  /** Machines amid a look. */
  readonly #looking = new Set<number>();
  /** Bytes of fragments that came from others, for whatever reason. */
  movedBytes = 0;
  repairs = 0;
  /** When the last fragment was repaired. */
  repairedAt = 0;

  constructor(sometimes: Sometimes) {
    this.#sometimes = sometimes;
  }

  // ---- Observer

  stepped({ index }: Machine, _input: Input, { notes }: Effects, now: number): void {
    for (const note of notes) this.#noted(index, note, now);
  }

  halted({ index, power }: Machine): void {
    this.#asked[index]?.clear();
    this.#questions[index]?.clear();
    if (this.#looking.delete(index) && power !== "left") this.#sometimes.fire("node crashed amid a look");
  }

  /** For the world's tracer. */
  traced({ index }: Machine, input: Input, { sendNow, replies }: Effects): void {
    if (input.kind === "messages") {
      for (const message of input.messages) {
        if (message.kind === "fragment-get-reply") this.movedBytes += message.bytes?.length ?? 0;
        if (message.kind === "fragment-put") this.movedBytes += message.bytes.length;
        if (message.kind === "fragment-get-reply") this.#answered(index, message.id);
        if (message.kind === "fragment-put-reply" && message.outcome !== "stored") {
          this.#sometimes.fire("holder did not take a fragment");
        }
      }
    }
    for (const { message } of sendNow) this.#sent(index, message);
    for (const { response } of replies) {
      if (response.kind === "stored" && response.fragments < response.wanted) {
        this.#sometimes.fire("chunk stored with a quorum only");
      }
    }
  }

  // ----

  #sent(index: number, message: Message): void {
    if (message.kind !== "fragment-get") return;
    while (this.#asked.length <= index) {
      this.#asked.push(new Map());
      this.#questions.push(new Map());
    }
    const key = fragmentKey(message.fragment), asked = this.#asked[index]!;
    const others = asked.get(key);
    this.#questions[index]!.set(message.id, key);
    if (others === undefined) asked.set(key, new Set([message.id]));
    else {
      others.add(message.id);
      this.#sometimes.fire("second holder asked before the first answered");
    }
  }

  #answered(index: number, id: number): void {
    const key = this.#questions[index]?.get(id);
    if (key === undefined) return;
    this.#questions[index]!.delete(id);
    const others = this.#asked[index]!.get(key);
    if (others === undefined) return;
    if (others.size > 1 && Math.min(...others) !== id) this.#sometimes.fire("hedged read won by the later");
    others.delete(id);
    if (others.size === 0) this.#asked[index]!.delete(key);
  }

  #noted(index: number, note: Note, now: number): void {
    switch (note.kind) {
      case "fragment-repaired":
        this.repairs++;
        this.repairedAt = now;
        return this.#sometimes.fire(
          note.fetched > note.bytes + note.bytes / 2
            ? "fragment made again of others"
            : "fragment fetched again",
        );
      case "fragment-rotten":
        return this.#sometimes.fire("rotten fragment found");
      case "fragment-removed":
        return this.#sometimes.fire(REMOVED[note.why]);
      case "look":
        if (note.done) this.#looking.delete(index);
        else this.#looking.add(index);
        return;
      default:
    }
  }
}

const REMOVED = {
  moved: "surplus fragment removed",
  orphan: "orphaned fragment collected",
  gone: "fragment of something deleted removed at once",
  excess: "fragment beyond its segment removed",
} as const;
