/** What the bridge driver is opened with. */
import type { UserMaps } from "../../lib/user-maps.ts";
import type { NetworkKernel } from "../../sys/netlink/kernel.ts";
import type { PortLimits } from "./annexes.ts";
import type { OthersMode } from "./firewall-keeper.ts";
import type { FirewallRules } from "./firewall.ts";
import type { DescriptorKeeper } from "./ports.ts";
import type { RelayProgram } from "./relay.ts";

/** "none": no rules are made, and no ports published. */
export type FirewallMode = OthersMode | "none";

export interface BridgeDriverOptions {
  kernel: NetworkKernel;
  /** Four characters that tell this daemon's interfaces from another's. */
  tag: string;
  /** The name of the nftables table. */
  table: string;
  /** Switch IP forwarding on. */
  ipForward: boolean;
  /** Prepared sandboxes; 0: none. */
  poolSize: number;
  /** Prepared sandboxes are for containers with a user namespace that has these; absent: for those in the host's. */
  maps?: UserMaps | undefined;
  warn: (message: string) => void;
  /** Absent: reserved ports are free while the daemon is restarted. */
  keeper?: DescriptorKeeper;
  firewall: FirewallMode;
  /** What holds for all networks. */
  rules?: FirewallRules;
  /** Something of ours was made again after another program took it away. */
  repaired?: (what: string) => void;
  /** Serves ports at addresses of the family that a container has not; absent: nobody does. */
  relay?: RelayProgram;
  /** false: containers may speak for each other, as with Docker. */
  guard?: boolean;
  /** Absent: what the kernel gives a bridge; for tests. */
  portLimits?: PortLimits;
  /** false: without owners of tables, as on kernels before 6.9. */
  tableOwner?: boolean;
}
