/** The veth pairs of endpoints: made ahead in a sandbox of their own, or in one that there is. */
import { randomBytes, randomInt } from "node:crypto";
import type { JoinRequest, SandboxNamespace } from "../../core/network.ts";
import { localMac } from "../../lib/mac.ts";
import type { UserMaps } from "../../lib/user-maps.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { RouteChange } from "../../sys/netlink/rtnetlink.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import { addressChanges, hairpinChange, hostInterfaceName, interfacePlan, portChanges, settingsOf } from "./endpoint.ts";
import { DEFAULT_MTU } from "./options.ts";
import { isLinkTaken } from "./refusals.ts";

export const PREPARED_INTERFACE = "eth0";
/** The interface's index in its sandbox: loopback is 1. */
const [FIRST_INDEX, LATER_INDEX, RANDOM_INDEX] = [2, 1000, 1 << 24];

/** What the host's end becomes. */
export interface BridgePort {
  bridgeIndex: number;
  isolated: boolean;
  mtu: number;
}

export interface Interfaces {
  /** The host's end. */
  hostName(endpointId: string): string;
  prepare(endpointId: string): Promise<SandboxNamespace>;
  /** Endpoints whose sandboxes are prepared, and nobody's. */
  prepared(): Iterable<string>;
  /** It is prepared no more. */
  forget(endpointId: string): void;
  join(port: BridgePort, request: JoinRequest, mac: Uint8Array): Promise<void>;
  /** The bridge of a join that failed had no port left: the end on the host becomes this one's. */
  attach(port: BridgePort, request: JoinRequest): Promise<void>;
  /** Says whether nothing comes from it any more. */
  silence(endpointId: string): Promise<boolean>;
  /** Idempotent. */
  remove(endpointId: string): Promise<void>;
}

export function createInterfaces(kernel: NetworkKernel, { prefix, maps }: { prefix: string; maps: UserMaps | undefined }): Interfaces {
  /** The interface's index in each prepared sandbox, by endpoint. */
  const prepared = new Map<string, number>();
  let interfaceIndex = FIRST_INDEX;
  const hostName = (endpointId: string): string => hostInterfaceName(prefix, endpointId);

  /** Kernels that make tunnel devices in each namespace have taken the first index, and containers make interfaces of their own: then a later one is taken. */
  const withIndex = async <Value>(slot: number, make: (index: number) => Promise<Value>): Promise<Value> => {
    const tried = interfaceIndex;
    try {
      return await make(tried + slot);
    } catch (error) {
      if (!isLinkTaken(error)) throw error;
      if (slot === 0) interfaceIndex = LATER_INDEX;
      return await make(LATER_INDEX + slot + (tried === LATER_INDEX ? randomInt(RANDOM_INDEX) : 0));
    }
  };

  const planOf = (endpointId: string, plan: { name: string; index: number; mac: Uint8Array; mtu: number }): ReturnType<typeof interfacePlan> => interfacePlan({ hostName: hostName(endpointId), hostNetns: kernel.netns, ...plan });

  const outside = ({ bridgeIndex, isolated }: BridgePort, { endpointId, ports = [] }: JoinRequest): RouteChange[] => [
    ...portChanges({ name: hostName(endpointId) }, bridgeIndex, isolated),
    ...(ports.length > 0 ? [hairpinChange(hostName(endpointId))] : []),
  ];

  const joinPrepared = (port: BridgePort, index: number, request: JoinRequest, mac: Uint8Array): Promise<void> => {
    const { mtu } = port;
    const resize = mtu === DEFAULT_MTU ? {} : { mtu };
    return kernel.applyToSandbox(request.sandbox.fd, {
      inside: [{ op: "setLink", link: { index }, mac, ...resize }],
      settings: settingsOf(request),
      later: addressChanges(index, request),
      outside: [...(mtu === DEFAULT_MTU ? [] : [{ op: "setLink" as const, link: { name: hostName(request.endpointId) }, mtu }]), ...outside(port, request)],
    });
  };

  const joinNew = (port: BridgePort, request: JoinRequest, mac: Uint8Array): Promise<void> =>
    withIndex(request.slot, (index) => {
      const plan = planOf(request.endpointId, { name: request.interfaceName, index, mac, mtu: port.mtu });
      return kernel.applyToSandbox(request.sandbox.fd, { ...plan, settings: settingsOf(request), later: addressChanges(index, request), outside: [...plan.outside, ...outside(port, request)] });
    });

  return {
    hostName,
    prepare: (endpointId) =>
      withIndex(0, async (index) => {
        const sandbox = await kernel.createSandbox(planOf(endpointId, { name: PREPARED_INTERFACE, index, mac: localMac(randomBytes(6)), mtu: DEFAULT_MTU }), maps);
        prepared.set(endpointId, index);
        return sandbox;
      }),
    prepared: () => prepared.keys(),
    forget: (endpointId) => void prepared.delete(endpointId),
    join: (port, request, mac) => {
      const index = prepared.get(request.endpointId);
      prepared.delete(request.endpointId);
      return index === undefined ? joinNew(port, request, mac) : joinPrepared(port, index, request, mac);
    },
    attach: (port, request) => kernel.apply(outside(port, request)),
    silence: async (endpointId) => {
      try {
        await kernel.apply([{ op: "setLink", link: { name: hostName(endpointId) }, port: { blocked: true } }]);
        return true;
      } catch (error) {
        // Gone, or its other end is.
        return ["ENODEV", "ENETDOWN"].includes(errnoCode(error));
      }
    },
    remove: async (endpointId) => {
      prepared.delete(endpointId);
      try {
        await kernel.apply([{ op: "deleteLink", link: { name: hostName(endpointId) } }]);
      } catch (error) {
        if (errnoCode(error) !== "ENODEV") throw error;
      }
    },
  };
}
