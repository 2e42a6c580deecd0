/** Carries out the plan of a run on its processes, disks and wires, and undoes each fault. */
import { join } from "node:path";
import { unreachable } from "../../core/base/invariant.ts";
import { flipJournalByte, Injection, type SmallDisk } from "./disks.ts";
import type { HistoryWriter } from "./history_file.ts";
import { describeFault, type Fault, type FaultBody, type FaultKind, partsHeld } from "./plan.ts";
import type { NodeProcess } from "./processes.ts";
import type { Reach } from "./reach.ts";
import type { Wires } from "./wires.ts";

export interface NemesisOptions {
  readonly reach: Reach;
  readonly nodes: readonly NodeProcess[];
  readonly wires: Wires;
  /** By node: those on a file system of their own. */
  readonly disks: ReadonlyMap<number, SmallDisk>;
  readonly history: HistoryWriter;
  /** Nanoseconds of the run. */
  readonly now: () => number;
  /** Waits until the network is whole: null, or what is missing for too long. */
  readonly whole: () => Promise<string | null>;
  readonly tell: (line: string) => void;
  /** Something happened that must not. */
  readonly problem: (what: string) => void;
}

const PAUSE_BETWEEN_LIVES_MS = 50;
const STATUS_MS_MAX = 3000;
/** By then a node has looked at how much space is left. */
const TROUBLE_KNOWN_MS = 2500;

export class Nemesis {
  readonly #options: NemesisOptions;
  /** By node: the fault that has it in its hands. */
  readonly #hitBy = new Map<number, FaultKind>();
  readonly done = new Map<FaultKind, number>();

  constructor(options: NemesisOptions) {
    this.#options = options;
  }

  /** The kind of fault that a node suffers now. */
  hitBy(node: number): FaultKind | null {
    return this.#hitBy.get(node) ?? null;
  }

  /**
   * Runs the plan from now on, for `spanMs` at most: what would begin later, held up by what took long, is left out.
   * Resolves when every fault that began is undone.
   */
  async run(plan: readonly Fault[], spanMs: number): Promise<void> {
    const began = performance.now();
    const { nodes, problem, tell } = this.#options;
    // What takes longer than planned holds up what would meet it, so that P1 to P3 stay true.
    const turns = new Map<number, Promise<void>>();
    const all: Promise<void>[] = [];
    let late = 0;
    for (const fault of plan) {
      await delay(began + fault.at - performance.now());
      const held = partsHeld(fault, nodes.length);
      const turn = Promise.all(held.map((part) => turns.get(part)))
        .then(() => {
          if (performance.now() < began + spanMs) return this.#suffer(fault);
          late++;
        })
        .catch((error) => problem(`The fault "${fault.kind}" could not be carried out: ${messageOf(error)}`));
      for (const part of held) turns.set(part, turn);
      all.push(turn);
    }
    await Promise.all(all);
    if (late > 0) tell(`${late} faults of the plan were left out: what came before took too long`);
  }

