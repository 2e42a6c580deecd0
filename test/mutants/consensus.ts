/** Mistakes in elections, in replication and in changes of the configuration. */
import type { Mutant } from "./mutant.ts";

const ELECTION = "core/election/election.ts";
const LEADING = "core/replication/leading.ts";
const FOLLOWING = "core/replication/following.ts";
const REPLICA = "core/partition/replica.ts";

const ELECTIONS: readonly Mutant[] = [
  {
    name: "vote-not-persisted",
    rule: "A vote leaves only after it is durable (E2)",
    file: ELECTION,
    original: "    else effects.sendDurable(to, reply);",
    mutated: "    else effects.send(to, reply);",
    first: "changes",
  },
  {
    name: "vote-not-recorded",
    rule: "The journal knows whom a node voted for (E2)",
    file: REPLICA,
    original:
      `effects.record({ kind: "vote", partition: this.partition, term: this.term, votedFor: this.votedFor });`,
    mutated: `effects.record({ kind: "vote", partition: this.partition, term: this.term, votedFor: null });`,
    first: "changes",
  },
  {
    name: "vote-twice",
    rule: "A node votes once a term (E1)",
    file: ELECTION,
    original: "return this.#votedFor === from || (this.#votedFor === null && this.#leader === null);",
    mutated: "return this.#leader === null;",
  },
  {
    name: "vote-for-a-log-behind",
    rule: "A vote goes only to a log that is at least as up to date (Raft 5.4.1)",
    file: ELECTION,
    original: "    if (!upToDate) return false;\n",
    mutated: "",
  },
  {
    name: "longer-log-wins",
    rule: "Logs are compared by the term of their last entries first (Raft 5.4.1)",
    file: ELECTION,
    original: "(vote.lastTerm === ballot.lastTerm && vote.lastIndex >= ballot.lastIndex)",
    mutated: "vote.lastIndex >= ballot.lastIndex",
    first: "crashes",
  },
  {
    name: "vote-of-an-earlier-election",
    rule: "A vote counts for the term that it was given in",
    file: ELECTION,
    original: "if (!asked || reply.term !== term) return;",
    mutated: "if (!asked) return;",
    first: "tests",
  },
  {
    name: "second-leader-obeyed",
    rule: "A leader of an earlier term is not obeyed (Raft 5.1)",
    file: ELECTION,
    original: `    if (term < this.#term) return "stale";\n`,
    mutated: "",
  },
  {
    name: "elected-by-the-new-half",
    rule: "In joint consensus both halves elect (Raft 6)",
    file: "core/wire/configuration.ts",
    original: "    (!isJoint(configuration) || hasMajority(configuration.outgoing, yes));",
    mutated: "    true;",
    first: "tests",
  },
  {
    name: "half-is-a-majority",
    rule: "A majority is more than half",
    file: "core/wire/configuration.ts",
    original: "return count * 2 > nodes.length;",
    mutated: "return count * 2 >= nodes.length;",
  },
  {
    name: "hollow-replica-votes",
    rule: "A replica without a configuration does not vote: it may have been dropped (P3)",
    file: REPLICA,
    original: "      mayVote: this.#initialised,",
    mutated: "      mayVote: true,",
    first: "moves",
  },
  {
    name: "hollow-replica-campaigns",
    rule: "A replica that lost its log does not campaign (P3)",
    file: REPLICA,
    original: "this.#election.electable = votes && !this.hollow && !this.#stopping;",
    mutated: "this.#election.electable = votes && !this.#stopping;",
    first: "tests",
  },
  {
    name: "leader-never-gives-up",
    rule: "A leader that no quorum answers gives up (L2, check-quorum)",
    file: REPLICA,
    original: "    if (this.#leadership.beat(now)) return;",
    mutated: "    if (this.#leadership.beat(now) || this.isLeader) return;",
    first: "tests",
  },
];

