/** A disk of fragments in memory: answers in the order asked. What a test does to `files` is what a bad disk does. */
import { compareFragments, fragmentKey } from "../../../core/objects/fragment.ts";
import { unreachable } from "../../../core/base/invariant.ts";
import type { ChunkOp, ChunkResult, FragmentId, ListedFragment } from "../../../core/wire/objects.ts";

export class MemoryChunks {
  readonly files = new Map<string, { readonly fragment: FragmentId; bytes: Uint8Array }>();
  /** What is asked fails with this. */
  failing: "no-space" | "disk" | null = null;
  /** Counts what was asked. */
  readonly asked = new Map<ChunkOp["kind"], number>();

  take(op: ChunkOp): ChunkResult {
    this.asked.set(op.kind, (this.asked.get(op.kind) ?? 0) + 1);
    if (this.failing !== null) {
      return { kind: "failed", op: op.op, reason: this.failing, message: "as the test says" };
    }
    switch (op.kind) {
      case "write":
        this.files.set(fragmentKey(op.fragment), { fragment: op.fragment, bytes: op.bytes });
        return { kind: "written", op: op.op };
      case "read":
        return { kind: "read", op: op.op, bytes: this.get(op.fragment) };
      case "remove":
        for (const fragment of op.fragments) this.files.delete(fragmentKey(fragment));
        return { kind: "removed", op: op.op };
      case "list": {
        const { partition, after, max } = op;
        const all = this.all.filter(({ fragment }) =>
          fragment.partition === partition && (after === null || compareFragments(fragment, after) > 0)
        );
        return { kind: "listed", op: op.op, fragments: all.slice(0, max), done: all.length <= max };
      }
      case "partitions":
        return {
          kind: "partitions",
          op: op.op,
          partitions: [...new Set(this.all.map(({ fragment }) => fragment.partition))],
        };
      default:
        return unreachable(op);
    }
  }

  get(fragment: FragmentId): Uint8Array | null {
    return this.files.get(fragmentKey(fragment))?.bytes ?? null;
  }

  /** Damages a byte of what is stored under this name. */
  damage(fragment: FragmentId, at: number): void {
    const file = this.files.get(fragmentKey(fragment));
    if (file === undefined) return;
    file.bytes = file.bytes.slice();
    file.bytes[at % file.bytes.length]! ^= 0x40;
  }

  get all(): ListedFragment[] {
    return [...this.files.values()]
      .map(({ fragment, bytes }) => ({ fragment, bytes: bytes.length, ageMs: 0 }))
      .sort((a, b) => compareFragments(a.fragment, b.fragment));
  }
}
