/** Notices what other programs do to bridges and to containers' ends on the host, and has it undone. */
import type { EndpointReference } from "../../core/network.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NetlinkWatch } from "../../sys/netlink/socket.ts";
import type { Joined } from "./joined.ts";
import { createRepairs } from "./repairs.ts";

export interface WatchmanOptions {
  kernel: NetworkKernel;
  joined: Joined;
  /** Whether the interface is a bridge, or joins two of them. */
  isBridge: (name: string) => boolean;
  networkIds: () => string[];
  repairBridges: () => Promise<void>;
  warn: (message: string) => void;
  repaired: (what: string) => void;
}

export interface Watchman {
  /** From the first call on. */
  watch(): Promise<unknown>;
  /** Looks at everything. */
  checkEndpoints(): Promise<void>;
  /** Called with endpoints whose interfaces are gone. */
  onLoss(lost: (endpoints: readonly EndpointReference[]) => void): void;
  close(): Promise<void>;
}

export function createWatchman({ kernel, joined, isBridge, networkIds, repairBridges, warn, repaired }: WatchmanOptions): Watchman {
  let watching: Promise<NetlinkWatch[]> | undefined;
  let tellLoss: (endpoints: readonly EndpointReference[]) => void = () => {};
  let bridgesSuspect = false;
  const suspects = new Set<string>();

  const repairs = createRepairs(async () => {
    const [suspectBridge, names] = [bridgesSuspect, new Set(suspects)];
    bridgesSuspect = false;
    suspects.clear();
    if (suspectBridge) await repairBridges();
    const { mended, lost } = await joined.mend(names);
    for (const name of mended) {
      warn(`the interface ${name} was switched off or taken from its bridge by another program and is back`);
      repaired(`interface ${name}`);
    }
    if (lost.length > 0) tellLoss(lost);
  }, warn);

  const lookAtBridges = (): void => {
    bridgesSuspect = true;
    repairs.request();
  };

  /** Ends of containers that end are nobody's by then, as a rule. */
  const lookAtLinks = (names: readonly string[] | undefined): void => {
    const own = names ? names.filter(joined.hasName) : networkIds().flatMap((id) => [...joined.of(id).keys()]);
    for (const name of own) suspects.add(name);
    if (own.length > 0) repairs.request();
    if (!names || names.some(isBridge)) lookAtBridges();
  };

  return {
    watch: () => (watching ??= Promise.all([kernel.watchAddresses(lookAtBridges), kernel.watchLinks(lookAtLinks)])),
    checkEndpoints: async () => {
      const whole = new Set((await kernel.links()).filter(({ up, master }) => up && master !== 0).map(({ name }) => name));
      lookAtLinks(networkIds().flatMap((id) => [...joined.of(id).keys()]).filter((name) => !whole.has(name)));
    },
    onLoss: (lost) => (tellLoss = lost),
    close: async () => {
      repairs.close();
      for (const one of (await watching) ?? []) one.close();
    },
  };
}
