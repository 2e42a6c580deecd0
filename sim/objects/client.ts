/** One process that works on objects: a client of the network, one program at a time, and its end amid any of them. */
import type { Program } from "../../core/objects/types.ts";
import type { World as ProgramWorld } from "../../core/objects/programs/world.ts";
import type { Random } from "../../core/base/random.ts";
import { ClientDriver } from "../client_driver.ts";
import type { Login } from "../clients.ts";
import type { World } from "../world.ts";
import { type Outcome, ProgramRun } from "./program_run.ts";

export interface ObjectClientOptions {
  readonly world: World;
  readonly random: Random;
  readonly login: Login | undefined;
  /** What its programs are given; one for each process. */
  readonly programs: () => ProgramWorld;
  readonly patienceUs: number;
}

export interface RunOptions<T> {
  readonly program: (programs: ProgramWorld) => Program<T>;
  readonly body?: Uint8Array;
  readonly take?: (bytes: Uint8Array) => void;
  readonly done: (outcome: Outcome<T> | { readonly kind: "died"; readonly asks: number }) => void;
  /** The process ends before this ask. */
  readonly diesAt?: number | undefined;
}

export class ObjectClient {
  readonly #options: ObjectClientOptions;
  #driver: ClientDriver;
  #programs: ProgramWorld;
  #running: { abandon(): void } | null = null;
  #processes = 0;

  constructor(options: ObjectClientOptions) {
    this.#options = options;
    this.#programs = options.programs();
    this.#driver = this.#newDriver();
  }

  get idle(): boolean {
    return this.#running === null;
  }
  get attempts(): number {
    return this.#driver.attempts;
  }

  run<T>(options: RunOptions<T>): void {
    const { world, random, patienceUs } = this.#options;
    const run: ProgramRun<T> = new ProgramRun<T>({
      world,
      driver: this.#driver,
      random: random.fork(`program ${this.#processes} ${random.uint32()}`),
      program: options.program(this.#programs),
      body: options.body,
      ...(options.take === undefined ? {} : { take: options.take }),
      patienceUs,
      done: (outcome) => {
        this.#running = null;
        options.done(outcome);
      },
      abandonAt: options.diesAt,
      abandoned: () => {
        this.#running = null;
        this.restart();
        options.done({ kind: "died", asks: run.asks });
      },
    });
    this.#running = run;
    run.start();
  }

  /** The process ends, whatever it does, and another begins, which knows nothing. */
  restart(): void {
    this.#running?.abandon();
    this.#running = null;
    this.#driver.close();
    this.#processes++;
    this.#programs = this.#options.programs();
    this.#driver = this.#newDriver();
  }

  #newDriver(): ClientDriver {
    const { world, random, login } = this.#options;
    return new ClientDriver(world, random.fork(`process ${this.#processes}`), login);
  }
}
