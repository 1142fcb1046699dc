/**
 * The shape of the command tables.
 *
 * An entry's flags are words separated by spaces, each
 *
 *     name[/shorthand][:type][=default][?bare][!][^][@version]
 *
 * where no type means bool, `?bare` is the value of the flag when it stands alone, `!` hides it from help, `^` marks it as
 * deprecated, and `@version` is the first API version that knows it. `list` and `map` flags may be repeated.
 */
export interface CommandEntry {
  /** Only holds other commands. */
  group?: true;
  aliases?: string[];
  /** What follows the command's name in its usage line. */
  usage?: string;
  /** What the daemon must be or know: `version=1.25`, `swarm=manager`, `experimental`. */
  requires?: string[];
  hidden?: true;
  /** Least and greatest number of arguments. */
  arguments?: [number, number];
  flags?: string;
  /** A wrong number of arguments is told without the usage. */
  plain?: true;
}

export type CommandTable = Record<string, CommandEntry>;

/** A command as its usage line shows it; `called` is how it was called, with the program. */
export function usageLine(called: string, entry: CommandEntry, program: string): string {
  return entry.usage ? `${called} ${entry.usage.replaceAll("{program}", program)}` : called;
}

export interface FlagEntry {
  name: string;
  shorthand: string | undefined;
  type: string;
  fallback: string | undefined;
  bare: string | undefined;
  hidden: boolean;
  deprecated: boolean;
  since: string | undefined;
}

const WORD = /^([\w-]+)(?:\/(\w))?(?::([\w-]+))?(?:=([^?!^@]*))?(?:\?([^!^@]+))?(!)?(\^)?(?:@([\d.]+))?$/;

export function parseFlagEntries(flags: string): FlagEntry[] {
  return flags
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((word) => {
      const match = WORD.exec(word);
      if (!match) throw new Error(`command table: cannot read flag ${word}`);
      const [, name = "", shorthand, type = "bool", fallback, bare, hidden, deprecated, since] = match;
      return { name, shorthand, type, fallback, bare, hidden: hidden !== undefined, deprecated: deprecated !== undefined, since };
    });
}
