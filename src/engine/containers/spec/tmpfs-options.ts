/** Options of a tmpfs: defaults, then what was asked for; of several that contradict each other the last one counts. */
import { systemError } from "../../../lib/errors.ts";
import { quote } from "../../../lib/strconv.ts";

const DEFAULTS = ["noexec", "nosuid", "nodev", "rprivate"];
const VALUES = new Set(["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"]);
const PAIRS = [
  ["ro", "rw"],
  ["exec", "noexec"],
  ["suid", "nosuid"],
  ["dev", "nodev"],
  ["sync", "async"],
  ["dirsync"],
  ["mand", "nomand"],
  ["atime", "noatime"],
  ["diratime", "nodiratime"],
  ["relatime", "norelatime"],
  ["strictatime", "nostrictatime"],
  ["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"],
  ["defaults"],
] as const;
const groups = new Map<string, string>(PAIRS.flatMap((group) => group.map((name) => [name, group[0]] as const)));

/** `asked` has commas between. Throws Docker's refusal of what tmpfs does not know. */
export function tmpfsMountOptions(asked: string): string[] {
  const seen = new Set<string>();
  const result: string[] = [];
  for (const option of [...DEFAULTS, ...(asked === "" ? [] : asked.split(","))].reverse()) {
    const [key = "", value] = option.split("=", 2);
    const group = value === undefined ? groups.get(key) : VALUES.has(key) ? key : undefined;
    if (group === undefined) throw systemError(`invalid tmpfs option ${quote(key)}`);
    if (seen.has(group)) continue;
    seen.add(group);
    result.unshift(option);
  }
  return result;
}
