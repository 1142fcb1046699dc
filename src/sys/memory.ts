/** Memory that the process has and does not need. */
import { addon } from "./addon.ts";

/** Collects all garbage and gives free memory, and mapped pages of Node's program, back to the system. Takes tens of milliseconds. */
export const giveBackMemory = addon["giveBackMemory"] as () => void;
