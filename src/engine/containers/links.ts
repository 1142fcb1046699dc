/** HostConfig.Links: "NAME[:ALIAS]". Checked and shown as Docker does; src/engine/networks/links.ts says what they do. */
import { posix } from "node:path";
import type { ContainerRecord } from "../../core/container.ts";
import { codeOf, GantryError, invalidParameter, messageOf, systemError } from "../../lib/errors.ts";
import { containerOf, isUserDefined } from "./modes.ts";

export interface Link {
  container: string;
  alias: string;
}

export function parseLink(text: string): Link {
  if (text === "") throw systemError("empty string specified for links");
  const parts = text.split(":");
  if (parts.length > 2) throw systemError(`bad format for links: ${text}`);
  const [container = "", alias = container] = parts;
  // The form in which inspect shows a link: "/child:/parent/alias".
  return container.startsWith("/") ? { container: container.slice(1), alias: posix.basename(alias) } : { container, alias };
}

/** Throws Docker's errors for links that cannot be. */
export function checkLinks(hostConfig: { Links: string[] | null; NetworkMode: string }, find: (ref: string) => ContainerRecord): void {
  if (isUserDefined(hostConfig.NetworkMode)) return;
  for (const text of hostConfig.Links ?? []) {
    let child = findLinked(parseLink(text).container, find);
    for (let other = containerOf(child.hostConfig.NetworkMode); other !== undefined; other = containerOf(child.hostConfig.NetworkMode)) child = findLinked(other, find);
    if (child.hostConfig.NetworkMode === "host") throw invalidParameter("conflicting options: host type networking can't be used with links. This would result in undefined behavior");
  }
}

function findLinked(name: string, find: (ref: string) => ContainerRecord): ContainerRecord {
  try {
    return find(name);
  } catch (error) {
    const code = codeOf(error);
    throw new GantryError(code === "not-found" ? "invalid-parameter" : code, `could not get container for ${name}: ${messageOf(error)}`, { cause: error });
  }
}

/** Containers have names of their links, too: "PARENT/ALIAS". Undefined when it is none. */
export function findByLink(ref: string, find: (name: string) => ContainerRecord | undefined): ContainerRecord | undefined {
  const [parent = "", alias, ...more] = ref.split("/");
  if (alias === undefined || more.length > 0) return undefined;
  const record = find(parent);
  const link = record && linksOf(record).find((one) => one.alias === alias);
  return link && find(link.container);
}

/** By the ids of linked containers, the names that their links give them, with slashes. */
export function linkNames(records: Iterable<ContainerRecord>, find: (ref: string) => ContainerRecord | undefined): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const record of records) {
    for (const { container, alias } of linksOf(record)) {
      const child = find(container);
      if (child) names.set(child.id, [...(names.get(child.id) ?? []), `/${record.name}/${alias}`]);
    }
  }
  return names;
}

/** On user-defined networks they are the endpoint's. */
function linksOf({ hostConfig }: ContainerRecord): Link[] {
  if (isUserDefined(hostConfig.NetworkMode)) return [];
  return (hostConfig.Links ?? []).map(parseLink).map(({ container, alias }) => ({ container, alias: alias.replace(/^\//, "") }));
}

/** As inspect shows them: "/child:/parent/alias"; null without links. */
export function shownLinks(record: ContainerRecord, find: (ref: string) => ContainerRecord | undefined): string[] | null {
  const links = linksOf(record).flatMap(({ container, alias }) => {
    const child = find(container);
    return child ? [`/${child.name}:/${record.name}/${alias}`] : [];
  });
  return links.length === 0 ? null : links;
}
