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

/** As inspect shows them: "/child:/parent/alias"; null without links, and on user-defined networks, where they are the endpoint's. */
export function shownLinks(record: ContainerRecord, find: (ref: string) => ContainerRecord | undefined): string[] | null {
  if (isUserDefined(record.hostConfig.NetworkMode)) return null;
  const links = (record.hostConfig.Links ?? []).flatMap((text) => {
    const { container, alias } = parseLink(text);
    const child = find(container);
    return child ? [`/${child.name}:/${record.name}/${alias}`] : [];
  });
  return links.length === 0 ? null : links;
}
