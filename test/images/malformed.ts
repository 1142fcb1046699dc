/**
 * Archives that are wrong or odd in themselves, by rule: fields of headers × values, extended records × values, maps of sparse files, kinds of entries
 * upon one another, compressed streams that are cut, damaged, or bombs. Some are refused, some can be read; none may do harm, or take long.
 */
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { type RawEntry, entryBytes, header, padded, paxRecord, tarOf } from "../../src/sys/tar.fixture.ts";

export type Malformed = Record<string, () => Buffer>;

const end = Buffer.alloc(1024);
const marker: RawEntry = { name: "after", data: "x" };

/** Big-endian base-256, as large numbers are written. */
function base256(value: bigint, size: number): Buffer {
  const bytes = Buffer.from((value & ((1n << BigInt(size * 8)) - 1n)).toString(16).padStart(size * 2, "0"), "hex");
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}

const fields: Record<string, [offset: number, size: number]> = { mode: [100, 8], uid: [108, 8], gid: [116, 8], size: [124, 12], mtime: [136, 12], major: [329, 8], minor: [337, 8] };
const numbers: Record<string, (size: number) => Buffer> = {
  "of letters": (size) => Buffer.from("abcdefghijkl".slice(0, size)),
  "with a sign": (size) => Buffer.from("-1".padEnd(size, "\0")),
  "in hexadecimal": (size) => Buffer.from("0x1".padEnd(size, "\0")),
  "of no octal digits": (size) => Buffer.from("9".repeat(size)),
  "without an end": (size) => Buffer.from("7".repeat(size)),
  "of nothing": (size) => Buffer.alloc(size),
  "negative": (size) => Buffer.alloc(size, 0xff),
  "beyond 32 bits": (size) => base256(0x100000000n, size),
  "beyond 63 bits": (size) => Buffer.concat([Buffer.from([0x80]), Buffer.alloc(size - 1, 0xff)]),
};

function wrongNumbers(): Malformed {
  const archives: Malformed = {};
  for (const [field, [offset, size]] of Object.entries(fields)) {
    const type = field === "major" || field === "minor" ? "3" : "0";
    for (const [what, value] of Object.entries(numbers)) archives[`a ${field} ${what}`] = () => tarOf({ name: "f", type, major: 1, minor: 3, patch: [[offset, value(size)]] }, marker);
  }
  return archives;
}

const keys = ["path", "linkpath", "size", "uid", "gid", "mtime", "atime", "hdrcharset", "SCHILY.xattr.user.x", "SCHILY.xattr.", "SCHILY.xattr.trusted.overlay.redirect", "GNU.sparse.size", "GNU.sparse.map", "GNU.sparse.numbytes", "GNU.sparse.name"];
const values: Record<string, string> = { nothing: "", "a NUL": "x\0y", letters: "abc", "a negative number": "-1", "twenty digits": "9".repeat(20), "a path that leads out": "../../../x", "a line of 100 KB": "1".repeat(100_000) };

function wrongRecords(): Malformed {
  const archives: Malformed = {};
  for (const key of keys) for (const [what, value] of Object.entries(values)) archives[`${what} as ${key}`] = () => tarOf({ name: "f", type: key === "linkpath" ? "2" : "0", link: "t", pax: { [key]: value } }, marker);
  const records = { "too long": "99 path=x\n", "of length 0": "0 path=x\n", "of negative length": "-9 path=x\n", "without =": "7 path\n", "without a newline": "9 path=xy", "of an endless length": `${"9".repeat(20)} path=x\n`, "that ends in its length": "3 \n", "without a key": "5 =x\n" };
  for (const type of ["x", "g", "X"])
    for (const [what, text] of Object.entries(records)) archives[`a record ${what} in ${type}`] = () => Buffer.concat([header({ name: "p", type }, text.length), padded(Buffer.from(text)), entryBytes({ name: "f" }), end]);
  return archives;
}

function metaHeaders(): Malformed {
  const archives: Malformed = {};
  for (const type of ["x", "g", "L", "K"]) {
    const text = type === "x" || type === "g" ? paxRecord("path", "f") : Buffer.from("f\0");
    const meta = Buffer.concat([header({ name: "m", type }, text.length), padded(text)]);
    archives[`${type} before nothing`] = () => Buffer.concat([meta, end]);
    archives[`${type} cut off`] = () => meta.subarray(0, 600);
    archives[`${type} a thousand times`] = () => Buffer.concat([...Array.from({ length: 1000 }, () => meta), entryBytes(marker), end]);
    archives[`${type} that says it is huge`] = () => Buffer.concat([header({ name: "m", type, size: 2 ** 33 - 1 }, 0), padded(text), end]);
    archives[`${type} that is empty`] = () => Buffer.concat([header({ name: "m", type }, 0), entryBytes({ name: "f", type: "1", link: "f" }), end]);
    archives[`${type} of 900 KB`] = () => Buffer.concat([header({ name: "m", type }, 900_000), padded(type === "x" || type === "g" ? paxRecord("path", "a/".repeat(449_990)) : Buffer.alloc(900_000, "a/")), entryBytes({ name: "f", type: "1", link: "f" }), end]);
  }
  return archives;
}

