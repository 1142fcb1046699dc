/** The endpoints that have joined, and what becomes of their ends on the host when another program takes them away. */
import type { EndpointReference } from "../../core/network.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import { hairpinChange, portChanges } from "./endpoint.ts";
import type { BridgePort } from "./interfaces.ts";

export interface JoinedOptions {
  kernel: NetworkKernel;
  hostName: (endpointId: string) => string;
  /** undefined: there is no such network any more. */
  portOf: (endpoint: EndpointReference) => BridgePort | undefined;
  isPublishing: (endpointId: string) => boolean;
  /** Its end on the host is a port of that bridge again. */
  attached: (endpoint: EndpointReference, name: string) => Promise<void>;
}

export interface Joined {
  add(endpoint: EndpointReference): void;
  remove(endpointId: string): void;
  has(endpointId: string): boolean;
  /** Of an end on the host. */
  hasName(name: string): boolean;
  /** By the names of their ends on the host. */
  of(networkId: string): Map<string, EndpointReference>;
  /** Switches ends on and makes them ports again. Gives the names of those, and the endpoints that have lost their interfaces. */
  mend(names: ReadonlySet<string>): Promise<{ mended: string[]; lost: EndpointReference[] }>;
}

export function createJoined({ kernel, hostName, portOf, isPublishing, attached }: JoinedOptions): Joined {
  const endpoints = new Map<string, EndpointReference>();

  const mendPort = async (name: string, endpoint: EndpointReference): Promise<"whole" | "mended" | "lost"> => {
    const [link, port] = [await kernel.link(name), portOf(endpoint)];
    if (!port) return "whole";
    if (!link) return endpoints.has(name) ? "lost" : "whole";
    if (link.up && link.master === port.bridgeIndex) return "whole";
    await kernel.apply([...portChanges({ index: link.index }, port.bridgeIndex, port.isolated), ...(isPublishing(endpoint.endpointId) ? [hairpinChange(name)] : [])]);
    await attached(endpoint, name);
    return "mended";
  };

  return {
    add: ({ networkId, endpointId }) => void endpoints.set(hostName(endpointId), { networkId, endpointId }),
    remove: (endpointId) => void endpoints.delete(hostName(endpointId)),
    has: (endpointId) => endpoints.has(hostName(endpointId)),
    hasName: (name) => endpoints.has(name),
    of: (networkId) => new Map([...endpoints].filter(([, endpoint]) => endpoint.networkId === networkId)),
    mend: async (names) => {
      const result: { mended: string[]; lost: EndpointReference[] } = { mended: [], lost: [] };
      for (const name of names) {
        const endpoint = endpoints.get(name);
        if (!endpoint) continue;
        const state = await mendPort(name, endpoint);
        if (state === "mended") result.mended.push(name);
        if (state === "lost") result.lost.push(endpoint);
      }
      return result;
    },
  };
}
