import { invariant } from "./invariant.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

/** Every bound in one place. Lengths in bytes, counts in items, times in microseconds (name ends in Us). */
export const LIMITS = {
  /** Payload of one frame on a connection. Holds the largest request with room for its envelope. */
  frameBytesMax: 4 * MiB,
  /** Nesting of one decoded value. */
  depthMax: 16,
  /** Items of one decoded array. */
  arrayItemsMax: 200_000,
  /** Holds the longest row of an object: its key, its bucket, and what tells its rows apart. */
  keyBytesMax: 1280,
  valueBytesMax: 1 * MiB,
  addressBytesMax: 255,
  zoneBytesMax: 255,
  /** Of the name of a member's data directory. */
  diskBytesMax: 16,
  /** Relative weight of a member in placement, from 1. */
  capacityMax: 1_000_000,
  /** Members of one network. */
  membersMax: 10_000,
  /** Former members that are remembered, so that one that comes back learns its state. */
  goneMembersKept: 1024,
  partitionsMax: 1024,
  /** Replicas of one partition, learners and both halves of a joint configuration included. */
  replicasMax: 16,

  /** One append message carries at most this many entries, and stops growing past the bytes. */
  appendEntriesMax: 1024,
  appendBytesMax: 1 * MiB,
  /** Append messages under way to one follower of one partition. */
  appendsInFlightMax: 64,
  /** Proposals of one partition that are not yet applied: past it a leader answers "busy". */
  proposalsPendingMax: 4096,
  proposalBytesPendingMax: 16 * MiB,
  /** A partition's log in memory holds up to half of this of what is applied, as long as a live follower needs it. */
  logEntriesMax: 8192,
  logBytesMax: 8 * MiB,
  /** What a compaction keeps of the applied log for followers that lag a little. One is due at four times as much. */
  logBytesKept: 256 * KiB,
  logEntriesKept: 512,
  /** What a checkpoint of the journal keeps of it: enough for followers to go on after a restart. */
  checkpointBytesKept: 32 * KiB,
  checkpointEntriesKept: 64,
  /** Rows of one snapshot message end past this many bytes. */
  snapshotChunkBytesMax: 512 * KiB,
  snapshotChunksInFlightMax: 4,

  /** One journal record, framing excluded. */
  journalRecordBytesMax: 8 * MiB,
  /** A new checkpoint is begun when the journal has grown by this much. */
  journalBytesPerCheckpoint: 32 * MiB,
  /** While a checkpoint is under way and the journal holds this many times as much, a node takes no more writes. */
  journalBacklogMax: 3,

  /** One frame of a flight recording. Holds what all clients together may ask within one turn of a node. */
  recordingFrameBytesMax: 64 * MiB,

  gossipBytesMax: 1200,
  gossipUpdatesMax: 32,

  /** One page of a range answer ends past either. */
  rangeItemsMax: 1000,
  rangeBytesMax: 1 * MiB,
  transactionItemsMax: 128,
  /** Keys, values and expected values of one write together; and the values that one transaction reads. */
  commandBytesMax: 2 * MiB + 64 * KiB,
  /** Earlier versions kept of one key where history is asked for. */
  historyVersionsMax: 1000,
  /** Exactly-once sessions of one partition, and answers kept of one session. */
  sessionsMax: 10_000,
  sessionAnswersMax: 1024,
  /** A session whose kept answers are longer than this has to acknowledge some before it writes again. */
  sessionAnswerBytesMax: 4 * MiB,
  /** A session without use for this long may be forgotten. Longer than any client retries (see retryUsMax). */
  sessionIdleUs: 3_600_000_000,
  retryUsMax: 60_000_000,
  leaseTtlMsMin: 100,
  leaseTtlMsMax: 31 * 24 * 3600 * 1000,
  keysPerLeaseMax: 10_000,
  /** Events a partition keeps for watchers that catch up. */
  watchEventsKept: 1024,
  watchBytesKept: 256 * KiB,
  watchesPerClientMax: 1024,

  /** Generations of the network's keys that are remembered at once. */
  networkKeysMax: 16,
  authorityBytesMax: 1024,
  accessKeysMax: 1024,
  accessIdBytesMax: 32,
  accessNameBytesMax: 64,
  /** All access keys together, about: they are part of the agreed view, which goes in one frame. */
  accessBytesMax: 512 * KiB,
  /** Of one access key. */
  rightsMax: 32,
  invitesMax: 256,
  inviteUsesMax: 1000,
  /** Events of one answer. */
  auditEventsMax: 1000,

  bucketNameBytesMax: 63,
  objectKeyBytesMax: 1024,
  /** Of one object: 5 TiB, as in S3. */
  objectBytesMax: 5 * 1024 * 1024 * MiB,
  /** Contents up to this long lie in the object's own row. */
  inlineBytesMax: 4 * KiB,
  /** Plaintext of one chunk, and of one segment. */
  chunkBytesMax: 1 * MiB,
  segmentBytesMax: 1024 * MiB,
  /** Of one segment: whoever looks has to look at each. */
  segmentChunksMax: 16_384,
  /** A file of a fragment: a whole sealed chunk with its header. */
  fragmentBytesMax: 1 * MiB + 4 * KiB,
  /** Segments listed in an object's own row; more are listed in pages of as many as this. */
  segmentsPerRowMax: 64,
  segmentsPerPageMax: 2048,
  copiesMax: 8,
  /** Further reads of a chunk that did not open, each of other fragments. */
  readAttemptsMax: 8,
  /** Data and parity fragments of one stripe together. */
  stripeMax: 32,
  /** Names and values of an object's metadata together, and of its tags; tags of an object, and of a bucket. */
  metadataBytesMax: 8 * KiB,
  tagsMax: 10,
  bucketTagsMax: 50,
  lifecycleRulesMax: 1000,
  corsRulesMax: 100,
  /** The record of a bucket, rules included. */
  bucketBytesMax: 256 * KiB,
  uploadPartsMax: 10_000,
  /** Of all parts but the last. */
  partBytesMin: 5 * MiB,
  partBytesMax: 5 * 1024 * MiB,
  /** Fragments asked about in one message, listed in one answer of the disk, removed at once; segments of one hint. */
  fragmentsPerCheckMax: 1000,
  segmentsPerHintMax: 1000,
  /** Chunk operations of clients under way in one node, and their bytes: past it it answers "busy". */
  chunkRequestsMax: 256,
  chunkBytesPendingMax: 64 * MiB,
  /** Fragments' bytes under way to and from one peer; more wait at the asker. Below peerQueueBytesMax. */
  fragmentBytesInFlightMax: 16 * MiB,
  /** Of a holder: bytes being written, and fragments being read for others. */
  fragmentBytesWritingMax: 64 * MiB,
  fragmentsReadingMax: 64,
  fragmentsReadWaitingMax: 1024,
  /** Lists of fragments that a holder is asked about at once; more are not answered. */
  fragmentChecksMax: 256,
  /** Of those, lists of which a holder reads the fragments at once. */
  fragmentsVerifyingMax: 4,
  /** A reader asks another holder when the first has not answered for so long. */
  hedgeUs: 100_000,
  /** A writer tries a spare holder besides when the first has not answered for so long. */
  putPatienceUs: 1_000_000,

  /** Repair and garbage collection. Fragments whose segment is not registered are removed when they are older than this. */
  orphanAgeUs: 3_600_000_000,
  /** All that a node holds is held against the registry this often, and this long after the members changed last. */
  lookUs: 600_000_000,
  lookDelayUs: 2_000_000,
  /** Fragments listed, and rows read, at once while a node looks. */
  lookPageMax: 1000,
  /** Chunks and fragments judged in one step. */
  lookBudget: 500,
  /** Fragments that wait for their repair, and that are being repaired; bytes fetched in a second for it. */
  repairQueueMax: 4096,
  repairsMax: 8,
  repairBytesPerSecond: 64 * MiB,
  /** Bytes of the node's own fragments read in a second to see whether they are whole; between two rounds it rests. */
  scrubBytesPerSecond: 8 * MiB,
  scrubRestUs: 600_000_000,
  /** Of fragments that could not be had so many are remembered, of questions about fragments, and of hints. */
  lostMax: 16_384,
  promisesMax: 65_536,
  inquiriesMax: 10_000,

  clientsMax: 10_000,
  /** Requests of one client connection under way. */
  requestsPerClientMax: 4096,
  /** A request that has found no answer by then is answered "timeout". */
  requestUs: 5_000_000,
  forwardHopsMax: 3,
  /** Bytes waiting to be written to one peer; past it messages to it are dropped, as a network may. */
  peerQueueBytesMax: 32 * MiB,
  /** The same of messages with fragments, which have a connection of their own. */
  bulkQueueBytesMax: 64 * MiB,
  clientQueueBytesMax: 16 * MiB,

  // The S3 face.
  /** Requests under way; past it they are answered SlowDown. */
  s3RequestsMax: 256,
  /** Chunks under way of all requests, besides the one that each may have. */
  s3ChunksMax: 128,
  /** Body of one put or one part. */
  s3BodyBytesMax: 5 * 1024 * MiB,
  /** Documents that clients send; the larger bound holds 10,000 parts or 1,000 keys. */
  s3XmlBytesMax: 1 * MiB,
  s3LongXmlBytesMax: 4 * MiB,
  /** Of "<", of "&" and of "=" in one: reading takes time by their number, and the node does nothing else meanwhile. */
  s3XmlMarksMax: 160_000,
  /** Names and values of x-amz-meta-… of one object. */
  s3MetadataBytesMax: 2048,
  s3KeyBytesMax: 1024,
  /** The line before a signed chunk; all lines after the last one. */
  s3ChunkHeadBytesMax: 512,
  s3TrailerBytesMax: 8192,
  /** Between the clocks of client and node. */
  s3SkewMs: 900_000,
  s3PresignedSecondsMax: 604_800,
  /** A body of which nothing comes, or of which nothing is taken, for this long is given up. */
  s3IdleMs: 120_000,
  /** Longer contents are streamed to the client, and counted until they are sent. */
  s3WholeBytesMax: 128 * KiB,
  /** Of the body of a refused request, so much is read and for so long, that the client may see the answer. */
  s3DrainBytesMax: 4 * MiB,
  s3DrainMs: 5_000,
} as const;

