/**
 * Networks as slaves of an interface of the host: macvlan (each container has a hardware address of its own on the parent's wire)
 * and ipvlan (all have the parent's). The router of that wire is the containers' gateway; nothing of the host's firewall is met.
 *
 * A parent NAME.ID that is not there is made, as a VLAN of NAME, and without a parent a dummy interface: both have the daemon's
 * mark as their alias and go with the last network on them.
 */
import { randomBytes, randomInt } from "node:crypto";
import type { JoinRequest, NetworkDriver, NetworkSpec } from "../../core/network.ts";
import { invalidParameter, notFound, notImplemented, systemError } from "../../lib/errors.ts";
import { KeyedQueue } from "../../lib/keyed-queue.ts";
import { localMac } from "../../lib/mac.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { Link } from "../../sys/netlink/rtnetlink-decode.ts";
import type { LinkData, RouteChange } from "../../sys/netlink/rtnetlink.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import { IPVLAN_FLAG, IPVLAN_MODE, MACVLAN_MODE, slaveOptions } from "./options.ts";
import type { SlaveKind, SlaveOptions } from "./options.ts";

export interface SlaveDriverOptions {
  kernel: NetworkKernel;
  kind: SlaveKind;
  /** Written on interfaces that are made for parents. */
  alias: string;
  /** Of a sandbox. */
  openSandbox: (fd: number) => NetworkKernel;
}

interface SlaveNetwork {
  spec: NetworkSpec;
  options: SlaveOptions;
  parent: string;
}

const FIRST_INDEX = 2;
const LATER_INDEX = 1000;
const RANDOM_INDEX = 1 << 24;

const isUnknownKind = (error: unknown): boolean => ["EOPNOTSUPP", "ENOTSUP"].includes(errnoCode(error));

/** Docker's. */
const dummyName = (id: string, kind: SlaveKind): string => `${kind === "macvlan" ? "dm" : "di"}-${id.slice(0, 12)}`;

