/** Plugins that listen on a socket: found by name, activated once, asked whenever something of theirs is needed. */
import type { Plugin, PluginKind, Plugins } from "../../core/plugins.ts";
import { messageOf, notFound, systemError } from "../../lib/errors.ts";
import { type CallLimits, callPlugin } from "./client.ts";
import { findPlugin, type PluginFolders } from "./discovery.ts";

interface Activated {
  plugin: Plugin;
  implements: readonly string[];
}

export interface SocketPluginsOptions extends CallLimits {
  folders?: PluginFolders;
}

export function createSocketPlugins({ folders, ...limits }: SocketPluginsOptions = {}): Plugins {
  const activated = new Map<string, Promise<Activated>>();

  const activate = async (name: string): Promise<Activated> => {
    const address = findPlugin(name, folders);
    if (!address) throw notFound(`plugin ${JSON.stringify(name)} not found`);
    const { Implements: kinds } = await callPlugin(address, "Plugin.Activate", {}, { ...limits, retryMilliseconds: 0 });
    if (!Array.isArray(kinds) || !kinds.every((kind) => typeof kind === "string")) throw systemError(`Plugin.Activate: plugin ${JSON.stringify(name)} does not say what it implements`);
    // Looked for again each time: a plugin may come back at another place.
    const call: Plugin["call"] = (method, request = {}) => callPlugin(findPlugin(name, folders) ?? address, method, request, limits);
    return { plugin: { name, call }, implements: kinds };
  };

  const known = new Map<string, readonly string[]>();
  return {
    find: async (name, kind) => {
      let pending = activated.get(name);
      if (!pending) activated.set(name, (pending = activate(name)));
      try {
        const found = await pending;
        known.set(name, found.implements);
        if (!found.implements.includes(kind)) throw notFound(`plugin ${JSON.stringify(name)} does not implement the ${JSON.stringify(kind)} interface: it has ${found.implements.join(", ")}`);
        return found.plugin;
      } catch (error) {
        activated.delete(name);
        if ((error as Error).cause !== undefined) throw systemError(`plugin ${JSON.stringify(name)} cannot be used: ${messageOf(error)}`, error);
        throw error;
      }
    },
    active: (kind: PluginKind) => [...known].filter(([, kinds]) => kinds.includes(kind)).map(([name]) => name).sort(),
  };
}
