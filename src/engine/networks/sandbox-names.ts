/** What a container finds under names: its hosts, hostname and resolv.conf files, and the name service inside its sandbox. */
import type { ContainerRecord } from "../../core/container.ts";
import type { EndpointNames, SandboxView } from "../../core/name-service.ts";
import type { SandboxNamespace } from "../../core/network.ts";
import { messageOf, notImplemented } from "../../lib/errors.ts";
import { formatIp, parseIp } from "../../lib/ip.ts";
import type { IpPrefix } from "../../lib/ip.ts";
import { rootOf } from "../../lib/user-maps.ts";
import { isWithoutIpv6 } from "./endpoint-options.ts";
import { egressOf, isLimited } from "./egress.ts";
import { linkHosts } from "./links.ts";
import type { NetworksOptions } from "./networks.ts";
import type { NetworkRegistry } from "./registry.ts";
import { dnsSettings, sandboxContents } from "./sandbox-contents.ts";
import { changeHosts, writeResolvConf, writeSandboxFiles } from "./sandbox-files.ts";
import type { SandboxFiles } from "./sandbox-files.ts";
import { gatewayEndpoints, hasNames, isShared } from "./sandbox.ts";
import type { ContainerSandbox, Endpoint } from "./sandbox.ts";

export interface SandboxNames {
  /** Makes the files for a start. */
  write(record: ContainerRecord, sandbox: ContainerSandbox): SandboxFiles;
  /** Brings the files of a running container up to date; lines of others stay. */
  rewrite(record: ContainerRecord, sandbox: ContainerSandbox, gone?: readonly IpPrefix[]): void;
  /** Tells the name service of the sandbox as it is now. `namespace` is that of a running container. */
  serve(record: ContainerRecord, sandbox: ContainerSandbox, namespace?: SandboxNamespace): Promise<void>;
  /** The container has another name. */
  rename(record: ContainerRecord, sandbox: ContainerSandbox): Promise<void>;
  /** An endpoint is gone. */
  forget(endpoint: Endpoint): Promise<void>;
  /** The sandbox is gone, with all its endpoints. Never fails. */
  withdraw(sandbox: ContainerSandbox): Promise<void>;
  /** Everything that runs, once after the daemon's start. Never fails. */
  restore(running: readonly { record: ContainerRecord; sandbox: ContainerSandbox }[]): Promise<void>;
}

/** What the container is called in a user-defined network; the first is what its addresses are called. */
export function dnsNames({ name, id, config }: Pick<ContainerRecord, "name" | "id" | "config">, aliases: readonly string[] | null): string[] {
  return [...new Set([name, ...(aliases ?? []), id.slice(0, 12), config.Hostname].filter((one) => one !== ""))];
}