export function createSlaveDriver({ kernel, kind, alias, openSandbox }: SlaveDriverOptions): NetworkDriver {
  const networks = new Map<string, SlaveNetwork>();
  const changing = new KeyedQueue();

  const ensureParent = async ({ options, parent }: SlaveNetwork): Promise<void> => {
    if (await kernel.link(parent)) return;
    if (options.parent === "") return makeLink(parent, { kind: "dummy" });
    const [, master = "", id = ""] = /^([^.]+)\.([^.]+)$/.exec(parent) ?? [];
    if (master === "") throw systemError(`invalid subinterface vlan name ${parent}, example formatting is eth0.10`);
    if (!/^\d+$/.test(id)) throw systemError(`unable to parse a valid vlan id from: ${id} (ex. eth0.10 for vlan 10)`);
    if (Number(id) < 1 || Number(id) > 4094) throw systemError(`vlan id must be between 1-4094, received: ${id}`);
    const below = await kernel.link(master);
    if (!below) throw systemError(`-o parent interface was not found on the host: ${master}`);
    await makeLink(parent, { kind: "vlan", id: Number(id) }, below);
  };

  const makeLink = async (name: string, data: LinkData, below?: Link): Promise<void> => {
    try {
      await kernel.apply([
        { op: "addLink", name, data, ...(below ? { parent: below.index } : {}) },
        { op: "setLink", link: { name }, alias, up: true },
      ]);
    } catch (error) {
      if (isUnknownKind(error)) throw notImplemented(`this kernel has no ${data.kind === "vlan" ? "VLANs" : "dummy interfaces: name a parent"}`);
      throw error;
    }
  };

  const create = async (spec: NetworkSpec): Promise<void> => {
    const options = slaveOptions(kind, spec);
    const network: SlaveNetwork = { spec, options, parent: options.parent || dummyName(spec.id, kind) };
    const other = [...networks.values()].find(({ parent, spec: { id } }) => parent === network.parent && id !== spec.id);
    if (other && kind === "macvlan" && options.macvlanMode === "passthru") throw systemError(`cannot use mode passthru, macvlan network ${other.spec.id} is already using parent interface ${network.parent}`);
    if (other && kind === "macvlan" && other.options.macvlanMode === "passthru") throw systemError(`macvlan network ${other.spec.id} is already using parent interface ${network.parent} in mode passthru`);
    if (other && kind === "ipvlan" && (other.options.ipvlanMode !== options.ipvlanMode || other.options.ipvlanFlag !== options.ipvlanFlag)) throw systemError(`network ${other.spec.id} is already using parent interface ${network.parent} in another mode`);
    await ensureParent(network);
    networks.set(spec.id, network);
  };

  const remove = async (id: string): Promise<void> => {
    const network = networks.get(id);
    if (!network) return;
    networks.delete(id);
    const link = await kernel.link(network.parent);
    if (link?.alias === alias && ![...networks.values()].some(({ parent }) => parent === network.parent)) await kernel.apply([{ op: "deleteLink", link: { index: link.index } }]);
  };

  /** Born in the sandbox, and only then seen by the rest. */
  const join = async (request: JoinRequest): Promise<{ mac: Uint8Array }> => {
    const network = networks.get(request.networkId);
    if (!network) throw notFound(`${kind} network ${request.networkId} does not exist`);
    if (kind === "ipvlan" && request.mac) throw invalidParameter("ipvlan interfaces do not support custom mac address assignment");
    const parent = await kernel.link(network.parent);
    if (!parent) throw systemError(`the requested parent interface ${network.parent} was not found on the Docker host`);
    const mac = kind === "macvlan" && network.options.macvlanMode !== "passthru" ? (request.mac ?? localMac(randomBytes(6))) : undefined;
    const index = await addSlave(network, request, { parent, mac });
    try {
      const { interfaceName, sysctls = [] } = request;
      const v6 = request.addresses.some(({ address }) => address.family === 6);
      const quiet = [["accept_ra", "0"], ["dad_transmits", "0"], ["disable_ipv6", v6 ? "0" : "1"]].map(([key, value]) => ({ name: `net/ipv6/conf/${interfaceName}/${key!}`, value: value!, optional: !v6 }));
      await kernel.applyToSandbox(request.sandbox.fd, { sysctls: [...quiet, ...sysctls], inside: [{ op: "setLink", link: { index }, up: true }, ...addressing(index, request, network)] });
    } catch (error) {
      await removeFrom(request).catch(() => undefined);
      throw error;
    }
    return { mac: mac ?? parent.mac };
  };

  const addSlave = async ({ options }: SlaveNetwork, { sandbox, interfaceName, slot }: JoinRequest, { parent, mac }: { parent: Link; mac: Uint8Array | undefined }): Promise<number> => {
    const data: LinkData = kind === "macvlan" ? { kind, mode: MACVLAN_MODE[options.macvlanMode] } : { kind, mode: IPVLAN_MODE[options.ipvlanMode], flags: IPVLAN_FLAG[options.ipvlanFlag] };
    const add = async (index: number): Promise<number> => {
      await kernel.apply([{ op: "addLink", name: interfaceName, data, index, parent: parent.index, netns: sandbox.fd, ...(mac ? { mac } : {}), ...(options.mtu ? { mtu: options.mtu } : {}) }]);
      return index;
    };
    try {
      return await add(FIRST_INDEX + slot).catch((error: unknown) => {
        if (errnoCode(error) !== "EEXIST") throw error;
        return add(LATER_INDEX + randomInt(RANDOM_INDEX));
      });
    } catch (error) {
      if (isUnknownKind(error)) throw notImplemented(`this kernel has no ${kind}`);
      throw error;
    }
  };

  const removeFrom = async ({ sandbox, interfaceName }: Pick<JoinRequest, "sandbox" | "interfaceName">): Promise<void> => {
    const inside = openSandbox(sandbox.fd);
    try {
      await inside.apply([{ op: "deleteLink", link: { name: interfaceName } }]);
    } catch (error) {
      if (errnoCode(error) !== "ENODEV") throw error;
    } finally {
      inside.close();
    }
  };

  return {
    id: kind,
    capabilities: { sandbox: "own", addresses: true, gateways: "asked", scope: "local" },
    validate: (spec) => void slaveOptions(kind, spec),
    createNetwork: (spec) => changing.run(kind, () => create(spec)),
    deleteNetwork: (id) => changing.run(kind, () => remove(id)),
    join,
    // The interface goes with its sandbox.
    leave: async (_endpoint, from) => {
      if (from) await removeFrom(from);
    },
    close: async () => {},
  };
}

/** Above the second layer there is no gateway: everything goes to the parent. */
function addressing(index: number, { addresses, gateways }: JoinRequest, { options, spec }: SlaveNetwork): RouteChange[] {
  const routed = options.ipvlanMode !== "l2" && !spec.internal;
  const families = [...new Set(addresses.map(({ address }) => address.family))];
  const routes = routed
    ? families.map((family): RouteChange => ({ op: "addRoute", index, destination: { address: { family, value: 0n }, length: 0 }, replace: true }))
    : gateways.map((gateway): RouteChange => ({ op: "addRoute", index, gateway, replace: true }));
  return [...addresses.map((address): RouteChange => ({ op: "addAddress", index, address })), ...routes];
}
