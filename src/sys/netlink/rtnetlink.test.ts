/** Encodings as bytes, and decoders on them. That the kernel understands them is shown in the bridge driver's tests. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIp, parsePrefix } from "../../lib/ip.ts";
import { MessageWriter, parseMessages } from "./message.ts";
import { describe, encodeRouteChange } from "./rtnetlink.ts";
import { decodeAddress, decodeLink, decodeNeighbour, decodeRoute } from "./rtnetlink-decode.ts";
import type { RouteChange } from "./rtnetlink.ts";

/** Type, flags and payload. */
function encoded(change: RouteChange): string {
  const { type, flags, write } = encodeRouteChange(change);
  const [message] = parseMessages(new MessageWriter().message({ type, flags, sequence: 1 }, write).finish());
  return `${type} ${flags.toString(16)} ${message!.payload.toString("hex")}`;
}
const hex = (...parts: string[]): string => parts.join("").replaceAll(" ", "");
const ifinfo = (index: string, flags = "00000000", change = "00000000"): string => `00 00 0000 ${index} ${flags} ${change}`;

test("a bridge", () => {
  assert.equal(
    encoded({ op: "addBridge", name: "br0", mac: Uint8Array.of(2, 1, 2, 3, 4, 5) }),
    `16 604 ${hex(ifinfo("00000000"), "0800 0300 62723000", "0a00 0100 020102030405 0000", "1c00 1280", "0b00 0100 62726964676500 00", "0c00 0280", "0800 0100 00000000")}`,
  );
});

test("a veth whose peer is born in another namespace", () => {
  assert.equal(
    encoded({ op: "addVeth", name: "eth0", index: 2, mac: Uint8Array.of(2, 0x42, 172, 17, 0, 2), mtu: 1500, peer: { netns: 33, name: "v1" } }),
    `16 604 ${hex(
      ifinfo("02000000"),
      "0900 0300 6574683000 000000",
      "0800 0400 dc050000",
      "0a00 0100 0242ac110002 0000",
      "4000 1280",
      "0900 0100 7665746800 000000",
      "3000 0280 2c00 0180",
      ifinfo("00000000"),
      "0700 0300 763100 00",
      "0800 0400 dc050000",
      "0800 1c00 21000000",
    )}`,
  );
});

test("links up, without link-local addresses, deleted by name", () => {
  assert.equal(encoded({ op: "setLink", link: { index: 2 }, up: true }), `16 4 ${hex(ifinfo("02000000", "01000000", "01000000"))}`);
  assert.equal(encoded({ op: "setLink", link: { index: 2 }, noLinkLocal: true }), `16 4 ${hex(ifinfo("02000000"), "1000 1a80 0c00 0a80 0500 0800 01 000000")}`);
  assert.equal(encoded({ op: "deleteLink", link: { name: "v1" } }), `17 4 ${hex(ifinfo("00000000"), "0700 0300 763100 00")}`);
});

test("addresses have a broadcast address unless they are point to point", () => {
  assert.equal(encoded({ op: "addAddress", index: 2, address: parsePrefix("172.17.0.2/16")! }), `20 604 ${hex("02 10 00 00 02000000", "0800 0200 ac110002", "0800 0100 ac110002", "0800 0400 ac11ffff")}`);
  assert.equal(encoded({ op: "addAddress", index: 2, address: parsePrefix("10.0.0.1/32")! }), `20 604 ${hex("02 20 00 00 02000000", "0800 0200 0a000001", "0800 0100 0a000001")}`);
  assert.equal(encoded({ op: "deleteAddress", index: 2, address: parsePrefix("fd00::1/64")! }), `21 4 ${hex("0a 40 02 00 02000000", `1400 0200 fd00${"00".repeat(13)}01`, `1400 0100 fd00${"00".repeat(13)}01`)}`);
});

