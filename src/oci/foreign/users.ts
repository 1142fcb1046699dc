/** The numbers of a process's user: OCI runtimes take no names. The rules are those of native/shim/identity.c. */
import { systemError } from "../../lib/errors.ts";
import type { OciProcess } from "../../lib/oci-spec.ts";
import type { RuntimeFailure } from "../../core/runtime.ts";
import { GantryError } from "../../lib/errors.ts";

/** Reads a file of the container's root; undefined when there is none. */
export type ReadRoot = (path: string) => Promise<string | undefined>;

const MOST_ID = 2 ** 31 - 1;
const decimal = /^\d+$/;

interface Entry {
  name: string;
  id: number;
  rest: string[];
}

export async function numericUser({ username = "", additionalGroups = [], ...user }: OciProcess["user"], read: ReadRoot): Promise<OciProcess["user"]> {
  if (username === "" && additionalGroups.length === 0) return user;
  const entries = async (path: string): Promise<Entry[]> => parse((await read(path)) ?? "");
  const groups = additionalGroups.length > 0 || username !== "" ? await entries("/etc/group") : [];
  const found = username === "" ? { uid: user.uid, gid: user.gid, gids: [] } : resolve(username, await entries("/etc/passwd"), groups);
  const additionalGids = [...found.gids, ...(user.additionalGids ?? []), ...additionalGroups.map((group) => groupId(group, groups))];
  return { ...user, uid: found.uid, gid: found.gid, ...(additionalGids.length > 0 && { additionalGids: [...new Set(additionalGids)] }) };
}

function resolve(spec: string, passwd: Entry[], groups: Entry[]): { uid: number; gid: number; gids: number[] } {
  const [name = "", group = ""] = splitOnce(spec);
  const number = name === "" ? 0 : idOf(name);
  const entry = passwd.find((one) => (number === undefined ? one.name === name : one.id === number) && decimal.test(one.rest[0] ?? ""));
  if (!entry && number === undefined) throw unknown("user", name, "passwd");
  if (!entry && (number ?? 0) > MOST_ID) throw outOfRange(name);
  const uid = entry?.id ?? number ?? 0;
  const gid = group !== "" ? groupId(group, groups) : Number(entry?.rest[0] ?? 0);
  const memberships = group === "" && entry ? groups.filter(({ rest }) => (rest[0] ?? "").split(",").includes(entry.name)).map(({ id }) => id) : [];
  // The primary group is also a supplementary one: a file that denies the group stays denied (CVE-2022-36109).
  return { uid, gid, gids: [...memberships, gid] };
}

function groupId(text: string, groups: Entry[]): number {
  const number = idOf(text);
  if (number !== undefined && number > MOST_ID) throw outOfRange(text);
  const id = number ?? groups.find(({ name }) => name === text)?.id;
  if (id === undefined) throw unknown("group", text, "group");
  return id;
}

const idOf = (text: string): number | undefined => (decimal.test(text) ? Number(text) : undefined);

/** "name:x:id:rest..." lines with a number that can be an id. */
function parse(text: string): Entry[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , id = "", ...rest] = line.trim().split(":");
    return decimal.test(id) && Number(id) <= MOST_ID ? [{ name, id: Number(id), rest }] : [];
  });
}

function splitOnce(text: string): [string, string] {
  const colon = text.indexOf(":");
  return colon < 0 ? [text, ""] : [text.slice(0, colon), text.slice(colon + 1)];
}

function unknown(kind: "user" | "group", name: string, file: string): GantryError {
  const cause: RuntimeFailure = { step: kind, errno: "ENOENT", subject: name, kind: "user-not-found" };
  return new GantryError("system", `unable to find ${kind} ${name}: no matching entries in ${file} file`, { cause });
}

function outOfRange(subject: string): GantryError {
  const cause: RuntimeFailure = { step: "user", errno: "ERANGE", subject, kind: "user-not-found" };
  return systemError("uids and gids must be in range 0-2147483647", cause);
}
