/** Published ports of containers: those of each family are the endpoint's that its default route goes through. */
import type { ContainerRecord, PortState, SandboxState } from "../../core/container.ts";
import { publishesPorts } from "../../core/network-ports.ts";
import type { PortRequest, PreparedPorts, PublishedPort } from "../../core/network-ports.ts";
import { codeOf, conflict, messageOf, notImplemented, systemError } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { formatIp } from "../../lib/ip.ts";
import type { IpFamily } from "../../lib/ip.ts";
import type { NetworksOptions } from "./networks.ts";
import { portRequests, publishedPorts } from "./port-requests.ts";
import { endpointRow, gatewayEndpoints, stateOf } from "./sandbox.ts";
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
  reserve(record: ContainerRecord, chosen: Chosen): Promise<void>;
  release(endpoint: Endpoint): Promise<void>;
  /** Has ports follow the default routes. */
  move(record: ContainerRecord, sandbox: ContainerSandbox): Promise<void>;
  change(record: ContainerRecord, sandbox: ContainerSandbox, change: PublishedChange): Promise<LivePorts>;
}

type PublishingOptions = Pick<NetworksOptions, "database" | "saveContainer" | "warn"> & { store: NetworkStore };

export function createPublishing({ store, database, saveContainer, warn }: PublishingOptions): Publishing {
  async function reserve(record: ContainerRecord, chosen: Chosen): Promise<void> {
    for (const { endpoint, requests, families } of distribute(portRequests(record), chosen)) {
      const { network, endpointId } = endpoint;
      if (!publishesPorts(network.driver)) continue;
      const { driver } = network;
      endpoint.ports = await explained(record, endpoint, () => driver.reservePorts({ networkId: network.row.id, endpointId }, requests, families));
      faultPoint("ports-reserved");
    }
  }

  async function release({ network, endpointId, ports }: Endpoint): Promise<void> {
    if (!ports || !publishesPorts(network.driver)) return;
    await network.driver.releasePorts({ networkId: network.row.id, endpointId }).catch((error: unknown) => warn(messageOf(error)));
    faultPoint("ports-released");
  }

  async function move(record: ContainerRecord, sandbox: ContainerSandbox): Promise<void> {
    const chosen = gatewayEndpoints(sandbox.endpoints);
    const [wanted, present] = [new Set([chosen[4], chosen[6]]), sandbox.endpoints.filter(({ ports }) => ports)];
    if (portRequests(record).length === 0 || (present.length > 0 && present.every((endpoint) => wanted.has(endpoint)))) return;
    for (const endpoint of present) {
      await release(endpoint);
      delete endpoint.ports;
      store.addEndpoint(endpointRow(record.id, sandbox.id, endpoint));
    }
    await reserve(record, chosen);
    for (const endpoint of sandbox.endpoints) {
      const { network, endpointId, addresses, ports } = endpoint;
      if (!ports || !publishesPorts(network.driver)) continue;
      store.addEndpoint(endpointRow(record.id, sandbox.id, endpoint));
      await network.driver.publishPorts({ networkId: network.row.id, endpointId, addresses, ports });
    }
  }

  async function change(record: ContainerRecord, sandbox: ContainerSandbox, { remove, add }: PublishedChange): Promise<LivePorts> {
    const chosen = gatewayEndpoints(sandbox.endpoints);
    if (add.length > 0 && !publishesSomewhere(chosen)) throw conflict(`ports of container ${record.name} cannot be published: none of its networks leads to this host`);
    const added = distribute(add, chosen);
    const prepared: { endpoint: Endpoint; changed: PreparedPorts }[] = [];
    const cancel = (): void => prepared.forEach(({ changed }) => changed.cancel());
    try {
      for (const endpoint of sandbox.endpoints) {
        const { network, endpointId, addresses, ports = [] } = endpoint;
        const own = added.find((one) => one.endpoint === endpoint);
        const gone = matching(ports, remove);
        if (!publishesPorts(network.driver) || (!own && gone.length === 0)) continue;
        const { driver } = network;
        const current = { networkId: network.row.id, endpointId, addresses, ports };
        prepared.push({ endpoint, changed: await explained(record, endpoint, () => driver.changePorts(current, { remove: gone, add: own?.requests ?? [], families: own?.families ?? [] })) });
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

  return { reserve, release, move, change };
}

interface Share {
  endpoint: Endpoint;
  requests: readonly PortRequest[];
  families: readonly IpFamily[];
}

/** Which endpoint serves which of the requests. Throws for an address that none can serve. */
function distribute(requests: readonly PortRequest[], chosen: Chosen): Share[] {
  if (requests.length === 0) return [];
  const lost = requests.find(({ hostAddress }) => hostAddress && !chosen[hostAddress.family] && publishesSomewhere(chosen))?.hostAddress;
  if (lost) throw notImplemented(`a port cannot be published at ${formatIp(lost)}: the container has no IPv${lost.family} address`);
  return [...new Set([chosen[4], chosen[6]])].flatMap((endpoint) => {
    const families = ([4, 6] as const).filter((family) => chosen[family] === endpoint);
    const own = chosen[4] === chosen[6] ? requests : requests.filter(({ hostAddress }) => !hostAddress || families.includes(hostAddress.family));
    return endpoint && own.length > 0 ? [{ endpoint, requests: own, families }] : [];
  });
}

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
  const textOf = ({ protocol, port, hostIp, hostPort }: PortState): string => [protocol, port, hostIp, hostPort].join(" ");
  const wanted = new Set(publishedPorts(states).map((port) => textOf({ ...port, hostIp: formatIp(port.hostAddress) })));
  return ports.filter((port) => wanted.has(textOf({ ...port, hostIp: formatIp(port.hostAddress) })));
}

function setPorts(endpoint: Endpoint, ports: PublishedPort[]): void {
  if (ports.length > 0) endpoint.ports = ports;
  else delete endpoint.ports;
}

const publishesSomewhere = (chosen: Chosen): boolean => [chosen[4], chosen[6]].some((endpoint) => endpoint && publishesPorts(endpoint.network.driver));
