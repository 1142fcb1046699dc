/** Published ports of containers: those of each family are the endpoint's that its default route goes through. */
import type { ContainerRecord, PortState, SandboxState } from "../../core/container.ts";
import { publishesPorts } from "../../core/network-ports.ts";
import type { PortFamilies, PortRequest, PreparedPorts, PublishedPort } from "../../core/network-ports.ts";
import { singles } from "../../core/port-runs.ts";
import { codeOf, conflict, messageOf, systemError } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { formatIp } from "../../lib/ip.ts";
import type { IpFamily } from "../../lib/ip.ts";
import type { NetworksOptions } from "./networks.ts";
import { adoptOutside, endOutside, leadOutside } from "./outside.ts";
import { portRequests, publishedPorts } from "./port-requests.ts";
import { endpointRow, familiesThrough, gatewayEndpoints, stateOf } from "./sandbox.ts";
import type { ContainerSandbox, Endpoint } from "./sandbox.ts";
import type { NetworkStore } from "./store.ts";

type Chosen = Record<IpFamily, Endpoint | undefined>;

/** What changes of a running container's ports. */
export interface PublishedChange {
  remove: readonly PortState[];
  add: readonly PortRequest[];
}

/** New ports are reserved, and nothing else is done yet. One of the two ends it. */
export interface LivePorts {
  /** `settle` changes the record, which is written down with what the endpoints have, at once. */
  apply(settle: (network: SandboxState) => void): Promise<void>;
  cancel(): void;
}

export interface Publishing {
  /** Where it was not done yet for the families that the endpoint has default routes of. */
  reserve(record: ContainerRecord, sandbox: ContainerSandbox): Promise<void>;
  release(endpoint: Endpoint): Promise<void>;
  /** Has ports follow the default routes. */
  move(record: ContainerRecord, sandbox: ContainerSandbox): Promise<void>;
  /** What an earlier life of the daemon published is as it is to be. */
  adopt(sandbox: ContainerSandbox): void;
  change(record: ContainerRecord, sandbox: ContainerSandbox, change: PublishedChange): Promise<LivePorts>;
}

type PublishingOptions = Pick<NetworksOptions, "database" | "saveContainer" | "warn"> & { store: NetworkStore };

