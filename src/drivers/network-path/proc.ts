/** What the kernel lists below /proc/PID/net: sockets, and tables of the older iptables. */
import { existsSync, readFileSync } from "node:fs";
import type { IpAddress } from "../../lib/ip.ts";

const TCP_LISTEN = "0A";
/** Not connected. */
const UDP_OPEN = "07";

/** A program of the process's namespace has the port at the address, or at all; of this one without a process. */
export function listens(pid: number | undefined, { protocol, port, address }: { protocol: "tcp" | "udp"; port: number; address: IpAddress }): boolean {
  const state = protocol === "tcp" ? TCP_LISTEN : UDP_OPEN;
  return ["", "6"].some((suffix) => read(`/proc/${pid ?? "thread-self"}/net/${protocol}${suffix}`).slice(1).some((line) => {
    const fields = line.trim().split(/\s+/);
    const [own = "", number = ""] = (fields[1] ?? "").split(":");
    return fields[3] === state && Number.parseInt(number, 16) === port && serves(own, suffix === "6", address);
  }));
}

/** The kernel prints words of 4 bytes, each in the machine's own order. */
function serves(text: string, isV6: boolean, { family, value }: IpAddress): boolean {
  const own = BigInt(`0x${(text.match(/.{8}/g) ?? []).map((word) => word.match(/../g)!.reverse().join("")).join("") || "0"}`);
  // Sockets of every IPv6 address have every IPv4 one, unless they refuse it, which nobody is told.
  if (isV6) return own === 0n || own === (family === 6 ? value : (0xffffn << 32n) | value);
  return family === 4 && (own === 0n || own === value);
}

export const legacyTables = (): string[] => ["ip_tables_names", "ip6_tables_names"].flatMap((name) => read(`/proc/thread-self/net/${name}`).map((line) => line.trim()).filter((line) => line !== "").map((line) => `${name.startsWith("ip6") ? "ip6tables" : "iptables"} ${line}`));

const read = (path: string): string[] => (existsSync(path) ? readFileSync(path, "utf8").split("\n") : []);