const REPLICATION: readonly Mutant[] = [
  {
    name: "older-term-committed-by-counting",
    rule: "Only entries of the leader's own term are committed by counting (Raft 5.4.2, figure 8)",
    file: LEADING,
    original: "if (index <= this.#ledger.commit || this.#log.termAt(index) !== this.#term) return false;",
    mutated: "if (index <= this.#ledger.commit) return false;",
    first: "tests",
  },
  {
    name: "acknowledged-before-sync",
    rule: "A follower acknowledges what is durable (R3)",
    file: FOLLOWING,
    original: "    else effects.sendDurable(leader, reply);",
    mutated: "    else effects.send(leader, reply);",
    first: "crashes",
  },
  {
    name: "beat-acknowledges-before-sync",
    rule: "An answer to a beat counts no entry that is not durable (R3)",
    file: FOLLOWING,
    original: "    return Math.min(matched, this.#log.stable) as LogIndex;",
    mutated: "    return Math.min(matched, this.#log.last) as LogIndex;",
    first: "elections",
  },
  {
    name: "leader-counts-unsynced-entries",
    rule: "A leader counts itself only as far as its own journal (R1)",
    file: LEADING,
    original: "node === this.#options.self ? this.#log.stable : this.#byNode.get(node)!.match;",
    mutated: "node === this.#options.self ? this.#log.last : this.#byNode.get(node)!.match;",
  },
  {
    name: "beat-commits-beyond-the-match",
    rule: "A beat commits no more than its receiver is known to hold",
    file: LEADING,
    original: "const commit = Math.min(this.#ledger.commit, follower.match) as LogIndex;",
    mutated: "const commit = this.#ledger.commit;",
  },
  {
    name: "conflict-not-truncated",
    rule: "A follower cuts off entries that conflict with the leader's (Raft 5.3)",
    file: FOLLOWING,
    original: "while (i < entries.length && this.#log.termAt(entries[i]!.index) === entries[i]!.term) i++;",
    mutated: "while (i < entries.length && this.#log.termAt(entries[i]!.index) !== null) i++;",
  },
  {
    name: "late-append-truncates",
    rule: "A late append cuts off nothing that matches (Raft 5.3)",
    file: FOLLOWING,
    original: "    this.#learnMatch(message.term, end);",
    mutated:
      "    if (end < this.#log.last && end >= this.#ledger.commit) this.#ledger.truncate(end + 1 as LogIndex);\n" +
      "    this.#learnMatch(message.term, end);",
  },
  {
    name: "previous-term-not-checked",
    rule: "An append fits only where the entry before it is of the right term (Raft 5.3)",
    file: FOLLOWING,
    original: "} else if (this.#log.termAt(prevIndex) !== message.prevTerm) {",
    mutated: "} else if (this.#log.termAt(prevIndex) === null) {",
    first: "crashes",
  },
  {
    name: "match-survives-the-term",
    rule: "What a follower knows to match holds for one leader's term (R3)",
    file: FOLLOWING,
    original: "    if (this.#matchedTerm !== term) {\n",
    mutated: "    if (this.#matchedTerm === 0) {\n",
  },
  {
    name: "truncation-leaves-entries-stable",
    rule: "An entry that replaces a durable one is not taken for durable (L3)",
    file: "core/replication/log.ts",
    original: "    if (this.#stable > kept) this.#stable = kept; // L3\n",
    mutated: "",
  },
  {
    name: "truncation-not-recorded",
    rule: "The journal is told what was cut off",
    file: "core/replication/log.ts",
    original: `      effects.record({ kind: "truncate", partition, from });\n`,
    mutated: "",
    first: "elections",
  },
];

const READS: readonly Mutant[] = [
  {
    name: "read-without-quorum",
    rule: "A read waits for a quorum that confirms the leader (dissertation 6.4)",
    file: REPLICA,
    original: "    else this.#leading.reads.add(token);",
    mutated: "    else this.#leading.reads.addConfirmed(token, this.commitIndex);",
  },
  {
    name: "read-confirmed-by-an-earlier-round",
    rule: "A read counts only rounds of beats that began after it was asked (dissertation 6.4)",
    file: LEADING,
    original: "this.reads.begin(this.#round, this.#ledger.commit);",
    mutated: "this.reads.begin(this.#round - 1, this.#ledger.commit);",
    first: "tests",
  },
  {
    name: "read-before-own-entry",
    rule: "A leader reads only after it has committed an entry of its own term (dissertation 6.4)",
    file: LEADING,
    original: "return this.#active && this.#ledger.commit >= this.#ownIndex;",
    mutated: "return this.#active;",
  },
  {
    name: "lease-outlasts-the-timeout",
    rule: "A lease ends before another can be elected, clock drift included (E6)",
    file: LEADING,
    original: "Math.floor(this.#options.settings.electionTimeoutUsMin * 9 / 10)",
    mutated: "Math.floor(this.#options.settings.electionTimeoutUsMax * 9 / 10)",
    first: "leases",
  },
  {
    name: "lease-not-protected",
    rule: "Who heard a leader supports no other while its lease may hold (E6)",
    file: ELECTION,
    original: "if (this.#options.settings.leaseReads) return this.#quiet || fresh;",
    mutated: "",
    first: "tests",
  },
  {
    name: "lease-forgotten-by-a-restart",
    rule: "A restarted node may have supported a lease just before (E6)",
    file: ELECTION,
    original: "    if (now < this.#closedUntil) return true;\n",
    mutated: "",
    first: "tests",
  },
  {
    name: "lease-kept-while-handing-over",
    rule: "A leader that told another to take over has no lease (L3, dissertation 3.10)",
    file: "core/partition/leadership.ts",
    original: "    this.#leaseBroken = true;\n",
    mutated: "",
    first: "tests",
  },
];

