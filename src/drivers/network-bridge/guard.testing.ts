/** Frames that hostile containers make up, and sending them from inside one. */
import { ipToBytes, parseIp } from "../../lib/ip.ts";
import { inNamespace } from "../../sys/netlink/namespace.testing.ts";

export const EVERYBODY = "ff:ff:ff:ff:ff:ff";
const mac = (text: string): Buffer => Buffer.from(text.replaceAll(":", ""), "hex");
const ip = (text: string): Uint8Array => ipToBytes(parseIp(text)!);
const frame = (to: string, from: string, type: number, ...parts: Uint8Array[]): Buffer => Buffer.concat([mac(to), mac(from), Buffer.of(type >> 8, type & 255), ...parts]);

/** "Who has `target`? Tell `address`, which is at `from`." */
export const arpQuestion = (from: string, address: string, target: string): Buffer => frame(EVERYBODY, from, 0x0806, Buffer.from("0001080006040001", "hex"), mac(from), ip(address), Buffer.alloc(6), ip(target));

export function echoRequest({ from, to, source, destination }: { from: string; to: string; source: string; destination: string }): Buffer {
  const message = Buffer.from("0800000000010001", "hex");
  message.writeUInt16BE(checksum(message), 2);
  const head = Buffer.concat([Buffer.from("4500001c000100004001" + "0000", "hex"), ip(source), ip(destination)]);
  head.writeUInt16BE(checksum(head), 10);
  return frame(to, from, 0x0800, head, message);
}

/** A router that offers the prefix to all. */
export function routerAdvertisement(from: string, source: string, prefix: string): Buffer {
  const option = Buffer.concat([Buffer.from("030440c00000ffff0000ffff00000000", "hex"), ip(prefix)]);
  const body = Buffer.concat([Buffer.from("86000000400007080000000000000000", "hex"), option]);
  const [all, length] = [ip("ff02::1"), Buffer.alloc(8)];
  length.writeUInt32BE(body.length);
  length[7] = 58;
  body.writeUInt16BE(checksum(Buffer.concat([ip(source), all, length, body])), 2);
  const head = Buffer.concat([Buffer.from("60000000", "hex"), Buffer.of(body.length >> 8, body.length & 255, 58, 255), ip(source), all]);
  return frame("33:33:00:00:00:01", from, 0x86dd, head, body);
}

function checksum(data: Buffer): number {
  let sum = 0;
  for (let at = 0; at < data.length; at += 2) sum += data.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

const PROGRAM = "import socket, sys; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((\"eth0\", 0)); [s.send(bytes.fromhex(f)) for f in sys.argv[1:] for _ in range(3)]";

/** Each three times, from eth0. */
export const sendFrames = (netns: { readonly fd: number }, ...frames: Buffer[]): string => inNamespace(netns, `python3 -c '${PROGRAM}' ${frames.map((bytes) => bytes.toString("hex")).join(" ")}`);
