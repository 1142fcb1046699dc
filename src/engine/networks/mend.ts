/** Makes interfaces of running containers again that another program took away. */
import type { ContainerRecord } from "../../core/container.ts";
import type { EndpointReference, NetworkDriver, RestoresEndpoints } from "../../core/network.ts";
import { restoresEndpoints } from "../../core/network.ts";
import { messageOf } from "../../lib/errors.ts";
import { parseMac } from "../../lib/mac.ts";
import type { NetworksOptions } from "./networks.ts";
import { gatewayEndpoints, joinRequest, routesThrough } from "./sandbox.ts";
import type { ContainerSandbox, Endpoint } from "./sandbox.ts";

interface MendOptions extends Pick<NetworksOptions, "openSandbox" | "repaired" | "warn"> {
  drivers: readonly (NetworkDriver | undefined)[];
  sandboxes: ReadonlyMap<string, ContainerSandbox>;
  recordOf: (id: string) => ContainerRecord | undefined;
}

interface Found {
  record: ContainerRecord;
  sandbox: ContainerSandbox;
  endpoint: Endpoint;
}

export function mendEndpoints({ drivers, sandboxes, recordOf, openSandbox, repaired = () => {}, warn }: MendOptions): void {
  const find = (endpointId: string): Found | undefined => {
    for (const [id, sandbox] of sandboxes) {
      const endpoint = sandbox.endpoints.find((one) => one.endpointId === endpointId);
      const record = endpoint && recordOf(id);
      if (record) return { record, sandbox, endpoint };
    }
    return undefined;
  };

  const mend = async (driver: RestoresEndpoints, { record, sandbox, endpoint }: Found): Promise<void> => {
    const { state, name } = record;
    const mac = parseMac(endpoint.mac);
    if ((state.status !== "running" && state.status !== "paused") || !mac) return;
    const what = `interface ${endpoint.interfaceName} of container ${name}`;
    // Of a container that is ending there is none any more.
    const namespace = openOrNothing(() => openSandbox(`/proc/${state.pid}/ns/net`));
    if (!namespace) return;
    try {
      const gateways = routesThrough(endpoint, gatewayEndpoints(sandbox.endpoints));
      if (!(await driver.rejoin({ ...joinRequest(endpoint, namespace, { gateways, trusted: record.hostConfig.Privileged }), mac }))) return;
      warn(`the ${what} was removed by another program and has been made again`);
      repaired(what);
    } catch (error) {
      warn(`the ${what} was removed by another program and cannot be made again: ${messageOf(error)}`);
    } finally {
      namespace.close();
    }
  };

  const mendAll = async (driver: RestoresEndpoints, lost: readonly EndpointReference[]): Promise<void> => {
    for (const { endpointId } of lost) {
      const found = find(endpointId);
      if (found) await mend(driver, found);
    }
  };

  for (const driver of drivers) if (driver && restoresEndpoints(driver)) driver.onLoss((lost) => void mendAll(driver, lost));
}

function openOrNothing<Value>(open: () => Value): Value | undefined {
  try {
    return open();
  } catch {
    return undefined;
  }
}