test("routes: default by a gateway, a subnet by a link", () => {
  assert.equal(encoded({ op: "addRoute", index: 2, gateway: parseIp("172.17.0.1")! }), `24 604 ${hex("02 00 00 00 fe 04 00 01 00000000", "0800 0500 ac110001", "0800 0400 02000000")}`);
  assert.equal(encoded({ op: "addRoute", index: 2, destination: parsePrefix("10.0.0.0/8")!, metric: 9, replace: true }), `24 504 ${hex("02 08 00 00 fe 04 fd 01 00000000", "0800 0100 0a000000", "0800 0600 09000000", "0800 0400 02000000")}`);
});

test("a permanent neighbour, a bridge port, and who is behind it", () => {
  assert.equal(encoded({ op: "addForwarding", port: 4, mac: Uint8Array.of(2, 0, 0, 0, 0, 1) }), `28 504 ${hex("07 00 0000 04000000 4000 44 00", "0a00 0200 020000000001 0000")}`);
  assert.equal(encoded({ op: "addNeighbour", index: 2, address: parseIp("10.0.0.2")!, mac: Uint8Array.of(2, 0, 0, 0, 0, 1) }), `28 504 ${hex("02 00 0000 02000000 8000 00 00", "0800 0100 0a000002", "0a00 0200 020000000001 0000")}`);
  assert.equal(encoded({ op: "setLink", link: { index: 4 }, port: { hairpin: true, isolated: false } }), `16 4 ${hex(ifinfo("04000000"), "2400 1280", "0b00 0400 62726964676500 00", "1400 0580 0500 0400 01 000000 0500 2100 00 000000")}`);
});

test("every change says what it is", () => {
  assert.equal(describe({ op: "addRoute", index: 2, gateway: parseIp("172.17.0.1")! }), "add route to default via 172.17.0.1");
  assert.equal(describe({ op: "deleteAddress", index: 3, address: parsePrefix("10.0.0.1/8")! }), "delete address 10.0.0.1/8 of link 3");
});

test("decoders take what encoders wrote, and nothing that is too short", () => {
  const message = (change: RouteChange) => {
    const { type, flags, write } = encodeRouteChange(change);
    return parseMessages(new MessageWriter().message({ type, flags, sequence: 1 }, write).finish())[0]!;
  };
  const link = decodeLink(message({ op: "addBridge", name: "br0", mac: Uint8Array.of(2, 1, 2, 3, 4, 5), mtu: 1400 }))!;
  assert.deepEqual({ ...link, mac: [...link.mac] }, { index: 0, name: "br0", up: false, running: false, mac: [2, 1, 2, 3, 4, 5], mtu: 1400, master: 0, kind: "bridge", alias: "" });
  assert.deepEqual(decodeAddress(message({ op: "addAddress", index: 2, address: parsePrefix("172.17.0.2/16")! })), { index: 2, address: parsePrefix("172.17.0.2/16"), temporary: true });
  assert.deepEqual(decodeRoute(message({ op: "addRoute", index: 2, gateway: parseIp("172.17.0.1")! })), { family: 4, gateway: parseIp("172.17.0.1"), index: 2, table: 254, type: 1 });
  const neighbour = decodeNeighbour(message({ op: "addNeighbour", index: 2, address: parseIp("10.0.0.2")!, mac: Uint8Array.of(2, 0, 0, 0, 0, 1) }))!;
  assert.deepEqual({ ...neighbour, mac: [...neighbour.mac] }, { index: 2, address: parseIp("10.0.0.2"), mac: [2, 0, 0, 0, 0, 1], state: 0x80 });
  for (const type of [16, 20, 24, 28]) {
    const short = { type, flags: 0, sequence: 0, port: 0, payload: Buffer.alloc(3) };
    assert.deepEqual([decodeLink(short), decodeAddress(short), decodeRoute(short), decodeNeighbour(short)], [undefined, undefined, undefined, undefined]);
  }
});