  async #suffer(fault: Fault): Promise<void> {
    const { nodes, history, now, tell } = this.#options;
    const what = describeFault(fault, (node) => nodes[node]!.name);
    const note = (f: string, value: string) => {
      history.write({ type: "info", process: "nemesis", time: now(), f, value });
      tell(value);
    };
    const harmed = partsHeld(fault, nodes.length).filter((part) => part < nodes.length);
    note(fault.kind, `${what}, for ${seconds(fault.forMs)}`);
    const began = performance.now();
    for (const node of harmed) this.#hitBy.set(node, fault.kind);
    const outcome = await this.#inflict(fault, fault.forMs);
    for (const node of harmed) this.#hitBy.delete(node);
    this.done.set(fault.kind, (this.done.get(fault.kind) ?? 0) + 1);
    note(
      "heal",
      `${what}: over after ${seconds(performance.now() - began)}${outcome === "" ? "" : `, ${outcome}`}`,
    );
  }

  /** The fault, its time, and its end. Returns what is worth a word. */
  async #inflict(fault: FaultBody, forMs: number): Promise<string> {
    const { nodes, wires, disks } = this.#options;
    switch (fault.kind) {
      case "kill": {
        const hit = fault.nodes.map((node) => nodes[node]!);
        await Promise.all(hit.map((node) => node.kill()));
        await delay(forMs);
        await Promise.all(hit.map((node) => this.#start(node)));
        return "";
      }
      case "crash-loop":
        return await this.#crashLoop(nodes[fault.node]!, fault.lives);
      case "restart": {
        const node = nodes[fault.node]!;
        const code = await node.terminate();
        if (code !== 0) {
          this.#options.problem(`Node "${node.name}" ended with exit code ${code} after SIGTERM`);
        }
        await this.#start(node);
        return "";
      }
      case "stop":
        for (const node of fault.nodes) nodes[node]!.pause();
        await delay(forMs);
        for (const node of fault.nodes) nodes[node]!.resume();
        return "";
      case "full":
        return await this.#full(nodes[fault.node]!, disks.get(fault.node)!, { forMs, crash: fault.crash });
      case "read-only":
        return await this.#readOnly(nodes[fault.node]!, disks.get(fault.node)!, forMs);
      case "io-error": {
        const node = nodes[fault.node]!;
        const { call, error } = fault;
        return await this.#inject(
          node,
          forMs,
          (pid) => Injection.failing(pid, { data: node.data, call, error }),
        );
      }
      case "slow-disk":
        return await this.#inject(nodes[fault.node]!, forMs, (pid) => Injection.slow(pid, fault.delayMs));
      case "cut":
      case "one-way":
      case "loss":
      case "slow-link":
        await this.#disturb(fault);
        await delay(forMs);
        return await wires.heal();
      case "flip":
      case "lose-tables":
        return await this.#damage(fault, nodes[fault.node]!, forMs);
      default:
        return unreachable(fault);
    }
  }

  async #start(node: NodeProcess): Promise<boolean> {
    if (node.running) return true;
    const ready = await node.start();
    if (!ready) {
      this.#options.problem(`Node "${node.name}" did not start again; its log is ${node.log}`);
    }
    return ready;
  }

  /** What was started under a fault gets ready when that is over. */
  async #back(node: NodeProcess, starting: Promise<boolean>): Promise<void> {
    if (!await starting) {
      this.#options.problem(`Node "${node.name}" did not get ready; its log is ${node.log}`);
    }
  }

  async #crashLoop(node: NodeProcess, lives: readonly number[]): Promise<string> {
    for (const life of lives) {
      await node.kill();
      await delay(PAUSE_BETWEEN_LIVES_MS);
      const starting = node.start();
      await delay(life);
      await node.kill();
      await starting;
    }
    await this.#start(node);
    return "";
  }

  async #full(
    node: NodeProcess,
    disk: SmallDisk,
    { forMs, crash }: { readonly forMs: number; readonly crash: boolean },
  ): Promise<string> {
    await disk.fill();
    let starting: Promise<boolean> = Promise.resolve(true);
    if (crash) {
      await delay(forMs / 2);
      await node.kill();
      starting = node.start();
      await delay(forMs / 2);
    } else await delay(forMs);
    const trouble = await troubleOf(node, this.#options.reach);
    if (trouble === null && forMs > TROUBLE_KNOWN_MS) {
      this.#options.problem(`Node "${node.name}" says of no trouble though its disk is full`);
    }
    await disk.free();
    await this.#back(node, starting);
    return trouble ?? "it noticed nothing";
  }

  async #readOnly(node: NodeProcess, disk: SmallDisk, forMs: number): Promise<string> {
    await node.kill();
    await disk.setReadOnly(true);
    const starting = node.start();
    await delay(forMs);
    const trouble = node.running
      ? await troubleOf(node, this.#options.reach) ?? "it runs all the same"
      : "it refused to start";
    await node.kill();
    await starting;
    await disk.setReadOnly(false);
    await this.#start(node);
    return trouble;
  }

  async #inject(
    node: NodeProcess,
    forMs: number,
    attach: (pid: number) => Promise<Injection>,
  ): Promise<string> {
    if (node.pid === null) return "the node does not run";
    const injection = await attach(node.pid);
    await delay(forMs);
    const trouble = await troubleOf(node, this.#options.reach);
    await injection.detach();
    return trouble ?? "";
  }

  async #disturb(
    fault: Extract<FaultBody, { kind: "cut" | "one-way" | "loss" | "slow-link" }>,
  ): Promise<void> {
    const { nodes, wires } = this.#options;
    const all = nodes.map(({ number }) => number);
    switch (fault.kind) {
      case "cut": {
        const { nodes: inside, clients } = fault;
        const outside = all.filter((node) => !inside.includes(node));
        for (const node of inside) await wires.drop(node, { nodes: outside, clients, percent: 100 });
        for (const node of outside) await wires.drop(node, { nodes: inside, clients: false, percent: 100 });
        return;
      }
      case "one-way":
        for (const node of fault.to) {
          await wires.drop(node, { nodes: [fault.from], clients: false, percent: 100 });
        }
        return;
      case "loss":
        for (const node of fault.nodes) {
          await wires.drop(node, { nodes: all, clients: true, percent: fault.percent });
        }
        return;
      case "slow-link":
        return await wires.slow(fault.node, fault.kbit);
      default:
        return unreachable(fault);
    }
  }

  /** P2: from a whole network to a whole network. */
  async #damage(
    fault: Extract<FaultBody, { kind: "flip" | "lose-tables" }>,
    node: NodeProcess,
    forMs: number,
  ): Promise<string> {
    const { whole, problem } = this.#options;
    const before = await whole();
    if (before !== null) return `left out: the network was not whole before: ${before}`;
    await node.kill();
    const what = fault.kind === "flip"
      ? await flipJournalByte(node.data, fault.place)
      : await loseTables(node.data);
    await delay(forMs);
    await this.#start(node);
    const after = await whole();
    if (after !== null) problem(`Not whole again after "${fault.kind}" at "${node.name}": ${after}`);
    return what ?? "there was nothing to damage";
  }
}

/** What a node says keeps it from its work, at its own address; null: nothing. */
async function troubleOf(node: NodeProcess, reach: Reach): Promise<string | null> {
  try {
    using client = await reach.connect({ addresses: [node.address], timeoutMs: STATUS_MS_MAX });
    const { state, trouble } = await client.status(client.home);
    return trouble === null ? null : `${state}, ${trouble.kind}: ${trouble.what}`;
  } catch (error) {
    return `no answer: ${messageOf(error)}`;
  }
}

async function loseTables(data: string): Promise<string | null> {
  try {
    await Deno.remove(join(data, "tables"), { recursive: true });
    return "tables deleted";
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return null;
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, Math.max(0, ms)));
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
