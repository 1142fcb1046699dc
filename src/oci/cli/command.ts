/** What a subcommand is, and what it gets. */
import type { FlagSpec, FlagValues } from "../../lib/flags.ts";
import type { Caller } from "./caller.ts";
import type { ContainerStore } from "./store.ts";

export interface Invocation {
  flags: FlagValues;
  args: string[];
  store: ContainerStore;
  caller: Caller;
  /** --root was said. */
  rootGiven: boolean;
  /** systemd makes the groups of new containers. */
  systemdCgroup: boolean;
  /** Words for the log and for stderr, without a newline. */
  warn: (message: string) => void;
  /** The same, but only with --debug. */
  debug: (message: string) => void;
  print: (text: string) => void;
}

export interface Command {
  name: string;
  /** Arguments after the name, for help: "CONTAINER [SIGNAL]". */
  usage: string;
  about: string;
  flags: FlagSpec[];
  /** Least and most arguments. */
  arguments: [least: number, most: number];
  /** Flags end at the first argument: what follows is another program's. */
  argumentsEndFlags?: true;
  /** It touches its process only through the caller, so the resident process may run it. */
  resident?: true;
  /** Before its errors; after the program's name when the program as such failed, as runc has it. */
  failurePrefix?: string;
  /** The exit code of gantry-runtime when the command fails; 1 by default. */
  failureCode?: number;
  /** The exit code of gantry-runtime. */
  run: (invocation: Invocation) => Promise<number> | number;
}