const CONFIGURATIONS: readonly Mutant[] = [
  {
    name: "committed-by-the-new-half",
    rule: "In joint consensus both halves commit (Raft 6)",
    file: "core/replication/quorum.ts",
    original: "    : Math.min(incoming, majorityValue(configuration.outgoing, valueOf));",
    mutated: "    : incoming;",
    first: "changes",
  },
  {
    name: "committed-by-the-old-half",
    rule: "In joint consensus both halves commit (Raft 6)",
    file: "core/replication/quorum.ts",
    original: "    : Math.min(incoming, majorityValue(configuration.outgoing, valueOf));",
    mutated: "    : majorityValue(configuration.outgoing, valueOf);",
    first: "tests",
  },
  {
    name: "straight-to-the-new-configuration",
    rule: "Sets of voters change through joint consensus (Raft 6)",
    file: "core/replication/configuration.ts",
    original: "return { voters: [...target], outgoing: current.voters, learners: [] };",
    mutated: "return { voters: [...target], outgoing: [], learners: [] };",
    first: "moves",
  },
  {
    name: "joint-left-before-it-is-committed",
    rule: "One configuration change at a time: the present one is committed first (Raft 6)",
    file: "core/partition/leadership.ts",
    original: "leading.established && ledger.configurationCommitted) {",
    mutated: "leading.established) {",
  },
  {
    name: "change-before-own-entry",
    rule: "A leader changes the configuration only after it has committed an entry of its own term",
    file: "core/partition/leadership.ts",
    original: "leading.established && ledger.configurationCommitted) {",
    mutated: "ledger.configurationCommitted) {",
  },
  {
    name: "newcomer-votes-at-once",
    rule: "Newcomers learn until they have caught up (dissertation 4.2.1)",
    file: "core/replication/configuration.ts",
    original: "  if (!newcomers.every(caughtUp)) return null;\n",
    mutated: "",
  },
  {
    name: "learner-counts",
    rule: "Learners are in no quorum (dissertation 4.2.1)",
    file: "core/replication/quorum.ts",
    original: "const incoming = majorityValue(configuration.voters, valueOf);",
    mutated: "const incoming = Math.max(\n" +
      "    majorityValue(configuration.voters, valueOf),\n" +
      "    majorityValue([...configuration.voters.slice(0, 1), ...configuration.learners], valueOf),\n" +
      "  );",
  },
  {
    name: "truncated-configuration-stays",
    rule: "A configuration is out of force when its entry is cut off (R4)",
    file: "core/replication/ledger.ts",
    original: "    this.configurations.truncate(from);\n",
    mutated: "",
    first: "changes",
  },
  {
    name: "applied-past-the-own-journal",
    rule: "Tables never run ahead of the own journal (P1)",
    file: "core/partition/replica.ts",
    original: "const upTo = Math.min(commit, log.stable) as LogIndex;",
    mutated: "const upTo = Math.min(commit, log.last) as LogIndex;",
    first: "tests",
  },
  {
    name: "removed-leader-stays",
    rule: "A leader that a committed configuration leaves out goes (Raft 6)",
    file: "core/partition/replica.ts",
    original:
      '    this.#leadership.leave();\n    this.#election.resign(now);\n    this.#settleRole("left the configuration", now);\n',
    mutated: "",
    first: "tests",
  },
  {
    name: "lease-ignores-drift",
    rule: "A lease leaves room for clocks that drift apart (E6)",
    file: "core/replication/leading.ts",
    original: "Math.floor(this.#options.settings.electionTimeoutUsMin * 9 / 10)",
    mutated: "this.#options.settings.electionTimeoutUsMin",
    first: "tests",
  },
];

export const CONSENSUS: readonly Mutant[] = [...ELECTIONS, ...REPLICATION, ...READS, ...CONFIGURATIONS];
