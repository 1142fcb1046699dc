/** USER strings against the text of /etc/passwd and /etc/group (passwd(5), group(5)), with Docker's words for what is missing. */
import { invalidParameter } from "./errors.ts";

const decimal = /^\d+$/;

/** Throws invalid-parameter unless "user", "uid", "user:group" or "uid:gid" can be resolved. Numbers need no entry. */
export function checkUser(spec: string, passwd: string, group: string): void {
  const [user = "", groupName = ""] = spec.split(":", 2);
  if (user !== "" && !decimal.test(user) && !hasName(passwd, user)) throw invalidParameter(`unable to find user ${user}: no matching entries in passwd file`);
  if (groupName !== "" && !decimal.test(groupName) && !hasName(group, groupName)) throw invalidParameter(`unable to find group ${groupName}: no matching entries in group file`);
}

const hasName = (text: string, name: string): boolean => text.split("\n").some((line) => line.startsWith(`${name}:`));

/** Whom a USER string means, with the group of the user's own entry unless it names one; 0 without an entry. Throws as checkUser does. */
export function ownerOf(spec: string, passwd: string, group: string): { uid: number; gid: number } {
  checkUser(spec, passwd, group);
  const [user = "", groupName = ""] = spec.split(":", 2);
  const row = rowsOf(passwd).find(([name, , uid]) => name === user || (decimal.test(user) && uid === user));
  const uid = decimal.test(user) ? Number(user) : Number(row?.[2] ?? 0);
  if (groupName === "") return { uid, gid: Number(row?.[3] ?? 0) };
  const gid = decimal.test(groupName) ? groupName : (rowsOf(group).find(([name]) => name === groupName)?.[2] ?? "0");
  return { uid, gid: Number(gid) };
}

const rowsOf = (text: string): string[][] => text.split("\n").map((line) => line.split(":"));
