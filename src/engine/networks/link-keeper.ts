/** Legacy links while containers run: linked ports are open where containers do not reach each other, and hosts files follow the linked container's address. */
import type { ContainerRecord } from "../../core/container.ts";
import { opensLinks } from "../../core/network.ts";
import type { NetworkLink, OpensLinks } from "../../core/network.ts";
import { messageOf } from "../../lib/errors.ts";
import { parseLink } from "../containers/links.ts";
import { isLinkedTo } from "./links.ts";
import { exposedPorts } from "./port-requests.ts";
import type { SandboxNames } from "./sandbox-names.ts";
import type { ContainerSandbox, Endpoint } from "./sandbox.ts";

export interface LinkKeeperOptions {
  sandboxes: ReadonlyMap<string, ContainerSandbox>;
  names: SandboxNames;
  findContainer: (ref: string) => ContainerRecord;
  warn: (message: string) => void;
}

export interface LinkKeeper {
  /** Has the ports be open that running containers are linked to, and no others. Never fails. */
  refresh(): Promise<void>;
  /** Those that are linked to a container find it at its new address. */
  started(child: ContainerRecord): void;
}

export function createLinkKeeper({ sandboxes, names, findContainer, warn }: LinkKeeperOptions): LinkKeeper {
  const open = new Map<string, { driver: OpensLinks; link: NetworkLink }>();
  let refreshing = Promise.resolve();

  const recordOf = (ref: string): ContainerRecord | undefined => {
    try {
      return findContainer(ref);
    } catch {
      return undefined;
    }
  };

  const linksOf = (record: ContainerRecord, from: Endpoint): [string, { driver: OpensLinks; link: NetworkLink }][] =>
    (record.hostConfig.Links ?? []).flatMap((text) => {
      const child = recordOf(parseLink(text).container);
      const to = child && defaultEndpoint(sandboxes.get(child.id));
      const { driver } = from.network;
      if (!child || !to || !opensLinks(driver)) return [];
      const ports = exposedPorts(child);
      if (ports.length === 0) return [];
      const link = { networkId: from.network.row.id, from: from.addresses.map(({ address }) => address), to: to.addresses.map(({ address }) => address), ports };
      return [[`${from.endpointId} ${to.endpointId}`, { driver, link }]];
    });

  const refresh = async (): Promise<void> => {
    const wanted = new Map([...sandboxes].flatMap(([id, sandbox]) => {
      const record = sandbox.linked ? recordOf(id) : undefined;
      const from = defaultEndpoint(sandbox);
      return record && from ? linksOf(record, from) : [];
    }));
    for (const [key, { driver, link }] of open) {
      if (wanted.has(key)) continue;
      open.delete(key);
      await driver.closeLink(link);
    }
    for (const [key, one] of wanted) {
      if (open.has(key)) continue;
      open.set(key, one);
      await one.driver.openLink(one.link);
    }
  };

  return {
    refresh: () => {
      if (open.size === 0 && ![...sandboxes.values()].some(({ linked }) => linked)) return refreshing;
      refreshing = refreshing.then(refresh).catch((error: unknown) => warn(`linked ports: ${messageOf(error)}`));
      return refreshing;
    },
    started: (child) => {
      for (const [id, sandbox] of sandboxes) {
        const record = sandbox.linked && id !== child.id ? recordOf(id) : undefined;
        if (!record?.network || !isLinkedTo(record, child)) continue;
        try {
          names.rewrite(record, sandbox);
        } catch (error) {
          warn(`the hosts file of container ${id}: ${messageOf(error)}`);
        }
      }
    },
  };
}

const defaultEndpoint = (sandbox: ContainerSandbox | undefined): Endpoint | undefined => sandbox?.endpoints.find(({ network }) => !network.definition && network.row.name === "bridge");
