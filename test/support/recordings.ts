/** Recordings in memory: what a node writes down, as the bytes of parts, and read back from them. */
import { concatBytes } from "../../core/base/bytes.ts";
import { instant } from "../../core/base/ids.ts";
import type { NodeOptions } from "../../core/node/options.ts";
import { lifeItems, RecordedNode, type Tape } from "../../core/node/recorded_node.ts";
import {
  encodeItem,
  encodeItemFrame,
  encodePartHeader,
  PartReader,
  type RecordingItem,
} from "../../core/wire/recording.ts";
import { allRows } from "../../sim/tables.ts";

const SALT = 0x5a17;
const ITEMS_PER_FRAME = 100;

/** One life of one node. */
export class MemoryRecording implements Tape {
  readonly running = true;
  readonly items: Uint8Array[] = [];
  readonly node: RecordedNode;

  constructor(options: NodeOptions) {
    const { origin } = options;
    const { network } = (origin.kind === "recovered" ? origin.recovered.view : origin.view)!;
    this.items.push(...lifeItems({ node: options, network, wallMs: 0, now: instant(0) }));
    const rows = allRows(options.tables);
    this.items.push(encodeItem({ kind: "rows", rows }), encodeItem({ kind: "begun", rows: rows.length }));
    this.node = new RecordedNode(options, this);
  }

  take(item: Uint8Array): void {
    this.items.push(item);
  }

  fail(error: unknown): void {
    throw error;
  }

  /** All of it as one part. */
  bytes(): Uint8Array {
    return partBytes(this.items, this.node.id);
  }
}

/** A part with these items, the usual number in each frame. */
export function partBytes(items: readonly Uint8Array[], node: RecordedNode["id"]): Uint8Array {
  const pieces = [encodePartHeader({ node, life: "life", part: 1, program: "test", salt: SALT })];
  for (let i = 0, number = 0; i < items.length; i += ITEMS_PER_FRAME) {
    pieces.push(encodeItemFrame(items.slice(i, i + ITEMS_PER_FRAME), { number: number++, salt: SALT }));
  }
  return concatBytes(pieces);
}

export function* readItems(bytes: Uint8Array): Generator<RecordingItem> {
  const reader = new PartReader({ file: "flight.000001", bytes, last: true });
  for (let items; (items = reader.next()) !== null;) yield* items;
}
