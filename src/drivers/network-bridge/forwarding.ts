/** Has the host forward packets, also when another program has switched that off. */
import { messageOf } from "../../lib/errors.ts";
import type { IpFamily } from "../../lib/ip.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NetlinkWatch } from "../../sys/netlink/socket.ts";
import { createRepairs } from "./repairs.ts";

export interface Forwarding {
  /** For a bridge and networks of these families. */
  enable(bridge: string, families: readonly IpFamily[]): Promise<void>;
  /** The bridge is gone. */
  forget(bridge: string): void;
  close(): void;
}

const SYSCTL = { 4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding" } as const;

export function keepForwarding({ kernel, warn, repaired }: { kernel: NetworkKernel; warn: (message: string) => void; repaired: (what: string) => void }): Forwarding {
  const wanted = new Set<IpFamily>();
  const bridges = new Set<string>();
  let watching: Promise<NetlinkWatch> | undefined;

  const tell = (sysctl: string): void => {
    const name = sysctl.replaceAll("/", ".");
    warn(`the sysctl ${name} was switched off by another program and is on again`);
    repaired(`sysctl ${name}`);
  };

  const repairs = createRepairs(async () => {
    const own = [...bridges].map((bridge) => `net/ipv4/conf/${bridge}/forwarding`);
    const off = (await kernel.readSysctls([SYSCTL[4], ...own])).map((value) => value?.trim() === "0");
    // The switch for all of them is told of alone.
    for (const [index, name] of off[0] ? [] : own.entries()) {
      if (!off[index + 1]) continue;
      await kernel.writeSysctls([{ name, value: "1", optional: true }]);
      tell(name);
    }
    for (const family of wanted) {
      const [value] = await kernel.readSysctls([SYSCTL[family]]);
      if (value?.trim() !== "0") continue;
      await enable(kernel, family);
      tell(SYSCTL[family]);
    }
  }, warn);

  return {
    forget: (bridge) => void bridges.delete(bridge),
    enable: async (bridge, families) => {
      bridges.add(bridge);
      for (const family of new Set<IpFamily>([4, ...families])) {
        await enable(kernel, family);
        wanted.add(family);
      }
      watching ??= kernel.watchSettings(() => repairs.request());
      await watching;
    },
    close: () => {
      repairs.close();
      void watching?.then((watch) => watch.close(), (error: unknown) => warn(messageOf(error)));
    },
  };
}

/** A host that forwards IPv6 believes no router any more, unless it is told to. */
async function enable(kernel: NetworkKernel, family: IpFamily): Promise<void> {
  if (family === 4) return kernel.writeSysctls([{ name: SYSCTL[4], value: "1" }]);
  const [forwarding] = await kernel.readSysctls([SYSCTL[6]]);
  if (forwarding?.trim() === "1") return;
  const names = (await kernel.links()).map(({ name }) => `net/ipv6/conf/${name}/accept_ra`);
  const believed = await kernel.readSysctls(names);
  await kernel.writeSysctls([
    ...names.filter((_, index) => believed[index]?.trim() === "1").map((name) => ({ name, value: "2", optional: true })),
    { name: "net/ipv6/conf/default/forwarding", value: "1" },
    { name: SYSCTL[6], value: "1" },
  ]);
}
