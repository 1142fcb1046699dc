import { ApiError, path } from "../../api/client.ts";
import { inspectAll } from "../../inspect/inspect.ts";
import type { Session } from "../../session.ts";

interface Kind {
  name: string;
  swarm?: true;
  sized?: true;
  route: (name: string) => string;
  query?: Record<string, boolean>;
}

/** In the order in which a name without a type is looked for. */
const KINDS: Kind[] = [
  { name: "container", sized: true, route: (name) => path`/containers/${name}/json` },
  { name: "image", route: (name) => path`/images/${name}/json` },
  { name: "network", route: (name) => path`/networks/${name}` },
  { name: "volume", route: (name) => path`/volumes/${name}` },
  { name: "service", swarm: true, route: (name) => path`/services/${name}`, query: { insertDefaults: true } },
  { name: "task", swarm: true, route: (name) => path`/tasks/${name}` },
  { name: "node", swarm: true, route: (name) => path`/nodes/${name}` },
  { name: "plugin", route: (name) => path`/plugins/${name}/json` },
  { name: "secret", swarm: true, route: (name) => path`/secrets/${name}` },
  { name: "config", swarm: true, route: (name) => path`/configs/${name}` },
];

export async function run(session: Session): Promise<void> {
  const type = session.flags.string("type");
  const allowed = KINDS.filter((kind) => type === "" || kind.name === type);
  const isEmpty = type === "" && session.flags.changed("type");
  if (allowed.length === 0 || isEmpty) throw new Error(`${isEmpty ? "type is empty" : `unknown type: ${JSON.stringify(type)}`}: must be one of ${KINDS.map(({ name }) => `"${name}"`).sort().join(", ")}`);
  let manager: Promise<boolean> | undefined;
  const usable = async (kind: Kind): Promise<boolean> => type !== "" || !kind.swarm || (manager ??= isManager(session));
  await inspectAll(session.args, { format: session.flags.string("format"), out: session.out, find: (name) => find(session, { name, kinds: allowed, usable, anyKind: type === "" }) });
}

async function find(session: Session, search: { name: string; kinds: Kind[]; usable: (kind: Kind) => Promise<boolean>; anyKind: boolean }): Promise<string> {
  const size = session.flags.bool("size");
  for (const kind of search.kinds) {
    if (!(await search.usable(kind))) continue;
    try {
      const json = await session.client.text("GET", kind.route(search.name), { query: { ...kind.query, size: (size && kind.sized) || undefined } });
      if (size && !kind.sized) session.err.line(`WARNING: --size ignored for ${kind.name}`);
      return json;
    } catch (thrown) {
      if (!search.anyKind || !isSkippable(thrown)) throw thrown;
    }
  }
  throw new Error(`error: no such object: ${search.name}`);
}

/** Not there, or something that this daemon does not have at all. */
function isSkippable(thrown: unknown): boolean {
  if (!(thrown instanceof ApiError)) return false;
  return thrown.status === 404 || thrown.status === 501 || /not supported|invalid reference format/.test(thrown.message);
}

async function isManager(session: Session): Promise<boolean> {
  try {
    return (await session.client.json<{ Swarm?: { ControlAvailable?: boolean } }>("GET", "/info")).Swarm?.ControlAvailable === true;
  } catch (thrown) {
    session.err.line((thrown as Error).message);
    return false;
  }
}
