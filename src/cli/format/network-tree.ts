/** `network ls --tree`: each network with its subnets, and below it the running containers with their addresses. */

export interface NetworkDetails {
  Name: string;
  Driver: string;
  Internal: boolean;
  /** Gantry's own; absent: none. */
  FurtherBridges?: string[];
  IPAM: { Config: { Subnet?: string }[] | null };
  Containers: Record<string, { Name: string; IPv4Address: string; IPv6Address: string }> | null;
}

export function networkTree(networks: readonly NetworkDetails[]): string {
  return networks.map(textOf).join("");
}

function textOf({ Name, Driver, Internal, FurtherBridges = [], IPAM, Containers }: NetworkDetails): string {
  const subnets = (IPAM.Config ?? []).flatMap(({ Subnet }) => (Subnet ? [Subnet] : []));
  const containers = Object.values(Containers ?? {}).sort((one, other) => (one.Name < other.Name ? -1 : 1));
  const width = Math.max(0, ...containers.map((container) => container.Name.length));
  const lines = containers.map((container, index) => {
    const addresses = [container.IPv4Address, container.IPv6Address].filter((address) => address !== "").map((address) => address.replace(/\/\d+$/, ""));
    return `${index === containers.length - 1 ? "└─" : "├─"} ${container.Name.padEnd(width)}   ${addresses.join(", ")}`.trimEnd();
  });
  const further = FurtherBridges.length > 0 ? [`further bridges ${FurtherBridges.join(", ")}`] : [];
  return [[Name, Internal ? `${Driver}, internal` : Driver, subnets.join(", "), ...further].join("   ").trimEnd(), ...lines, ""].join("\n");
}
