import assert from "node:assert/strict";
import { test } from "node:test";
import { cgroupMode, decodeAnswer, encodeNotified, encodeRequest, request } from "./message.ts";

/** Protobuf's wire format, taken apart without a schema. */
function fields(bytes: Buffer): [number, bigint | Buffer][] {
  const found: [number, bigint | Buffer][] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const value = varint();
    if ((tag & 7) === 0) found.push([tag >> 3, value]);
    else found.push([tag >> 3, bytes.subarray(at, (at += Number(value)))]);
  }
  return found;
}

test("a request has the numbers of criu's rpc.proto", () => {
  const bytes = encodeRequest(request.dump, {
    imagesDirFd: 7,
    pid: 4_000_000,
    leaveRunning: true,
    tcpEstablished: false,
    logFile: "dump.log",
    pageServer: { address: "::1", port: 65_535 },
    external: ["net[5]:k", "file[1:2]"],
    externalMounts: [["/a", "/b"]],
    inheritFds: [["pipe:[1]", 0]],
    cgroupRoots: [["cpu,cpuacct", "/x"]],
    manageCgroups: cgroupMode[""],
    emptyNamespaces: 0x40000000,
    lsmProfile: "apparmor:p",
  });
  const [type, options] = fields(bytes);
  assert.deepEqual([type, options![0]], [[1, 1n], 2]);
  const plain = fields(options![1] as Buffer).map(([number, value]) => [number, typeof value === "bigint" ? Number(value) : number === 11 || (number >= 23 && number <= 27) ? fields(value).map((pair) => pair[1]).map((part) => (typeof part === "bigint" ? Number(part) : String(part))) : String(value)]);
  assert.deepEqual(plain, [
    [1, 7],
    [2, 4_000_000],
    [3, 1],
    [5, 0],
    [9, 4],
    [10, "dump.log"],
    [11, ["::1", 65_535]],
    [12, 1],
    [23, ["/a", "/b"]],
    [24, 1],
    [25, ["cpu,cpuacct", "/x"]],
    [27, ["pipe:[1]", 0]],
    [34, 6],
    [37, "net[5]:k"],
    [37, "file[1:2]"],
    [38, 0x40000000],
    [53, "apparmor:p"],
  ]);
  assert.equal(encodeNotified().toString("hex"), "08061801");
  assert.equal(encodeRequest(request.featureCheck).toString("hex"), "08092a0408011001");
});

test("answers: success, errors, notices, versions, features; broken ones are errors", () => {
  assert.deepEqual(decodeAnswer(Buffer.from("080110013813", "hex")), { type: 1, success: true, errno: 19 });
  assert.deepEqual(decodeAnswer(Buffer.from("08021000", "hex")), { type: 2, success: false, errno: 0 });
  assert.deepEqual(decodeAnswer(Buffer.from(`080610012a09${Buffer.from([0x0a, 4]).toString("hex")}${Buffer.from("post").toString("hex")}10ac02`, "hex")), { type: 6, success: true, errno: 0, notify: { script: "post", pid: 300 } });
  assert.deepEqual(decodeAnswer(Buffer.from("080a10015206080410022001", "hex")).version, 40_201);
  assert.deepEqual(decodeAnswer(Buffer.from("08091001420408011000", "hex")).features, { memoryTracking: true, lazyPages: false });
  for (const broken of ["08", "0a05aa", "09", "08ffffffffffffffffffff01"]) assert.throws(() => decodeAnswer(Buffer.from(broken, "hex")), /criu/);
});