export function createPublishing({ store, database, saveContainer, warn }: PublishingOptions): Publishing {
  async function reserve(record: ContainerRecord, { endpoints }: ContainerSandbox): Promise<void> {
    const requests = portRequests(record);
    const chosen = gatewayEndpoints(endpoints);
    for (const endpoint of requests.length === 0 ? [] : endpoints) {
      const { network, endpointId } = endpoint;
      const families = portFamilies(endpoint, chosen);
      if (!publishesPorts(network.driver) || endpoint.portsFor === portsKey(families)) continue;
      const { driver } = network;
      setPorts(endpoint, await explained(record, endpoint, () => driver.reservePorts({ networkId: network.row.id, endpointId }, requests, families)));
      endpoint.portsFor = portsKey(families);
      faultPoint("ports-reserved");
    }
  }

  async function release(endpoint: Endpoint): Promise<void> {
    await endOutside(endpoint, warn);
    const { network, endpointId, ports } = endpoint;
    if (!ports || !publishesPorts(network.driver)) return;
    await network.driver.releasePorts({ networkId: network.row.id, endpointId }).catch((error: unknown) => warn(messageOf(error)));
    faultPoint("ports-released");
  }

  async function move(record: ContainerRecord, sandbox: ContainerSandbox): Promise<void> {
    await leadOutside(record, sandbox);
    if (portRequests(record).length === 0) return;
    const chosen = gatewayEndpoints(sandbox.endpoints);
    const moving = sandbox.endpoints.filter((endpoint) => endpoint.portsFor !== portsKey(portFamilies(endpoint, chosen)));
    for (const endpoint of moving) {
      if (!endpoint.ports) continue;
      await release(endpoint);
      delete endpoint.ports;
      store.addEndpoint(endpointRow(record.id, sandbox.id, endpoint));
    }
    await reserve(record, sandbox);
    for (const endpoint of moving) {
      const { network, endpointId, addresses, ports } = endpoint;
      if (!ports || !publishesPorts(network.driver)) continue;
      store.addEndpoint(endpointRow(record.id, sandbox.id, endpoint));
      await network.driver.publishPorts({ networkId: network.row.id, endpointId, addresses, ports });
    }
  }

  async function change(record: ContainerRecord, sandbox: ContainerSandbox, { remove, add }: PublishedChange): Promise<LivePorts> {
    const chosen = gatewayEndpoints(sandbox.endpoints);
    if (add.length > 0 && !publishesSomewhere(chosen)) throw conflict(`ports of container ${record.name} cannot be published: none of its networks leads to this host`);
    const prepared: { endpoint: Endpoint; changed: PreparedPorts }[] = [];
    const cancel = (): void => prepared.forEach(({ changed }) => changed.cancel());
    try {
      for (const endpoint of sandbox.endpoints) {
        const { network, endpointId, addresses, ports = [] } = endpoint;
        const gone = matching(ports, remove);
        if (!publishesPorts(network.driver) || (add.length === 0 && gone.length === 0)) continue;
        const { driver } = network;
        const current = { networkId: network.row.id, endpointId, addresses, ports };
        prepared.push({ endpoint, changed: await explained(record, endpoint, () => driver.changePorts(current, { remove: gone, add, families: portFamilies(endpoint, chosen) })) });
      }
    } catch (error) {
      cancel();
      throw error;
    }
    faultPoint("live-ports-reserved");
    return {
      cancel,
      apply: async (settle) => {
        const before = prepared.map(({ endpoint: { ports = [] } }) => ports);
        try {
          for (const { endpoint, changed } of prepared) setPorts(endpoint, changed.ports);
          writeDown(record, sandbox, () => settle(stateOf(sandbox)));
          faultPoint("live-ports-recorded");
          for (const { changed } of prepared) await changed.apply();
          faultPoint("live-ports-applied");
        } catch (error) {
          prepared.forEach(({ endpoint }, index) => setPorts(endpoint, before[index]!));
          cancel();
          writeDown(record, sandbox, () => settle(stateOf(sandbox)));
          throw error;
        }
      },
    };
  }

  /** The record and the endpoints' rows, both or none. */
  function writeDown(record: ContainerRecord, sandbox: ContainerSandbox, settle: () => void): void {
    settle();
    database.exec("BEGIN IMMEDIATE");
    try {
      for (const endpoint of sandbox.endpoints) store.addEndpoint(endpointRow(record.id, sandbox.id, endpoint));
      saveContainer(record);
      database.exec("COMMIT");
    } catch (error) {
      database.exec("ROLLBACK");
      throw error;
    }
  }

  function adopt(sandbox: ContainerSandbox): void {
    adoptOutside(sandbox);
    const { endpoints } = sandbox;
    const chosen = gatewayEndpoints(endpoints);
    for (const endpoint of endpoints) endpoint.portsFor = portsKey(portFamilies(endpoint, chosen));
  }

  return { reserve, release, move, adopt, change };
}

function portFamilies(endpoint: Endpoint, chosen: Chosen): PortFamilies {
  const served = familiesThrough(endpoint, chosen);
  const left = ([4, 6] as const).filter((family) => !chosen[family] && served.length > 0);
  return { own: endpoint.addresses.map(({ address }) => address.family), served, left };
}

/** The same for the same ports. */
const portsKey = ({ served, left }: PortFamilies): string => `${served.join()} ${left.join()}`;

/** Docker's words for what cannot be had. */
async function explained<Value>(record: ContainerRecord, { endpointId }: Endpoint, run: () => Promise<Value>): Promise<Value> {
  try {
    return await run();
  } catch (error) {
    if (codeOf(error) !== "system") throw error;
    throw systemError(`driver failed programming external connectivity on endpoint ${record.name} (${endpointId}): ${messageOf(error)}`, error);
  }
}

function matching(ports: readonly PublishedPort[], states: readonly PortState[]): PublishedPort[] {
  const textOf = ({ protocol, port, hostAddress, hostPort }: PublishedPort): string => [protocol, port, formatIp(hostAddress), hostPort].join(" ");
  const wanted = new Set(singles(publishedPorts(states)).map(textOf));
  return wanted.size === 0 ? [] : singles(ports).filter((port) => wanted.has(textOf(port)));
}

function setPorts(endpoint: Endpoint, ports: PublishedPort[]): void {
  if (ports.length > 0) endpoint.ports = ports;
  else delete endpoint.ports;
}

const publishesSomewhere = (chosen: Chosen): boolean => [chosen[4], chosen[6]].some((endpoint) => endpoint && publishesPorts(endpoint.network.driver));
