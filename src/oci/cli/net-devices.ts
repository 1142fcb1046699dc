/** `linux.netDevices`: network devices of the host that move into the container's network namespace. */
import { invalidParameter, systemError } from "../../lib/errors.ts";
import type { OciSpec } from "../../lib/oci-spec.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import { Netns } from "../../sys/netlink/netns.ts";

/** Each with its permanent global addresses; what has moved goes away or back with the namespace. */
export async function moveNetDevices({ linux }: OciSpec, pid: number): Promise<void> {
  const devices = Object.entries(linux?.netDevices ?? {});
  if (devices.length === 0) return;
  using netns = Netns.open(`/proc/${pid}/ns/net`);
  for (const [name, device] of devices) await moveDevice(name, device.name || name, netns.fd);
}

async function moveDevice(name: string, newName: string, netns: number): Promise<void> {
  const [host, container] = [openNetworkKernel(), openNetworkKernel(netns)];
  try {
    const link = await host.link(name);
    if (link === undefined) throw invalidParameter(`linux.netDevices.${name}: link not found for interface ${name} on runtime namespace`);
    // Down first: nothing of the host shall depend on it while it goes.
    await host.apply([{ op: "setLink", link: { index: link.index }, up: false }]);
    const addresses = (await host.addresses()).filter(({ index, temporary, local }) => index === link.index && !temporary && !local);
    await host.apply([{ op: "moveLink", link: { index: link.index }, netns, name: newName }]);
    const moved = await container.link(newName);
    if (moved === undefined) throw systemError(`linux.netDevices.${name}: the interface did not arrive in the container's namespace`);
    await container.apply([...addresses.map(({ address }) => ({ op: "addAddress" as const, index: moved.index, address })), { op: "setLink", link: { index: moved.index }, up: true }]);
  } finally {
    host.close();
    container.close();
  }
}
