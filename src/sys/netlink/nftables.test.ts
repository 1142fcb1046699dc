import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageWriter, parseMessages } from "./message.ts";
import { concatenation, encodeTransaction, ifname, portBytes } from "./nftables.ts";
import type { NftChange, NftTable } from "./nftables.ts";

const table: NftTable = { family: "inet", name: "t" };
const hex = (...parts: string[]): string => parts.join("").replaceAll(" ", "");
const header = "01 00 0000 0600 0100 7400 0000";

/** The messages of one change, without the transaction's begin and end. */
function encoded(change: NftChange): string {
  const writer = new MessageWriter();
  for (const { type, flags, write } of encodeTransaction({ table, changes: [change] })) writer.message({ type, flags, sequence: 1 }, write);
  const [begin, message, end] = parseMessages(writer.finish());
  assert.deepEqual([begin!.type, end!.type], [0x10, 0x11]);
  assert.equal(begin!.payload.toString("hex"), "0000000a", "of the subsystem nftables");
  return `${message!.type.toString(16)} ${message!.flags.toString(16)} ${message!.payload.toString("hex")}`;
}

test("tables: flags only when an owner is asked for", () => {
  assert.equal(encoded({ op: "addTable" }), `a00 404 ${hex(header)}`);
  assert.equal(encoded({ op: "addTable", owner: true, persist: true }), `a00 404 ${hex(header, "0800 0200 00000006")}`);
  assert.equal(encoded({ op: "deleteTable" }), `a02 4 ${hex(header)}`);
});

test("a base chain", () => {
  assert.equal(
    encoded({ op: "addChain", chain: { name: "c", base: { type: "nat", hook: "prerouting", priority: -100, policy: "accept" } } }),
    `a03 404 ${hex(header, "0600 0300 6300 0000", "1400 0480 0800 0100 00000000 0800 0200 ffffff9c", "0800 0500 00000001", "0800 0700 6e617400")}`,
  );
});

test("a rule: compare, verdict, comment", () => {
  assert.equal(
    encoded({
      op: "addRule",
      chain: "c",
      comment: "x",
      expressions: [
        { expr: "meta", key: "nfproto", register: 1 },
        { expr: "compare", register: 1, equal: true, value: Uint8Array.of(2) },
        { expr: "verdict", verdict: "drop" },
      ],
    }),
    `a06 c04 ${hex(
      header,
      "0600 0200 6300 0000",
      "8400 0480",
      "2400 0180 0900 0100 6d65746100 000000 1400 0280 0800 0100 00000001 0800 0200 0000000f",
      "2c00 0180 0800 0100 636d7000 2000 0280 0800 0100 00000001 0800 0200 00000000 0c00 0380 0500 0100 02 000000",
      "3000 0180 0e00 0100 696d6d65646961746500 0000 1c00 0280 0800 0100 00000000 1000 0280 0c00 0280 0800 0100 00000000",
      "08 00 07 00 00 02 78 00",
    ).replace("8400 0480", "9800 0480")}`,
  );
});

test("a map of concatenated keys: types in six bits each, fields padded to four bytes", () => {
  assert.equal(
    encoded({ op: "addSet", set: { name: "m", key: ["protocol", "ipv4", "port"], value: ["ipv4", "port"] } }),
    `a09 404 ${hex(header, "0600 0200 6d00 0000", "0800 0300 00000008", `0800 0400 ${((((12 << 6) | 7) << 6) | 13).toString(16).padStart(8, "0")}`, "0800 0500 0000000c", `0800 0600 ${((7 << 6) | 13).toString(16).padStart(8, "0")}`, "0800 0700 00000008", "0800 0a00 00000001")}`,
  );
  assert.equal(Buffer.from(concatenation(Uint8Array.of(6), Uint8Array.of(10, 0, 0, 1), portBytes(8080))).toString("hex"), "060000000a0000011f900000");
});

test("elements: a published port, and an interval with its end", () => {
  assert.equal(
    encoded({ op: "addElements", set: "m", elements: [{ key: Uint8Array.of(1, 2), value: Uint8Array.of(3, 4) }] }),
    `a0c 404 ${hex(header, "0600 0200 6d00 0000", "2000 0380 1c00 0180 0c00 0180 0600 0100 0102 0000 0c00 0280 0600 0100 0304 0000")}`,
  );
  assert.equal(
    encoded({ op: "deleteElements", set: "m", elements: [{ key: Uint8Array.of(1), end: Uint8Array.of(2) }] }),
    `a0e 4 ${hex(header, "0600 0200 6d00 0000", "2c00 0380 1000 0180 0c00 0180 0500 0100 01 000000", "1800 0180 0800 0300 00000001 0c00 0180 0500 0100 02 000000")}`,
  );
});

test("interface names are sixteen bytes", () => {
  assert.equal(ifname("docker0").length, 16);
  assert.equal(Buffer.from(ifname("docker0")).toString("latin1"), `docker0${"\0".repeat(9)}`);
});
