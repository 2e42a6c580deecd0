/** Mistakes in the state machine, in sessions, and in what clients are answered. */
import type { Mutant } from "./mutant.ts";

const CATALOG = "core/catalog/catalog.ts";
const SESSIONS = "core/catalog/sessions.ts";
const CLIENT = "core/client/client.ts";

export const STATE: readonly Mutant[] = [
  {
    name: "session-table-not-in-the-snapshot",
    rule: "A snapshot holds the sessions",
    file: CATALOG,
    original: "    this.#leases.load();\n    this.#sessions.load();\n",
    mutated: "    this.#leases.load();\n",
    first: "moves",
  },
  {
    name: "session-not-checked",
    rule: "A write that was applied is not applied again (S1)",
    file: CATALOG,
    original: "    if (settled !== null) {\n",
    mutated: `    if (settled !== null && settled.kind === "refused") {\n`,
    first: "crashes",
  },
  {
    name: "session-not-written",
    rule: "Sessions are in the tables with the writes they stand for (S2)",
    file: CATALOG,
    original: "    this.#sessions.flush();\n",
    mutated: "",
    first: "crashes",
  },
  {
    name: "acknowledged-answers-kept-out",
    rule: "A late copy of an acknowledged write is refused (S1)",
    file: SESSIONS,
    original:
      "    if (session.sequence < known.acknowledged) return alreadyAnswered(session, known.acknowledged);\n",
    mutated: "",
    first: "tests",
  },
  {
    name: "answers-forgotten-too-early",
    rule: "Answers are kept until the client has acknowledged them (S1)",
    file: SESSIONS,
    original: "    known.answers.set(session.sequence, kept);\n",
    mutated:
      "    known.answers.clear();\n    if (session.sequence % 8 !== 0) known.answers.set(session.sequence, kept);\n",
    first: "crashes",
  },
  {
    name: "cas-without-comparing",
    rule: "A compare-and-set compares",
    file: CATALOG,
    original: "    if (!this.#keys.holds(op.key, op.expect)) {",
    mutated: `    if (op.expect.kind === "absent" && !this.#keys.holds(op.key, op.expect)) {`,
    first: "crashes",
  },
  {
    name: "cas-answered-wrongly",
    rule: "A compare-and-set that fails says so",
    file: CATALOG,
    original: `return { kind: "cas", applied: false, version, found: this.#keys.get(op.key) };`,
    mutated: `return { kind: "cas", applied: true, version, found: null };`,
    first: "crashes",
  },
  {
    name: "transaction-conditions-any",
    rule: "A transaction's conditions all hold, or its other branch runs",
    file: CATALOG,
    original: "const held = op.conditions.every(({ key, expect }) => this.#keys.holds(key, expect));",
    mutated: "const held = op.conditions.length > 0;",
    first: "crashes",
  },
  {
    name: "lease-ends-by-the-local-clock",
    rule: "A lease ends by a command in the log, at one position (C1)",
    file: CATALOG,
    original: "    const command = decode(entry.data);\n",
    mutated: "    for (const { lease: name } of this.#leases.takeDue(now)) {\n" +
      "      const lease = this.#leases.find(name);\n" +
      "      if (lease !== undefined) this.#keys.endLease(lease, moment);\n    }\n" +
      "    const command = decode(entry.data);\n",
    first: "crashes",
  },
  {
    name: "refreshed-lease-ends",
    rule: "An expiry that was under way does not end a lease that was refreshed (L1)",
    file: CATALOG,
    original: "if (lease === undefined || lease.generation !== generation) continue;",
    mutated: "if (lease === undefined) continue;",
    first: "tests",
  },
  {
    name: "takeover-ends-leases",
    rule: "A new leader starts every lease's time in full (L2)",
    file: "core/catalog/leases.ts",
    original: "      lease.deadline = after(now, lease.ttlMs * 1000);\n      this.#due.add(lease);",
    mutated: "      lease.deadline = now;\n      this.#due.add(lease);",
    first: "tests",
  },
  {
    name: "leases-never-end",
    rule: "A lease ends when its time is over",
    file: "core/node/replicas.ts",
    original: "    if (!slot.led || slot.expiring || catalog === null || catalog.nextExpiry() > now) return;",
    mutated:
      "    if (slot.partition > 0 || !slot.led || slot.expiring || catalog === null || catalog.nextExpiry() > now) return;",
    first: "crashes",
  },
  {
    name: "answered-before-it-is-applied",
    rule: "A write is answered when it is applied",
    file: "core/partition/replica.ts",
    original: '    this.#outcomes.appended(this.#leading.append("command", data), token, data.length);',
    mutated: '    const index = this.#leading.append("command", data);\n' +
      '    this.#host.answer(token, { kind: "written", version: { term: this.term, index }, existed: true });',
    first: "crashes",
  },
  {
    name: "deposed-leader-says-done",
    rule: "A leader that is deposed does not know what becomes of its proposals (P5)",
    file: "core/partition/outcomes.ts",
    original: `      host.answer(token, { kind: "refused", reason: "unsure", message });`,
    mutated: `      host.answer(token, { kind: "refused", reason: "no-leader", message });`,
    first: "tests",
  },
  {
    name: "proposal-answered-for-a-foreign-entry",
    rule: "A proposal is answered by the entry that it became",
    file: "core/partition/replica.ts",
    original: "    this.#outcomes.forsake(this.leader ?? heir);\n",
    mutated: "",
    first: "crashes",
  },
  {
    name: "retry-with-a-new-sequence",
    rule: "A write keeps its sequence over all its attempts (W1)",
    file: CLIENT,
    original: "    p.attempt = 0;\n    p.failures++;\n",
    mutated: "    p.attempt = 0;\n    p.failures++;\n" +
      `    if (p.class === "write" && p.partition !== null) this.#sessions.of(p.partition).place(p);\n`,
    first: "crashes",
  },
  {
    name: "lost-attempt-reported-as-failed",
    rule: "A write that may have been applied ends as unsure (W3)",
    file: CLIENT,
    original: "const applied = changes && (p.uncertain || p.attempt !== 0);",
    mutated: "const applied = changes && p.attempt !== 0;",
    first: "tests",
  },
  {
    name: "range-unsorted",
    rule: "A range over all partitions is sorted",
    file: "core/node/merge.ts",
    original: "  all.sort((a, b) => order(a.key, b.key));\n",
    mutated: "",
    first: "tests",
  },
  {
    name: "range-past-a-page",
    rule: "A page of a range ends where one of its parts does",
    file: "core/node/merge.ts",
    original:
      "    if (bound !== null && (op.reverse ? order(item.key, bound) > 0 : order(item.key, bound) >= 0)) break;\n",
    mutated: "",
    first: "tests",
  },
  {
    name: "watch-skips-after-reconnect",
    rule: "A watch goes on from the last index that it knows (W1, W2)",
    file: "core/node/watches.ts",
    original: "      from: s.upTo,\n",
    mutated: "      from: null,\n",
    first: "tests",
  },
  {
    name: "watch-gap-unnoticed",
    rule: "Events are taken only where all before them are known (W1)",
    file: "core/node/watches.ts",
    original: "if (!gap && s.upTo !== null && message.after > s.upTo) return this.#retry(s, now); // W1",
    mutated: "",
    first: "swarm",
  },
  {
    name: "watch-gap-hidden",
    rule: "What is no longer remembered is told as a gap (W3)",
    file: "core/node/watches.ts",
    original: 'const status = found === "compacted" ? "compacted" : "ok";',
    mutated: 'const status = "ok";',
    first: "swarm",
  },
  {
    name: "event-told-twice",
    rule: "A watcher is told each event once",
    file: "core/node/watches.ts",
    original: "known === null ? message.events : message.events.filter((e) => e.index > known);",
    mutated: "message.events;",
    first: "tests",
  },
];