export function createSandboxNames(options: NetworksOptions & { registry: NetworkRegistry }): SandboxNames {
  const { names: service, warn, registry } = options;

  const contents = (record: ContainerRecord, { endpoints }: ContainerSandbox, runs: boolean): SandboxFiles => {
    const gateways = registry.list().find(({ definition, pools }) => !definition && pools.length > 0)?.pools.flatMap(({ gateway }) => (gateway ? [formatIp(gateway)] : []));
    return sandboxContents({
      config: record.config,
      hostConfig: record.hostConfig,
      host: options.hostFiles,
      shared: endpoints.some(({ network }) => isShared(network)),
      withoutIpv6: isWithoutIpv6(record),
      daemonDns: options.dns,
      hostGateways: options.hostGateways.length > 0 ? options.hostGateways : (gateways ?? []),
      links: endpoints.some(({ network: { row, definition } }) => !definition && row.name === "bridge") ? linkHosts(record, options.findContainer, runs) : [],
      addresses: endpoints.flatMap(({ addresses }) => addresses.map(({ address }) => formatIp(address))),
      ...(service && isServed(record, endpoints) ? { served: service.address } : {}),
    });
  };

  const namesOf = (record: ContainerRecord, { network, settings, addresses }: Endpoint): EndpointNames => ({ networkName: network.row.name, names: dnsNames(record, settings.Aliases), addresses: addresses.map(({ address }) => address) });

  const viewOf = (record: ContainerRecord, { endpoints }: ContainerSandbox): SandboxView => {
    const { hostConfig } = record;
    const egress = egressOf(record, endpoints);
    const { servers, search, options: flags } = dnsSettings(hostConfig, options.dns);
    const first = gatewayEndpoints(endpoints)[4];
    const named = endpoints.filter(({ network }) => hasNames(network)).sort((one, other) => Number(other === first) - Number(one === first));
    return {
      networks: named.map(({ network, settings }) => ({ networkId: network.row.id, links: linksOf([...(settings.Links ?? []), ...((network.row.name === hostConfig.NetworkMode && hostConfig.Links) || [])]) })),
      // Servers that are named for it are asked from the container: an internal network keeps what it keeps.
      forward: servers.length > 0 || endpoints.some(({ network }) => !network.spec.internal),
      upstreams: servers.length > 0 ? servers.flatMap((server) => parseIp(server) ?? []) : "host",
      search,
      options: flags,
      ...(egress ? { egress } : {}),
    };
  };

  const referenceOf = ({ network, endpointId }: Endpoint): { networkId: string; endpointId: string } => ({ networkId: network.row.id, endpointId });

  const calmly = async (run: () => Promise<unknown> | undefined): Promise<void> => {
    try {
      await run();
    } catch (error) {
      warn(`the name service: ${messageOf(error)}`);
    }
  };

  return {
    write: (record, sandbox) => {
      const maps = options.mapsOf?.(record);
      return writeSandboxFiles(options.containerFolder(record.id), contents(record, sandbox, false), maps ? rootOf(maps) : { uid: 0, gid: 0 });
    },
    rewrite: (record, sandbox, gone = []) => {
      const folder = options.containerFolder(record.id);
      const { hosts, resolvConf } = contents(record, sandbox, true);
      changeHosts(folder, hosts, gone.map(({ address }) => formatIp(address)));
      writeResolvConf(folder, resolvConf);
    },
    serve: async (record, sandbox, namespace = sandbox.namespace) => {
      const named = sandbox.endpoints.filter(({ network }) => hasNames(network));
      if (!service && isLimited(record, sandbox.endpoints)) throw notImplemented("egress rules need the engine's name server, and there is none");
      if (!service || !namespace || (!isServed(record, sandbox.endpoints) && !sandbox.named)) return;
      await Promise.all(named.map((endpoint) => service.setEndpoint(referenceOf(endpoint), namesOf(record, endpoint))));
      if (sandbox.named) await service.setView(sandbox.id, viewOf(record, sandbox));
      else await service.attach({ id: sandbox.id, netnsFd: namespace.fd }, viewOf(record, sandbox));
      sandbox.named = true;
    },
    rename: (record, sandbox) =>
      calmly(async () => {
        if (service && sandbox.named) await Promise.all(sandbox.endpoints.filter(({ network }) => hasNames(network)).map((endpoint) => service.setEndpoint(referenceOf(endpoint), namesOf(record, endpoint))));
      }),
    forget: (endpoint) => calmly(() => (hasNames(endpoint.network) ? service?.setEndpoint(referenceOf(endpoint), undefined) : undefined)),
    withdraw: (sandbox) =>
      calmly(async () => {
        if (!service || !sandbox.named) return;
        await Promise.all(sandbox.endpoints.filter(({ network }) => hasNames(network)).map((endpoint) => service.setEndpoint(referenceOf(endpoint), undefined)));
        await service.detach(sandbox.id);
      }),
    restore: (running) =>
      calmly(async () => {
        if (!service) return;
        const opened: SandboxNamespace[] = [];
        const named = running.filter(({ record, sandbox }) => isServed(record, sandbox.endpoints));
        try {
          const sandboxes = named.flatMap(({ record, sandbox }) => {
            if (record.state.status !== "running" && record.state.status !== "paused") return [];
            const namespace = options.openSandbox(`/proc/${record.state.pid}/ns/net`);
            opened.push(namespace);
            sandbox.named = true;
            return [{ sandbox: { id: sandbox.id, netnsFd: namespace.fd }, view: viewOf(record, sandbox) }];
          });
          const endpoints = named.flatMap(({ record, sandbox }) => sandbox.endpoints.filter(({ network }) => hasNames(network)).map((endpoint) => ({ ...referenceOf(endpoint), names: namesOf(record, endpoint) })));
          await service.restore({ endpoints, sandboxes });
        } finally {
          for (const namespace of opened) namespace.close();
        }
      }),
  };
}

/** The name service answers in the sandbox. */
const isServed = (record: ContainerRecord, endpoints: readonly Endpoint[]): boolean => endpoints.some(({ network }) => hasNames(network)) || isLimited(record, endpoints);

/** "name:alias" of a user-defined network, by alias. */
function linksOf(links: readonly string[]): Record<string, string> {
  return Object.fromEntries(links.map((link) => {
    const [name = "", alias = name] = link.split(":");
    return [alias, name];
  }));
}
