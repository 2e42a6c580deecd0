import type { NodeId } from "../base/ids.ts";

/** Lists of things to send, by whom to send them to, in the order of their first. A step has few peers, so none is hashed. */
export class ByPeer<T> {
  readonly #peers: NodeId[] = [];
  readonly #lists: T[][] = [];

  add(peer: NodeId, item: T): void {
    const at = this.#peers.indexOf(peer);
    if (at >= 0) return void this.#lists[at]!.push(item);
    this.#peers.push(peer);
    this.#lists.push([item]);
  }

  /** Hands over every list, and begins anew. */
  drain(send: (peer: NodeId, items: T[]) => void): void {
    if (this.#peers.length === 0) return;
    for (let i = 0; i < this.#peers.length; i++) send(this.#peers[i]!, this.#lists[i]!);
    this.#peers.length = 0;
    this.#lists.length = 0;
  }
}