invariant(
  LIMITS.valueBytesMax + LIMITS.keyBytesMax + 64 * KiB <= LIMITS.frameBytesMax,
  "A frame holds the largest put",
);
invariant(
  LIMITS.appendBytesMax + LIMITS.valueBytesMax + 64 * KiB <= LIMITS.frameBytesMax,
  "A frame holds an append",
);
invariant(
  LIMITS.appendBytesMax + LIMITS.commandBytesMax + 64 * KiB <= LIMITS.frameBytesMax,
  "A frame holds the largest write",
);
invariant(
  LIMITS.snapshotChunkBytesMax + LIMITS.valueBytesMax + 64 * KiB <= LIMITS.frameBytesMax,
  "A frame holds a snapshot chunk",
);
invariant(
  LIMITS.chunkBytesMax + 4 * KiB <= LIMITS.fragmentBytesMax &&
    LIMITS.fragmentBytesMax + 64 * KiB <= LIMITS.frameBytesMax,
  "A fragment holds the largest chunk, and a frame a fragment or a chunk",
);
invariant(
  // Partition, id, chunk and index, and what tells them apart.
  Math.max(LIMITS.fragmentsPerCheckMax, LIMITS.segmentsPerHintMax) * 40 + 64 * KiB <= LIMITS.frameBytesMax,
  "A frame holds the longest list of fragments",
);
invariant(
  // The longest rows name a version and a page of it, or an upload and a part.
  2 + LIMITS.bucketNameBytesMax + LIMITS.objectKeyBytesMax + 64 <= LIMITS.keyBytesMax,
  "A key holds the longest row of an object",
);
invariant(
  LIMITS.accessBytesMax + LIMITS.invitesMax * (LIMITS.zoneBytesMax + 256) +
      LIMITS.networkKeysMax * (LIMITS.authorityBytesMax + 16) <= LIMITS.frameBytesMax / 4,
  "A frame holds a view's security, and has room for members",
);
invariant(LIMITS.frameBytesMax <= LIMITS.journalRecordBytesMax, "A journal record holds what a frame brings");
invariant(
  LIMITS.logEntriesKept < LIMITS.logEntriesMax && LIMITS.logBytesKept < LIMITS.logBytesMax,
  "Compaction frees something",
);
invariant(
  2 * LIMITS.fragmentBytesInFlightMax <= LIMITS.peerQueueBytesMax,
  "A peer's queue holds what it is asked for and what it is given",
);
invariant(
  LIMITS.putPatienceUs * 2 < LIMITS.requestUs,
  "A spare holder is tried while the writer still waits",
);
invariant(LIMITS.retryUsMax * 10 < LIMITS.sessionIdleUs, "A session outlives the retries of its client");
invariant(LIMITS.requestUs < LIMITS.retryUsMax, "A client outwaits one request");

