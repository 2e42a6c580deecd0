import type { LogIndex, PartitionId } from "../../core/base/ids.ts";
import type { KeyValue, Response, WatchOp } from "../../core/wire/requests.ts";
import type { ClientDriver } from "./driver.ts";
import { RequestError } from "./errors.ts";

/** Changes of one partition up to the log position `upTo`. */
export interface WatchBatch {
  readonly partition: PartitionId;
  readonly upTo: LogIndex;
  /** In order. A null value: the key was deleted or its lease ended. */
  readonly events: readonly KeyValue[];
  /** Changes before this batch were missed and nobody knows them any more. */
  readonly gap: boolean;
}

/** The batches of one watch, as they come. Leaving a loop over it ends the watch. */
export class WatchStream implements AsyncIterableIterator<WatchBatch, void, void> {
  readonly #driver: ClientDriver;
  readonly #ticket: number;
  readonly #established = Promise.withResolvers<void>();
  #batches: WatchBatch[] = [];
  #waiting: PromiseWithResolvers<IteratorResult<WatchBatch, void>> | null = null;
  #ended: RequestError | "done" | null = null;

  constructor(driver: ClientDriver, op: WatchOp) {
    this.#driver = driver;
    this.#established.promise.catch(() => {});
    this.#ticket = driver.submit(op, (response, final) => this.#heard(response, final));
  }

  /** Resolves when the watch stands: changes from then on are told. */
  get established(): Promise<void> {
    return this.#established.promise;
  }

  next(): Promise<IteratorResult<WatchBatch, void>> {
    const value = this.#batches.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    if (this.#ended === "done") return Promise.resolve({ done: true, value: undefined });
    if (this.#ended !== null) return Promise.reject(this.#ended);
    this.#waiting ??= Promise.withResolvers();
    return this.#waiting.promise;
  }

  return(): Promise<IteratorResult<WatchBatch, void>> {
    if (this.#ended === null) this.#driver.submit({ kind: "unwatch", watch: this.#ticket }, () => {});
    this.#batches = [];
    this.#end("done");
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #heard(response: Response, final: boolean): void {
    if (response.kind === "watching") this.#established.resolve();
    else if (response.kind === "events") {
      const { partition, upTo, events, gap } = response;
      if (events.length > 0 || gap) this.#tell({ partition, upTo, events, gap });
    } else if (response.kind === "refused") this.#end(RequestError.from(response));
    if (final) this.#end("done");
  }

  #tell(value: WatchBatch): void {
    if (this.#waiting === null) return void this.#batches.push(value);
    this.#waiting.resolve({ done: false, value });
    this.#waiting = null;
  }

  #end(how: RequestError | "done"): void {
    if (this.#ended !== null) return;
    this.#ended = how;
    if (how === "done") {
      this.#established.resolve();
      this.#waiting?.resolve({ done: true, value: undefined });
    } else {
      this.#established.reject(how);
      this.#waiting?.reject(how);
    }
    this.#waiting = null;
  }
}
