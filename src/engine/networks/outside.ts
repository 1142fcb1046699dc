/** Has drivers that lead to the outside by themselves know which of their endpoints do. */
import type { ContainerRecord } from "../../core/container.ts";
import { leadsOutside } from "../../core/network-ports.ts";
import { messageOf } from "../../lib/errors.ts";
import { exposedPorts, portRequests } from "./port-requests.ts";
import { gatewayEndpoints } from "./sandbox.ts";
import type { ContainerSandbox, Endpoint } from "./sandbox.ts";

const referenceOf = ({ network: { row }, endpointId }: Endpoint) => ({ networkId: row.id, endpointId });

const chosen = ({ endpoints }: ContainerSandbox): Set<Endpoint | undefined> => {
  const gateways = gatewayEndpoints(endpoints);
  return new Set([gateways[4], gateways[6]]);
};

/** As default routes go now: what one gives back another may need. */
export async function leadOutside(record: ContainerRecord, sandbox: ContainerSandbox): Promise<void> {
  const gateways = chosen(sandbox);
  const changed = sandbox.endpoints.filter((endpoint) => gateways.has(endpoint) !== (endpoint.outside === true));
  for (const endpoint of changed.toSorted((one, other) => Number(gateways.has(one)) - Number(gateways.has(other)))) {
    const { driver } = endpoint.network;
    if (!leadsOutside(driver)) continue;
    if (gateways.has(endpoint)) await driver.openOutside(referenceOf(endpoint), { published: portRequests(record), exposed: exposedPorts(record) });
    else await driver.closeOutside(referenceOf(endpoint));
    endpoint.outside = gateways.has(endpoint);
  }
}

/** An earlier life of the daemon has told the driver. */
export function adoptOutside(sandbox: ContainerSandbox): void {
  const gateways = chosen(sandbox);
  for (const endpoint of sandbox.endpoints) if (gateways.has(endpoint)) endpoint.outside = true;
}

/** The endpoint is about to leave. */
export async function endOutside(endpoint: Endpoint, warn: (message: string) => void): Promise<void> {
  const { driver } = endpoint.network;
  if (endpoint.outside !== true || !leadsOutside(driver)) return;
  endpoint.outside = false;
  await driver.closeOutside(referenceOf(endpoint)).catch((error: unknown) => warn(messageOf(error)));
}
