/** Has the host forward packets, also when another program has switched that off. */
import { messageOf } from "../../lib/errors.ts";
import type { IpFamily } from "../../lib/ip.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { NetlinkWatch } from "../../sys/netlink/socket.ts";
import { createRepairs } from "./repairs.ts";

export interface Forwarding {
  enable(families: readonly IpFamily[]): Promise<void>;
  close(): void;
}

const SYSCTL = { 4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding" } as const;

export function keepForwarding({ kernel, warn, repaired }: { kernel: NetworkKernel; warn: (message: string) => void; repaired: (what: string) => void }): Forwarding {
  const wanted = new Set<IpFamily>();
  let watching: Promise<NetlinkWatch> | undefined;

  const repairs = createRepairs(async () => {
    for (const family of wanted) {
      const [value] = await kernel.readSysctls([SYSCTL[family]]);
      if (value?.trim() !== "0") continue;
      await enable(kernel, family);
      const name = SYSCTL[family].replaceAll("/", ".");
      warn(`the sysctl ${name} was switched off by another program and is on again`);
      repaired(`sysctl ${name}`);
    }
  }, warn);

  return {
    enable: async (families) => {
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
