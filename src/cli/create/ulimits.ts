import { parseInteger } from "../../lib/strconv.ts";

export interface Ulimit {
  Name: string;
  Soft: number;
  Hard: number;
}

const NAMES = new Set(["core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"]);

/** "nofile=soft[:hard]". Throws an Error with Docker's words. */
export function parseUlimit(text: string): Ulimit {
  const equals = text.indexOf("=");
  if (equals < 0) throw new Error(`invalid ulimit argument: ${text}`);
  const name = text.slice(0, equals);
  if (!NAMES.has(name)) throw new Error(`invalid ulimit type: ${name}`);
  const values = text.slice(equals + 1).split(":");
  if (values.length > 2) throw new Error(`too many limit value arguments - ${text.slice(equals + 1)}, can only have up to two, \`soft[:hard]\``);
  const [soft = 0, hard = soft] = values.map((value) => Number(parseInteger(value)));
  if (hard !== -1 && soft === -1) throw new Error(`ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: ${hard}`);
  if (hard !== -1 && soft > hard) throw new Error(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
  return { Name: name, Soft: soft, Hard: hard };
}

/** The last one of each name counts; sorted by name. */
export function ulimitList(values: string[]): Ulimit[] {
  const byName = new Map(values.map(parseUlimit).map((limit) => [limit.Name, limit]));
  return [...byName.values()].sort((one, two) => (one.Name < two.Name ? -1 : 1));
}
