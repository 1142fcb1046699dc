import { parsePort } from "../../../lib/address.ts";
import { naturalOrder } from "../../../lib/natural-order.ts";
import { path } from "../../api/client.ts";
import { joinHostPort } from "../../format/container.ts";
import type { Session } from "../../session.ts";

type PortMap = Record<string, { HostIp: string; HostPort: string }[] | null>;

export async function run(session: Session): Promise<void> {
  const [name = "", port] = session.args;
  const { NetworkSettings } = await session.client.json<{ NetworkSettings: { Ports: PortMap | null } }>("GET", path`/containers/${name}/json`);
  const ports = NetworkSettings.Ports ?? {};
  const lines: string[] = [];
  if (port !== undefined && port !== "") {
    const published = ports[parsePort(port)] ?? [];
    if (published.length === 0) throw new Error(`no public port '${port}' published for ${name}`);
    lines.push(...published.map(address));
  } else for (const [inside, published] of Object.entries(ports)) lines.push(...(published ?? []).map((binding) => `${inside} -> ${address(binding)}`));
  if (lines.length > 0) session.out.line(lines.sort(naturalOrder).join("\n"));
}

const address = (binding: { HostIp: string; HostPort: string }): string => joinHostPort(binding.HostIp || "0.0.0.0", binding.HostPort);