const maps: Record<string, string> = { "out of order": "5,1,0,1", "that overlaps": "0,2,1,1", "beyond the file": "99,2", "larger than the data": "0,99", "that overflows": "9223372036854775807,2", "of one number": "1", "of letters": "a,b", "of negative numbers": "-1,2", "of nothing": "" };

function sparse(): Malformed {
  const archives: Malformed = {};
  for (const [what, map] of Object.entries(maps)) {
    const pairs = map === "" ? [] : map.split(",");
    const old = Buffer.alloc(96);
    for (const [at, text] of pairs.entries()) old.write((Number(text) > 0 && at < 8 ? BigInt(text).toString(8).slice(0, 11) : text).padStart(11, "0"), at * 12);
    archives[`a sparse map ${what}, in the header`] = () => tarOf({ name: "s", type: "S", data: "xy", patch: [[386, old], [483, "00000000011\0"]] }, marker);
    archives[`a sparse map ${what}, in a record`] = () => tarOf({ name: "s", data: "xy", pax: { "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": map, "GNU.sparse.size": "9" } }, marker);
    archives[`a sparse map ${what}, in the data`] = () => tarOf({ name: "s", data: `${[Math.ceil(pairs.length / 2), ...pairs].join("\n")}\n`.padEnd(512, "\0") + "xy", pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" } }, marker);
  }
  archives["a sparse map in data that never ends"] = () => tarOf({ name: "s", data: "9".repeat(2000), pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0" } });
  archives["a sparse map of 100,000 parts"] = () => tarOf({ name: "s", data: `100000\n${"0\n0\n".repeat(100_000)}`, pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" } });
  archives["a sparse file of 8 EiB"] = () => tarOf({ name: "s", pax: { "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "", "GNU.sparse.size": "9000000000000000000" } });
  archives["a sparse folder"] = () => tarOf({ name: "s/", type: "5", pax: { "GNU.sparse.map": "", "GNU.sparse.major": "0", "GNU.sparse.minor": "1" } });
  archives["an unknown sparse format"] = () => tarOf({ name: "s", pax: { "GNU.sparse.major": "2", "GNU.sparse.minor": "0" } });
  return archives;
}

const kinds: Record<string, RawEntry> = {
  "a file": { name: "n", data: "x" },
  "a folder": { name: "n/", type: "5" },
  "a symbolic link": { name: "n", type: "2", link: "/etc/passwd" },
  "a hard link": { name: "n", type: "1", link: "first" },
  "a hard link to itself": { name: "n", type: "1", link: "n" },
  "a FIFO": { name: "n", type: "6" },
  "a device": { name: "n", type: "3", major: 1, minor: 3 },
  "a mark of overlay": { name: "n", type: "3", major: 0, minor: 0 },
  "a whiteout": { name: ".wh.n" },
  "an opaque mark": { name: "n/.wh..wh..opq" },
  "something in it": { name: "n/in/it", data: "y" },
};

/** Each kind after each other, with one name. */
function conflicts(): Malformed {
  const archives: Malformed = {};
  for (const [first, one] of Object.entries(kinds)) for (const [then, other] of Object.entries(kinds)) archives[`${first}, then ${then}`] = () => tarOf({ name: "first", data: "1" }, one, other, marker);
  for (const name of ["", ".", "./", "/", "//", "..", ".wh.", ".wh..", ".wh...", ".wh..wh..plnk", "a/./b", "a//b", "\x01", "a".repeat(99), "%2e%2e/x", "..\\x", "C:\\x", "dev/null", "proc/self/x"])
    for (const type of ["0", "5", "2"]) archives[`the name ${JSON.stringify(name)}, kind ${type}`] = () => tarOf({ name, type, link: "t", data: type === "0" ? "x" : "" }, marker);
  for (const type of ["D", "M", "N", "V", "Z", "\xff"]) archives[`an entry of kind ${type}`] = () => tarOf({ name: "f", type, data: "x" }, marker);
  return archives;
}

const compressed: Record<string, (bytes: Buffer) => Buffer> = { gzip: (bytes) => gzipSync(bytes), zstd: (bytes) => zstdCompressSync(bytes) };

function streams(): Malformed {
  const whole = tarOf({ name: "f", data: "data".repeat(500) }, marker);
  const archives: Malformed = { "nothing at all": () => Buffer.alloc(0), "no tar": () => Buffer.alloc(2048, "x"), "an end in the middle": () => Buffer.concat([entryBytes(marker), end, entryBytes({ name: "../x" })]), "one block of zeros": () => Buffer.concat([entryBytes(marker), Buffer.alloc(512), entryBytes(marker)]) };
  archives["a wrong checksum"] = () => tarOf({ name: "f", checksum: 1 });
  for (const cut of [1, 100, 511, 513, 1000, 2000]) archives[`cut off after ${cut} bytes`] = () => whole.subarray(0, cut);
  for (const [how, compress] of Object.entries(compressed)) {
    const bytes = compress(whole);
    for (const [part, cut] of Object.entries({ "in its head": 5, "in its middle": bytes.length >> 1, "before its end": bytes.length - 2 })) archives[`${how} cut off ${part}`] = () => bytes.subarray(0, cut);
    archives[`${how} with a wrong byte`] = () => Buffer.from(bytes).fill(0x55, bytes.length >> 1, (bytes.length >> 1) + 1);
    archives[`${how} with a wrong sum`] = () => Buffer.from(bytes).fill(0x55, bytes.length - 6, bytes.length - 4);
    archives[`${how} twice`] = () => compress(bytes);
    archives[`${how} with something behind it`] = () => Buffer.concat([bytes, Buffer.from("rest")]);
    archives[`${how} of a thousand empty parts`] = () => Buffer.concat([...Array.from({ length: 1000 }, () => compress(Buffer.alloc(0))), bytes]);
    archives[`${how} of nothing`] = () => compress(Buffer.alloc(0));
    archives[`${how} of 8 MiB of zeros`] = () => compress(Buffer.alloc(8 << 20));
    archives[`${how} of a file that says more than it has`] = () => compress(Buffer.concat([header({ name: "f", size: 2 ** 33 - 1 }, 0), Buffer.alloc(4096)]));
  }
  archives["zstd with a window of 2 GiB"] = () => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00]);
  archives["zstd of frames that are skipped"] = () => Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]), zstdCompressSync(whole)]);
  archives["a frame that is skipped without end"] = () => Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff, 1]);
  archives["deflate without a head"] = () => deflateSync(whole);
  archives.brotli = () => brotliCompressSync(whole);
  for (const [how, magic] of Object.entries({ bzip2: "BZh91AY&SY", xz: "\xfd7zXZ\0", lzma: "\x5d\0\0\x80\0", zip: "PK\x03\x04" })) archives[`${how} that is none`] = () => Buffer.concat([Buffer.from(magic, "latin1"), Buffer.alloc(600, 0x5a)]);
  return archives;
}

/** Depth, numbers and lengths that take long where time is quadratic. */
function floods(): Malformed {
  return {
    "a thousand folders deep": () => tarOf({ name: "x", pax: { path: `${"d/".repeat(1000)}x` } }),
    "ten thousand whiteouts": () => Buffer.concat([...Array.from({ length: 10_000 }, () => entryBytes({ name: "d/.wh.x" })), end]),
    "a thousand entries of one name": () => tarOf(...Array.from({ length: 1000 }, (_, at) => (at % 2 === 0 ? { name: "n", data: "x" } : { name: "n/", type: "5" }))),
    "a thousand hard links": () => tarOf({ name: "n", data: "x" }, ...Array.from({ length: 1000 }, (_, at) => ({ name: `h${at}`, type: "1", link: "n" }))),
    "a chain of links": () => tarOf(...Array.from({ length: 200 }, (_, at) => ({ name: `l${at}`, type: "2", link: `l${at + 1}` })), { name: "l0/x", data: "x" }),
    "a circle of links": () => tarOf({ name: "a", type: "2", link: "b" }, { name: "b", type: "2", link: "a" }, { name: "a/x", data: "x" }),
    "ten thousand attributes": () => tarOf({ name: "f", pax: Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`SCHILY.xattr.user.n${at}`, ""])) }),
    "an attribute of 100 KB": () => tarOf({ name: "f", pax: { "SCHILY.xattr.user.n": "x".repeat(100_000) } }),
  };
}

export const malformed: Malformed = { ...wrongNumbers(), ...wrongRecords(), ...metaHeaders(), ...sparse(), ...conflicts(), ...streams(), ...floods() };
