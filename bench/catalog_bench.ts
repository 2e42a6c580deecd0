/** How fast one partition applies writes and answers reads, on tables in memory. Each figure is for 1,000 operations. */
import type { Instant, LogIndex, PartitionId, Term } from "../core/base/ids.ts";
import { Catalog } from "../core/catalog/catalog.ts";
import { decodeCommand, encodeCommand } from "../core/catalog/command.ts";
import type { Entry } from "../core/wire/messages.ts";
import type { PutOptions, Session } from "../core/wire/requests.ts";
import { MemoryTables } from "../sim/tables.ts";

const OPERATIONS = 1000;
const KEYS = 100_000;
const NOW = 0 as Instant;
const VALUE = new Uint8Array(256).fill(7);

class Writer {
  readonly catalog = new Catalog({ partition: 1 as PartitionId, tables: new MemoryTables() });
  index = 0;
  #sequence = 0;

  put(options: PutOptions & { session: boolean }): Entry {
    const { session, ...rest } = options;
    const number = ++this.index;
    const key = keyOf((number * 7919) % KEYS);
    const op = { kind: "put", key, value: VALUE, ...rest } as const;
    const data = encodeCommand(session ? { op, session: this.#nextSession() } : { op });
    return { term: 1 as Term, index: number as LogIndex, kind: "command", data };
  }

  /** Entries as a follower gets them, in batches of 16. */
  batches(options: PutOptions & { session: boolean }, count: number): Entry[][] {
    const batches: Entry[][] = [];
    for (let i = 0; i < count; i += 16) {
      batches.push(Array.from({ length: Math.min(16, count - i) }, () => this.put(options)));
    }
    return batches;
  }

  apply(batches: readonly (readonly Entry[])[]): void {
    for (const batch of batches) this.catalog.apply(batch, NOW, () => {});
  }

  /** Sixteen writes under way at a time. */
  #nextSession(): Session {
    const sequence = ++this.#sequence;
    return {
      client: "0123456789abcdef".repeat(2),
      sequence,
      acknowledged: Math.max(0, sequence - 16),
      opened: sequence > 1,
    };
  }
}

function keyOf(number: number): string {
  return `star/${String(number).padStart(9, "0")}`;
}

for (
  const [name, options] of [
    ["apply put", { session: false }],
    ["apply put with session", { session: true }],
    ["apply put with session and 4 versions of history", { session: true, history: 4 }],
    ["apply put with ttl", { session: false, ttlMs: 60_000 }],
  ] as const
) {
  const writer = new Writer();
  writer.apply(writer.batches(options, KEYS / 2));
  Deno.bench(`catalog: ${name} x 1000`, { group: "catalog" }, (b) => {
    const batches = writer.batches(options, OPERATIONS);
    b.start();
    writer.apply(batches);
    b.end();
  });
}

const filled = new Writer();
filled.apply(filled.batches({ session: false }, KEYS));

Deno.bench("catalog: get x 1000", { group: "catalog" }, () => {
  for (let i = 0; i < OPERATIONS; i++) {
    filled.catalog.read({ kind: "get", key: keyOf((i * 7919) % KEYS), read: "linearizable" }, 0);
  }
});

Deno.bench("catalog: range of 1000", { group: "catalog" }, () => {
  filled.catalog.read(
    {
      kind: "range",
      start: "star/",
      end: null,
      limit: 1000,
      reverse: false,
      keysOnly: false,
      read: "linearizable",
    },
    0,
  );
});

const commands = filled.batches({ session: true }, OPERATIONS).flat();
Deno.bench("catalog: decode a put's command x 1000", { group: "catalog" }, () => {
  for (const entry of commands) decodeCommand(entry.data);
});
Deno.bench("catalog: encode a put's command x 1000", { group: "catalog" }, () => {
  filled.batches({ session: true }, OPERATIONS);
});
