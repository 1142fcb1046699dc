/** No network: a namespace with loopback only. */
import type { NetworkDriver } from "../../core/network.ts";

export function createNullDriver(): NetworkDriver {
  return {
    id: "null",
    capabilities: { sandbox: "bare", addresses: false, gateways: "own", scope: "local" },
    validate: () => {},
    createNetwork: async () => {},
    deleteNetwork: async () => {},
    join: async () => ({ mac: new Uint8Array() }),
    leave: async () => {},
    close: async () => {},
  };
}
