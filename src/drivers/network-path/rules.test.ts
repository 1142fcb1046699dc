/** What rules make of a packet, against what the kernel makes of it: the same rules, read and met. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../lib/eventually.testing.ts";
import { parseIp } from "../../lib/ip.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import { cannotUnshare, createSandboxNamespace, inNamespace, runInNamespace } from "../../sys/netlink/namespace.testing.ts";
import { createPathFinder } from "./finder.ts";
import { NO_LINK } from "./packet.ts";
import type { Packet } from "./packet.ts";
import { RuleReader } from "./rules.ts";

const real = (name: string, run: () => Promise<void>): void => void test(name, { skip: cannotUnshare }, run);
const packet = (destination: string, port: number, protocol: "tcp" | "udp" = "tcp"): Packet => ({ source: parseIp(destination.includes(":") ? "::1" : "127.0.0.1"), destination: parseIp(destination)!, protocol, port, in: { name: "lo", index: 1 }, out: NO_LINK, mark: 0, redirected: false, local: true });

/** Each beside a default of "accept"; datagrams to itself find out. */
const RULES = [
  "udp dport 1000 drop",
  "udp dport { 1000, 1002, 1004 } drop",
  "udp dport 1000-1002 drop",
  "udp dport { 1000-1001, 1004-65535 } drop",
  "udp dport != { 1000, 1001 } drop",
  "ip daddr 127.0.0.2 drop",
  "ip daddr 127.0.0.0/30 udp dport 1001 drop",
  "ip daddr { 127.0.0.2-127.0.0.3, 127.0.0.5 } drop",
  "ip6 daddr ::1 drop",
  "meta nfproto ipv6 udp dport >= 1003 drop",
  "ip daddr . udp dport { 127.0.0.1 . 1000, 127.0.0.2 . 1001 } drop",
  "ip daddr . udp dport { 127.0.0.0/31 . 1000-1002 } drop",
  "udp dport vmap { 1000 : drop, 1001 : accept, 1002 : jump strict }",
  "iifname lo udp dport 1000 drop",
  "iifname { eth0, lo } ip daddr 127.0.0.1 drop",
  "ct state established drop",
  "ct state new udp dport 1000 drop",
  "meta mark set 5 meta mark 5 udp dport 1001 drop",
  "udp dport 1000 goto strict",
  "udp dport 1000-1002 jump soft",
  "udp dport 1001 reject",
  "fib daddr type local udp dport 1004 drop",
  "meta mark set 0x30 meta mark & 0x10 == 0x10 udp dport 1003 drop",
];

real("a rule is read as the kernel reads it", async () => {
  using host = await createSandboxNamespace();
  const kernel = openNetworkKernel(host.fd);
  inNamespace(host, "ip -6 addr add ::1/128 dev lo 2>/dev/null || true; nft 'add table inet t; add chain inet t strict; add rule inet t strict drop; add chain inet t soft; add rule inet t soft udp dport 1001 return; add rule inet t soft drop; add chain inet t in { type filter hook input priority 0; }'");
  const targets = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"].flatMap((address) => [1000, 1001, 1002, 1003, 1004].map((port) => [address, port] as const));
  const program = `import socket,sys
for t in sys.argv[1:]:
  a,p=t.split(",")
  f=socket.AF_INET6 if ":" in a else socket.AF_INET
  r=socket.socket(f,socket.SOCK_DGRAM); r.bind((a,int(p))); r.settimeout(0.01)
  s=socket.socket(f,socket.SOCK_DGRAM)
  try:
    s.sendto(b"x",(a,int(p))); r.recv(9); print("1",end="")
  except OSError: print("0",end="")`;
  for (const rule of RULES) {
    inNamespace(host, `nft 'flush chain inet t in; add rule inet t in ${rule}'`);
    const reader = new RuleReader(kernel);
    const read = await Promise.all(targets.map(async ([address, port]) => (await reader.pass("input", packet(address, port, "udp"))).stopped));
    const met = (): string => runInNamespace(host, `python3 -c '${program}' ${targets.map((target) => target.join(",")).join(" ")}`).stdout;
    // What arrives late counts as dropped.
    await eventually(() => assert.equal(read.map((finding) => (finding ? "0" : "1")).join(""), met(), rule));
    assert.ok(read.every((finding) => finding?.certain !== false), rule);
  }
  kernel.close();
});

real("rules of iptables and of ufw: what is understood is certain, what is not is perhaps", async () => {
  using host = await createSandboxNamespace();
  const kernel = openNetworkKernel(host.fd);
  inNamespace(host, "iptables-nft -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables-nft -A INPUT -p tcp -m tcp --dport 80:90 -m comment --comment web -j ACCEPT; iptables-nft -A INPUT -p udp --dport 53 -j REJECT; iptables-nft -P INPUT DROP");
  const outcome = async (port: number, protocol: "tcp" | "udp" = "tcp"): Promise<string> => {
    const { stopped, findings } = await new RuleReader(kernel).pass("input", packet("127.0.0.1", port, protocol));
    return stopped ? `${stopped.certain ? "" : "perhaps "}${stopped.effect}: ${stopped.rule}` : findings.map(({ effect }) => effect).join();
  };
  assert.deepEqual([await outcome(80), await outcome(90), await outcome(91), await outcome(53, "udp")], ["accepts", "accepts", "drops: table ip filter, chain INPUT: its policy", "rejects: table ip filter, chain INPUT"]);
  inNamespace(host, "iptables-nft -I INPUT -m statistic --mode random --probability 0.5 -j ACCEPT");
  assert.equal(await outcome(91), "perhaps drops: table ip filter, chain INPUT: its policy");
  kernel.close();
});

real("from this host: an address of its own, a refused route, none at all", async () => {
  using host = await createSandboxNamespace();
  const finder = createPathFinder({ netns: host.fd });
  const find = async (address: string): Promise<string> => {
    const { steps } = await finder.find({ from: { kind: "host" }, to: { kind: "outside" }, destination: parseIp(address)!, protocol: "icmp", nameOf: () => undefined, endOf: () => undefined });
    return `${steps.at(-1)?.verdict}: ${steps.at(-1)?.text}`;
  };
  inNamespace(host, "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up; ip addr add 192.0.2.1/24 dev up0; ip route add prohibit 198.51.100.0/24");
  assert.deepEqual([await find("192.0.2.1"), await find("192.0.2.9"), await find("198.51.100.1"), await find("203.0.113.1")], ["pass: 192.0.2.1 has it", "pass: out at up0: the rest is not on this machine", "stop: to 198.51.100.1: the route prohibits it", "stop: to 203.0.113.1: there is no route to it"]);
  assert.equal(await finder.hostAddress(4), undefined);
});