/** What one network agrees on at its start. Times in microseconds. Stored in the system partition. */
export interface Settings {
  /** Data partitions: a power of two from 1 to LIMITS.partitionsMax. Fixed for the life of the network. */
  readonly partitions: number;
  readonly replicas: number;
  readonly systemReplicas: number;
  readonly heartbeatUs: number;
  readonly electionTimeoutUsMin: number;
  readonly electionTimeoutUsMax: number;
  /** SWIM's protocol period and the time an answer to a direct probe may take. */
  readonly probeIntervalUs: number;
  readonly probeTimeoutUs: number;
  /** Suspicion lasts at least this many protocol periods times log10 of the members, at least one. */
  readonly suspicionMultiplier: number;
  readonly pushPullUs: number;
  /** An unreachable member is declared gone, and its data replicated elsewhere, after this long. */
  readonly graceUs: number;
  /** A leader with nothing to do lets its partition go quiet after this long. */
  readonly quietAfterUs: number;
  /** True: a leader that a quorum answered lately reads without asking again (relies on clock drift below 1/10). */
  readonly leaseReads: boolean;
}

export const DEFAULT_SETTINGS: Settings = {
  partitions: 64,
  replicas: 3,
  systemReplicas: 5,
  heartbeatUs: 50_000,
  electionTimeoutUsMin: 300_000,
  electionTimeoutUsMax: 600_000,
  probeIntervalUs: 500_000,
  probeTimeoutUs: 200_000,
  suspicionMultiplier: 2,
  pushPullUs: 30_000_000,
  graceUs: 10_000_000,
  quietAfterUs: 1_000_000,
  leaseReads: false,
};
