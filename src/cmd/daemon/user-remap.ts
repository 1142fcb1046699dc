/**
 * --userns-remap: whose subordinate ids (subuid(5), subgid(5)) containers' user namespaces have. As in Docker "default" stands
 * for the user dockremap, who is made with ids of its own when there is none.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../../core/logger.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import type { OciIdMapping } from "../../lib/oci-spec.ts";
import type { UserMaps } from "../../lib/user-maps.ts";
import { addRemapUser } from "./add-remap-user.ts";

const DEFAULT = "default";
const DEFAULT_USER = "dockremap";
const MOST_ID = 2 ** 31 - 1;

export interface RemapOptions {
  log: Pick<Logger, "info" | "warn">;
  /** The folder of passwd, group, subuid and subgid. */
  etc?: string;
  /** Makes a user with subordinate ids. */
  addUser?: (name: string) => void;
}

/** Of a value of the option, undefined when containers have the host's ids. Throws "invalid-parameter" with Docker's words. */
export function userMapsFor(text: string, { log, etc = "/etc", addUser = addRemapUser }: RemapOptions): UserMaps | undefined {
  if (text === "") return undefined;
  const databases = new Databases(etc);
  const user = userOf(text, databases, addUser);
  if (user === "root") {
    log.warn("User namespaces: root cannot be remapped with itself; user namespaces are OFF");
    return undefined;
  }
  log.info(`User namespaces: ID ranges will be mapped to subuid/subgid ranges of: ${user}`);
  try {
    return { uids: rangesOf(databases, "subuid", user), gids: rangesOf(databases, "subgid", user) };
  } catch (error) {
    throw invalidParameter(`error creating ID mappings: ${messageOf(error)}`, error);
  }
}

/** The user's name. The group must exist, and has no other part in it. */
function userOf(text: string, databases: Databases, addUser: (name: string) => void): string {
  const [user = "", group] = text.split(":");
  const uid = idOf(user);
  const name = uid === undefined ? namedUser(user, databases, addUser) : (databases.nameOf("passwd", uid) ?? missing(`Uid ${uid} has no entry in /etc/passwd`));
  const gid = group === undefined ? uid : idOf(group);
  if (gid !== undefined) return databases.nameOf("group", gid) === undefined ? missing(`Gid ${gid} has no entry in /etc/${group === undefined ? "group" : "passwd"}`) : name;
  const groupName = group ?? name;
  if (databases.has("group", groupName)) return name;
  return missing(`Error during ${group === undefined ? "gid" : "groupname"} lookup for ${JSON.stringify(groupName)}`);
}

function namedUser(user: string, databases: Databases, addUser: (name: string) => void): string {
  const name = user === DEFAULT ? DEFAULT_USER : user;
  if (databases.has("passwd", name)) return name;
  if (user !== DEFAULT) return missing(`Error during uid lookup for ${JSON.stringify(name)}`);
  try {
    addUser(name);
  } catch (error) {
    throw invalidParameter(`Error during ${JSON.stringify(name)} user creation: ${messageOf(error)}; make the user and its ranges in /etc/subuid and /etc/subgid by hand`, error);
  }
  return name;
}

function missing(message: string): never {
  throw invalidParameter(`${message}: no such entry`);
}

const idOf = (text: string): number | undefined => (/^\d+$/.test(text) && Number(text) <= MOST_ID ? Number(text) : undefined);

/** All of them, one behind the other. */
function rangesOf(databases: Databases, name: "subuid" | "subgid", user: string): OciIdMapping[] {
  const uid = databases.rows("passwd").find(([candidate]) => candidate === user)?.[2] ?? user;
  const rows = databases.rows(name).filter(([owner]) => owner === user || owner === uid);
  if (rows.length === 0) throw invalidParameter(`no ${name} ranges found for user ${JSON.stringify(user)}: add a line such as ${user}:100000:65536 to /etc/${name}`);
  let containerID = 0;
  return rows.map(([, first = "", count = ""]) => {
    const [hostID, size] = [idOf(first), idOf(count)];
    if (hostID === undefined || size === undefined || size === 0) throw invalidParameter(`/etc/${name}: ${JSON.stringify(`${user}:${first}:${count}`)} is not a range of ids`);
    const mapping = { containerID, hostID, size };
    containerID += size;
    return mapping;
  });
}

/** passwd(5) and its like: lines of fields with colons between. What the files do not have is asked of getent(1). */
class Databases {
  readonly #etc: string;
  readonly #asked = new Map<string, string[] | undefined>();

  constructor(etc: string) {
    this.#etc = etc;
  }

  rows(name: string): string[][] {
    let text = "";
    try {
      text = readFileSync(join(this.#etc, name), "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    const found = text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) => line.split(":"));
    return [...found, ...[...this.#asked].flatMap(([key, row]) => (row && key.startsWith(`${name} `) ? [row] : []))];
  }

  has(name: "passwd" | "group", key: string): boolean {
    return this.#find(name, key, ([candidate]) => candidate === key) !== undefined;
  }

  nameOf(name: "passwd" | "group", id: number): string | undefined {
    return this.#find(name, String(id), ([, , candidate]) => candidate === String(id))?.[0];
  }

  #find(name: "passwd" | "group", key: string, matches: (row: string[]) => boolean): string[] | undefined {
    return this.rows(name).find(matches) ?? this.#ask(name, key);
  }

  #ask(name: string, key: string): string[] | undefined {
    const question = `${name} ${key}`;
    if (!this.#asked.has(question)) this.#asked.set(question, ask(name, key));
    return this.#asked.get(question);
  }
}

function ask(name: string, key: string): string[] | undefined {
  try {
    return execFileSync("getent", [name, key], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 10_000 }).trim().split(":");
  } catch {
    return undefined;
  }
}
