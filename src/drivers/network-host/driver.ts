/** The host's own network: containers in it have no namespace of their own, so there is nothing to make. */
import type { NetworkDriver } from "../../core/network.ts";

export function createHostDriver(): NetworkDriver {
  return {
    id: "host",
    capabilities: { sandbox: "host", addresses: false, gateways: "own", scope: "local" },
    validate: () => {},
    createNetwork: async () => {},
    deleteNetwork: async () => {},
    join: async () => ({ mac: new Uint8Array() }),
    leave: async () => {},
    close: async () => {},
  };
}
