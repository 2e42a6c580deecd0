/**
 * When TLS handshakes begin. Each costs milliseconds of the thread that serves everyone, before anything is known of who
 * asks for it, so they begin one after the other.
 *
 * H1. No more begin than the node has time for: fewer a second while the event loop runs late, more while it does not. So
 *     those who are inside, and the peers, are served while thousands knock.
 * H2. Addresses take turns, and of one address the newest goes first: the oldest have given up, or will be cut off.
 * H3. An address from which somebody has proved who he is comes before strangers', who have a quarter of the turns.
 * H4. Whoever says nothing, or something that is no TLS, has no turn (looksLikeTls).
 */
const PER_SECOND_FIRST = 100;
const PER_SECOND_MIN = 20;
const PER_SECOND_MAX = 500;
/** Begun at once where few came before. */
const AT_ONCE = 32;
const TICK_MS = 10;
/** A timer that is late by more says that others wait as long. */
const LATE_MS_MAX = 20;
/** How often the rate changes. */
const STEP_MS = 100;
/** Turns of known addresses, one after the other, while strangers wait. */
const KNOWN_TURNS = 3;
const KNOWN_MAX = 4096;

export interface HandshakesOptions {
  readonly count: (name: string) => void;
  readonly clock?: () => number;
}

type Begin = () => void;

export class Handshakes {
  readonly #count: HandshakesOptions["count"];
  readonly #clock: () => number;
  /** By address, those of one address in the order in which they came. */
  readonly #known = new Map<string, Set<Begin>>();
  readonly #strangers = new Map<string, Set<Begin>>();
  /** Where somebody proved who he is, the latest last. */
  readonly #proved = new Set<string>();
  #knownTurns = 0;
  #perSecond = PER_SECOND_FIRST;
  #tokens = AT_ONCE;
  #at: number;
  #steppedAt: number;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor({ count, clock = () => performance.now() }: HandshakesOptions) {
    this.#count = count;
    this.#clock = clock;
    this.#at = this.#steppedAt = clock();
  }

  /** For a status answer. */
  counters(): readonly (readonly [string, number])[] {
    let waiting = 0;
    for (const line of [...this.#known.values(), ...this.#strangers.values()]) waiting += line.size;
    return [["TLS handshakes waiting", waiting], ["TLS handshakes a second at most", this.#perSecond]];
  }

  /** Calls `begin` when its turn has come, perhaps at once. Returns what takes it out of the line. */
  enter(address: string, begin: Begin): () => void {
    const lines = this.#linesOf(address), line = lines.get(address);
    if (line === undefined) lines.set(address, new Set([begin]));
    else line.add(begin);
    this.#serve(this.#clock());
    if (lines.get(address)?.has(begin)) this.#count("TLS handshakes put off");
    return () => {
      this.#leave(this.#known, address, begin);
      this.#leave(this.#strangers, address, begin);
    };
  }

  /** Somebody there has proved who he is (H3). */
  proved(address: string): void {
    this.#proved.delete(address);
    this.#proved.add(address);
    const [oldest] = this.#proved;
    if (this.#proved.size > KNOWN_MAX) this.#proved.delete(oldest!);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#known.clear();
    this.#strangers.clear();
  }

  get #isWaiting(): boolean {
    return this.#known.size + this.#strangers.size > 0;
  }

  #linesOf(address: string): Map<string, Set<Begin>> {
    return this.#proved.has(address) ? this.#known : this.#strangers;
  }

  #leave(lines: Map<string, Set<Begin>>, address: string, begin: Begin): void {
    const line = lines.get(address);
    if (line?.delete(begin) && line.size === 0) lines.delete(address);
  }

  #serve(now: number): void {
    this.#tokens = Math.min(AT_ONCE, this.#tokens + (now - this.#at) * this.#perSecond / 1000);
    this.#at = now;
    while (this.#tokens >= 1 && this.#isWaiting) {
      this.#tokens--;
      this.#next()();
    }
    if (this.#isWaiting && this.#timer === null) this.#arm(now + TICK_MS);
  }

  /** Late or not, some begin: who is kept waiting by a busy machine is not kept out by it (H1). */
  #arm(due: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const now = this.#clock();
      this.#step(now - due, now);
      this.#serve(now);
    }, TICK_MS);
  }

  #step(lateMs: number, now: number): void {
    if (now - this.#steppedAt < STEP_MS) return;
    this.#steppedAt = now;
    this.#perSecond = lateMs > LATE_MS_MAX
      ? Math.max(PER_SECOND_MIN, Math.floor(this.#perSecond * 0.8))
      : Math.min(PER_SECOND_MAX, this.#perSecond + 5);
  }

  /** H2 and H3. */
  #next(): Begin {
    const strangersTurn = this.#known.size === 0 ||
      (this.#strangers.size > 0 && this.#knownTurns >= KNOWN_TURNS);
    this.#knownTurns = strangersTurn ? 0 : this.#knownTurns + 1;
    const lines = strangersTurn ? this.#strangers : this.#known;
    const [address, line] = lines.entries().next().value!;
    const newest = [...line].at(-1)!;
    line.delete(newest);
    // To the end, so that every other address comes before it is served again.
    lines.delete(address);
    if (line.size > 0) lines.set(address, line);
    return newest;
  }
}

/** Bytes that looksLikeTls() looks at. */
export const TLS_START_BYTES = 6;

/** Whether a client's first bytes may begin a handshake: the record's head, and a ClientHello's type (RFC 8446, 5.1 and 4). */
export function looksLikeTls(start: Uint8Array): boolean {
  const [type, major, minor, high, low, message] = start;
  const length = (high! << 8) | low!;
  return type === 0x16 && major === 3 && minor! <= 4 && length >= 4 && length <= 2 ** 14 && message === 1;
}
