/// <reference lib="deno.worker" />
/** Runs seeds of one scenario, one after the other, as they are handed in. */
import { runSeed, type SeedTask } from "./sim_seed.ts";

self.onmessage = ({ data }: MessageEvent<SeedTask>) => self.postMessage(runSeed(data));
