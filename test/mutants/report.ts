/** What `deno task mutants` prints. */
import type { Finding } from "./hunter.ts";
import { type Mutant, TESTS } from "./mutant.ts";

export interface Hunted {
  readonly mutant: Mutant;
  readonly finding: Finding;
}

export interface Control extends Finding {
  readonly hunt: string;
}

const DETAIL_CHARACTERS = 90;

export function controlLine({ hunt, caught, seeds, virtualUs, wallMs }: Control): string {
  const verdict = caught === null
    ? "passes"
    : `FAILS at seed ${caught.seed}: ${caught.check}: ${caught.detail}`;
  return `Unmutated, ${hunt}: ${seeds} seeds, ${minutes(virtualUs)} of virtual time, ${
    seconds(wallMs)
  }: ${verdict}`;
}

export function headline(): string {
  return `\n${"mutant".padEnd(42)} ${"caught by".padEnd(40)} ${"seed".padStart(5)} ${"seeds".padStart(5)} ${
    "virtual".padStart(9)
  } ${"wall".padStart(7)}`;
}

export function line({ mutant, finding: { caught, seeds, virtualUs, wallMs } }: Hunted): string {
  const by = caught === null ? "NOT CAUGHT" : `${caught.hunt}: ${caught.check}`;
  const row = `${mutant.name.padEnd(42)} ${by.padEnd(40)} ${String(caught?.seed ?? "").padStart(5)} ${
    String(seeds).padStart(5)
  } ${minutes(virtualUs).padStart(9)} ${seconds(wallMs).padStart(7)}`;
  const detail = caught === null ? mutant.rule : caught.detail;
  const flat = detail.replace(/\s+/g, " ");
  return `${row}\n    ${flat.length > DETAIL_CHARACTERS ? `${flat.slice(0, DETAIL_CHARACTERS)} …` : flat}`;
}

export function summary(controls: readonly Control[], hunted: readonly Hunted[]): string {
  const caught = hunted.filter(({ finding }) => finding.caught !== null).length;
  const staged = hunted.filter(({ finding }) => finding.caught?.hunt === TESTS).length;
  const virtualUs = hunted.reduce((sum, { finding }) => sum + finding.virtualUs, 0);
  const healthy = controls.reduce((sum, control) => sum + control.seeds, 0);
  return `\n${caught} of ${hunted.length} mutants caught: ${caught - staged} by seeds, in ${
    minutes(virtualUs)
  } of ` +
    `virtual time, ${staged} by staged tests. The unmutated tree passed ${healthy} seeds of the same hunts`;
}

function minutes(us: number): string {
  const s = us / 1_000_000;
  return s < 600 ? `${s.toFixed(1)} s` : `${(s / 60).toFixed(0)} min`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
