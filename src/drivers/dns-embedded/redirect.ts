/**
 * Brings a sandbox's questions for port 53 of the server's address to the port that the server has, and its answers back to port
 * 53. Ports are rewritten packet by packet, without connection tracking: that would cost all other traffic of the container.
 */
import { ipToBytes, parseIp } from "../../lib/ip.ts";
import { portBytes } from "../../sys/netlink/nftables.ts";
import type { NftChange, NftTable } from "../../sys/netlink/nftables.ts";
import type { NftExpression } from "../../sys/netlink/nftables-expression.ts";
import { errnoCode } from "../../sys/netlink/socket.ts";
import { openNetworkKernel } from "../../sys/netlink/kernel.ts";
import { SERVER_ADDRESS } from "./sockets.ts";
import type { ServerSockets } from "./sockets.ts";

const TABLE: NftTable = { family: "ip", name: "gantry-dns" };
const CHAIN = "names";
/** Before connection tracking. */
const PRIORITY_RAW = -300;
const DNS_PORT = 53;
const PROTOCOLS = { udp: { number: 17, checksum: 6 }, tcp: { number: 6, checksum: 16 } } as const;
const SOURCE = { address: 12, port: 0 };
const DESTINATION = { address: 16, port: 2 };

/** All or nothing; in place of what an earlier server left. Only then a table has to go first, for which the kernel waits a dozen milliseconds. */
export async function redirectQuestions(netns: number, ports: ServerSockets["ports"]): Promise<void> {
  try {
    await transact(netns, [{ op: "addTable", exclusive: true }, ...rules(ports)]);
  } catch (error) {
    if (errnoCode(error) !== "EEXIST") throw error;
    await transact(netns, [{ op: "deleteTable" }, { op: "addTable" }, ...rules(ports)]);
  }
}

const rules = (ports: ServerSockets["ports"]): NftChange[] => [
  { op: "addChain", chain: { name: CHAIN, base: { type: "filter", hook: "output", priority: PRIORITY_RAW, policy: "accept" } } },
  ...(["udp", "tcp"] as const).flatMap((protocol) => [rewrite(protocol, DESTINATION, DNS_PORT, ports[protocol], "questions"), rewrite(protocol, SOURCE, ports[protocol], DNS_PORT, "answers")]),
];

async function transact(netns: number, changes: NftChange[]): Promise<void> {
  const kernel = openNetworkKernel(netns);
  try {
    await kernel.nft({ table: TABLE, changes });
  } finally {
    kernel.close();
  }
}

function rewrite(protocol: keyof typeof PROTOCOLS, end: typeof SOURCE, from: number, to: number, comment: string): NftChange {
  const { number, checksum } = PROTOCOLS[protocol];
  const expressions: NftExpression[] = [
    { expr: "meta", key: "l4proto", register: 1 },
    { expr: "compare", register: 1, equal: true, value: Uint8Array.of(number) },
    { expr: "payload", base: "network", offset: end.address, length: 4, register: 1 },
    { expr: "compare", register: 1, equal: true, value: ipToBytes(parseIp(SERVER_ADDRESS)!) },
    { expr: "payload", base: "transport", offset: end.port, length: 2, register: 1 },
    { expr: "compare", register: 1, equal: true, value: portBytes(from) },
    { expr: "notrack" },
    { expr: "value", register: 1, value: portBytes(to) },
    { expr: "payloadWrite", base: "transport", offset: end.port, length: 2, register: 1, checksum },
  ];
  return { op: "addRule", chain: CHAIN, expressions, comment: `${comment}, ${protocol}` };
}
