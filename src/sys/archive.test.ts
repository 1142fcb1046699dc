import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, chownSync, closeSync, ftruncateSync, linkSync, lstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { ArchiveStream, type ArchiveBudget, type ArchiveResult, copyTree, extract, emptyFolder, openDirectory, treeUsage, writeTree } from "./archive.ts";
import { type RawEntry, entryBytes, header, padded, tarOf } from "./tar.fixture.ts";

const layer = extract.owner | extract.xattrs | extract.devices | extract.whiteoutOverlay;
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

function folder(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "gantry-archive-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

async function untar(path: string, bytes: Buffer, options: { flags?: number; piece?: number; budget?: Partial<ArchiveBudget> } = {}): Promise<ArchiveResult> {
  const root = openDirectory(path);
  using stream = new ArchiveStream({ root, flags: options.flags ?? layer, ...(options.budget ? { budget: options.budget } : {}) });
  closeSync(root);
  const piece = options.piece ?? bytes.length;
  for (let at = 0; at < bytes.length; at += piece) await stream.push(bytes.subarray(at, at + piece));
  return await stream.finish();
}

/** Extended attributes as GNU tar finds them. */
function xattrs(path: string): Record<string, string> {
  const bytes = execFileSync("tar", ["--xattrs", "--xattrs-include=*", "--format=pax", "--no-recursion", "-cP", path], { encoding: "latin1" });
  const found: Record<string, string> = {};
  for (let at = 512; at < 512 + Number.parseInt(bytes.slice(124, 135), 8) && bytes[156] === "x"; ) {
    const length = Number.parseInt(bytes.slice(at), 10);
    const record = bytes.slice(bytes.indexOf(" ", at) + 1, at + length - 1);
    const equals = record.indexOf("=");
    if (record.startsWith("SCHILY.xattr.")) found[record.slice(13, equals)] = record.slice(equals + 1);
    at += length;
  }
  return found;
}

test("every kind of entry gets its content, owner, mode and time", async () => {
  using root = folder();
  const bytes = tarOf(
    { name: "./", type: "5", mode: 0o1755, mtime: 50, uid: 3 },
    { name: "dir/", type: "5", mode: 0o2750, mtime: 100, uid: 1, gid: 2 },
    { name: "dir/file", data: "content", mode: 0o4711, mtime: 200, uid: 7, gid: 8 },
    { name: "dir/again", type: "1", link: "dir/file" },
    { name: "dir/link", type: "2", link: "../../outside", mtime: 300, uid: 9 },
    { name: "dir/null", type: "3", major: 1, minor: 3, mode: 0o666 },
    { name: "dir/loop", type: "4", major: 7, minor: 0, mode: 0o660 },
    { name: "dir/fifo", type: "6", mode: 0o622 },
    { name: "made/on/the/way", data: "x" },
    { name: "old-folder/", data: "", type: "\0" },
  );
  for (const piece of [1, 511, 512, 513, bytes.length]) {
    const path = join(root.path, String(piece));
    mkdirSync(path);
    const result = await untar(path, bytes, { piece });
    assert.equal(result.diffHex, sha256(bytes));
    assert.equal(result.rootEntry, true);
    const looks = (name: string): unknown[] => {
      const { mode, uid, gid, mtimeMs } = lstatSync(join(path, name));
      return [(mode & 0o7777).toString(8), uid, gid, mtimeMs / 1000];
    };
    assert.deepEqual(looks("."), ["1755", 3, 0, 50]);
    assert.deepEqual(looks("dir"), ["2750", 1, 2, 100]);
    assert.deepEqual(looks("dir/file"), ["4711", 7, 8, 200]);
    assert.deepEqual(looks("dir/link").slice(1), [9, 0, 300]);
    assert.equal(readlinkSync(join(path, "dir/link")), "../../outside");
    assert.equal(lstatSync(join(path, "dir/again")).ino, lstatSync(join(path, "dir/file")).ino);
    assert.equal(lstatSync(join(path, "dir/null")).rdev, 0x103);
    assert.equal(lstatSync(join(path, "dir/loop")).isBlockDevice(), true);
    assert.equal(lstatSync(join(path, "dir/fifo")).isFIFO(), true);
    assert.equal(readFileSync(join(path, "made/on/the/way"), "utf8"), "x");
    assert.equal(lstatSync(join(path, "old-folder")).isDirectory(), true);
  }
});

test("what GNU tar writes of a difficult tree comes back the same, in each of its formats", async () => {
  using root = folder();
  const source = join(root.path, "source");
  mkdirSync(source);
  const long = "n".repeat(200);
  mkdirSync(join(source, long, long), { recursive: true });
  writeFileSync(join(source, long, long, long), "deep");
  writeFileSync(Buffer.concat([Buffer.from(`${source}/latin-`), Buffer.from([0xe9, 0xff])]), "bytes");
  symlinkSync("t".repeat(300), join(source, "long-link"));
  linkSync(join(source, long, long, long), join(source, "hard"));
  const sparse = openSync(join(source, "sparse"), "w");
  for (let at = 0; at < 40; at++) writeSync(sparse, Buffer.alloc(4096, at + 1), 0, 4096, at * (1 << 20));
  ftruncateSync(sparse, 64 << 20);
  closeSync(sparse);
  chownSync(join(source, "sparse"), 3_000_000, 4_000_000);
  chmodSync(join(source, "sparse"), 0o640);
  utimesSync(join(source, "sparse"), 1e9, 1e9);
  execFileSync("mknod", [join(source, "zero"), "c", "1", "5"]);
  const listing = (path: string): string => execFileSync("find", [".", "-printf", "%p %y %m %U %G %s %l %T@\\n"], { cwd: path, encoding: "latin1" }).split("\n").filter((line) => !line.startsWith(". ")).sort().join("\n");
  for (const options of [["--format=gnu", "--sparse"], ["--format=pax", "--sparse", "--sparse-version=0.0"], ["--format=pax", "--sparse", "--sparse-version=0.1"], ["--format=pax", "--sparse", "--sparse-version=1.0"], ["--format=pax"], ["--format=gnu"]]) {
    const target = join(root.path, options.join(""));
    mkdirSync(target);
    const bytes = execFileSync("tar", [...options, "--numeric-owner", "-c", "."], { cwd: source, maxBuffer: 1 << 28 });
    await untar(target, bytes, { piece: 10_007 });
    const whole = (text: string): string => (options[0] === "--format=gnu" ? text.replace(/\.\d+$/gm, "") : text);
    assert.equal(whole(listing(target)), whole(listing(source)), options.join(" "));
    assert.deepEqual(readFileSync(join(target, "sparse")), readFileSync(join(source, "sparse")), options.join(" "));
    if (options.includes("--sparse")) assert.ok(lstatSync(join(target, "sparse")).blocks * 512 < 1 << 20, "holes stay holes");
  }
});

test("extended attributes keep binary values; overlay's own are dropped and counted", async () => {
  using root = folder();
  const capability = Buffer.from([1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const bytes = tarOf(
    { name: "ping", data: "x", uid: 5, mode: 0o755, pax: { "SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.note": Buffer.from([0, 0xff, 0x0a, 0x3d]) } },
    { name: "dir/", type: "5", mode: 0o755, pax: { "SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.overlay.metacopy": "" } },
  );
  const result = await untar(root.path, bytes);
  assert.equal(result.droppedXattrs, 3);
  assert.deepEqual(xattrs(join(root.path, "ping")), { "security.capability": capability.toString("latin1"), "user.note": "\0\u00ff\n=" });
  assert.equal(lstatSync(join(root.path, "ping")).uid, 5);
  assert.deepEqual(xattrs(join(root.path, "dir")), {});
});

test("PAX records replace fields: names, numbers, times with fractions and before 1970", async () => {
  using root = folder();
  const name = Buffer.concat([Buffer.from("pax-"), Buffer.from([0xff]), Buffer.from("x".repeat(150))]);
  await untar(root.path, tarOf(
    { name: "short", pax: { path: name, uid: "3000000", gid: "4000000", mtime: "1234567890.123456789", comment: "ignored" }, data: "1" },
    { name: "early", pax: { mtime: "-1.25" }, data: "2" },
    { name: "wide", patch: [[108, Buffer.from([0x80, 0, 0, 0, 0, 0x2d, 0xc6, 0xc0])]], data: "3" },
    { name: "rest", patch: [[345, "a/long/prefix"]], data: "4" },
  ));
  const { uid, gid, mtimeNs } = lstatSync(Buffer.concat([Buffer.from(`${root.path}/`), name]), { bigint: true });
  assert.deepEqual([uid, gid, mtimeNs], [3000000n, 4000000n, 1234567890123456789n]);
  assert.equal(lstatSync(join(root.path, "early"), { bigint: true }).mtimeNs, -1250000000n);
  assert.equal(lstatSync(join(root.path, "wide")).uid, 3000000);
  assert.equal(readFileSync(join(root.path, "a/long/prefix/rest"), "utf8"), "4");
});

test("global headers are passed over", async () => {
  using root = folder();
  const records = Buffer.from("30 comment=0123456789abcdef01\n");
  const bytes = Buffer.concat([header({ name: "g", type: "g" }, records.length), padded(records), entryBytes({ name: "file", data: "x" }), Buffer.alloc(1024)]);
  await untar(root.path, bytes);
  assert.deepEqual(readdirSync(root.path), ["file"]);
});

test("a later entry of the same name replaces the earlier one, whatever they are", async () => {
  const entries: RawEntry[] = [
    { name: "x", data: "file" },
    { name: "x", type: "5", mode: 0o755 },
    { name: "x/inner", data: "inside" },
    { name: "x", type: "2", link: "elsewhere" },
    { name: "x", type: "6" },
    { name: "x", type: "3", major: 1, minor: 3 },
    { name: "x", data: "another" },
  ];
  const kinds = ["file", "dir", "dir", "link", "fifo", "char", "file"];
  for (let from = 0; from < entries.length; from++) {
    for (let to = 0; to < entries.length; to++) {
      using root = folder();
      const pair = [entries[from], entries[to]].flatMap((entry) => (entry?.name === "x/inner" ? [{ name: "x", type: "5" }, entry] : entry ? [entry] : []));
      await untar(root.path, tarOf(...pair));
      const stat = lstatSync(join(root.path, "x"));
      const kind = stat.isFile() ? "file" : stat.isDirectory() ? "dir" : stat.isSymbolicLink() ? "link" : stat.isFIFO() ? "fifo" : "char";
      assert.equal(kind, kinds[to], `${from} then ${to}`);
    }
  }
});

test("a folder that comes twice keeps its content, and its time is set last", async () => {
  using root = folder();
  await untar(root.path, tarOf({ name: "d/", type: "5", mtime: 10 }, { name: "d/f", data: "1" }, { name: "d/", type: "5", mode: 0o700, mtime: 20 }, { name: "d/g", data: "2" }));
  assert.deepEqual(readdirSync(join(root.path, "d")), ["f", "g"]);
  const { mtimeMs, mode } = statSync(join(root.path, "d"));
  assert.deepEqual([mtimeMs, mode & 0o777], [20_000, 0o700]);
});

test("whiteouts become what overlay understands", async () => {
  using root = folder();
  const { whiteouts } = await untar(root.path, tarOf(
    { name: "d/", type: "5" },
    { name: "d/.wh.gone" },
    { name: "o/", type: "5" },
    { name: "o/.wh..wh..opq" },
    { name: "o/own", data: "1" },
    { name: ".wh..wh.plnk", type: "5" },
    { name: ".wh.becomes-dir" },
    { name: "becomes-dir/", type: "5" },
    { name: "was-dir/", type: "5" },
    { name: ".wh.was-dir" },
    { name: "was-file", data: "1" },
    { name: ".wh.was-file" },
  ));
  assert.equal(whiteouts, 5);
  const gone = lstatSync(join(root.path, "d/gone"));
  assert.deepEqual([gone.isCharacterDevice(), gone.rdev], [true, 0]);
  for (const dir of ["o", "becomes-dir", "was-dir"]) assert.deepEqual(xattrs(join(root.path, dir)), { "trusted.overlay.opaque": "y" }, dir);
  assert.equal(lstatSync(join(root.path, "was-file")).isFile(), true);
  assert.deepEqual(readdirSync(root.path).sort(), ["becomes-dir", "d", "o", "was-dir", "was-file"]);
});

test("applied whiteouts delete what was there, never what their own layer brings", async () => {
  using root = folder();
  const flags = extract.owner | extract.whiteoutApply;
  await untar(root.path, tarOf({ name: "d/old/deep", data: "1" }, { name: "d/stays", data: "1" }, { name: "o/old", data: "1" }, { name: "o/sub/old", data: "1" }, { name: "f", data: "1" }));
  await untar(root.path, tarOf({ name: "d/.wh.old" }, { name: "o/own", data: "2" }, { name: "o/sub/own", data: "2" }, { name: "o/.wh..wh..opq" }, { name: "o/late", data: "2" }, { name: "f", data: "2" }, { name: ".wh.f" }), { flags });
  const files = execFileSync("find", [".", "-type", "f"], { cwd: root.path, encoding: "utf8" }).trim().split("\n").sort();
  assert.deepEqual(files, ["./d/stays", "./f", "./o/late", "./o/own", "./o/sub/own"]);
});

test("gzip, also in several members and with padding, zstd and plain give the same; other compressions are named", async () => {
  const plain = tarOf({ name: "f", data: "x".repeat(100_000) });
  const forms: [Buffer, string][] = [
    [plain, "plain"],
    [gzipSync(plain), "gzip"],
    [Buffer.concat([gzipSync(plain.subarray(0, 700)), gzipSync(Buffer.alloc(0)), gzipSync(plain.subarray(700)), Buffer.alloc(99)]), "gzip"],
    [zstdCompressSync(plain), "zstd"],
    [Buffer.concat([zstdCompressSync(plain.subarray(0, 700)), zstdCompressSync(plain.subarray(700))]), "zstd"],
  ];
  for (const [bytes, compression] of forms) {
    for (const piece of [1, 1000, bytes.length]) {
      if (piece === 1 && compression === "plain") continue;
      using root = folder();
      const result = await untar(root.path, bytes, { piece });
      assert.deepEqual([result.compression, result.diffHex, result.blobHex, result.plainBytes], [compression, sha256(plain), sha256(bytes), plain.length]);
      assert.equal(statSync(join(root.path, "f")).size, 100_000);
    }
  }
  using root = folder();
  await assert.rejects(untar(root.path, Buffer.concat([Buffer.from([0xfd]), Buffer.from("7zXZ\0")])), /xz compression is not supported/);
  await assert.rejects(untar(root.path, Buffer.from("BZh91AY")), /bzip2 compression is not supported/);
});

test("truncated and damaged streams are refused, wherever they break", async () => {
  const plain = tarOf({ name: "d/", type: "5" }, { name: "d/f", data: "y".repeat(5000), pax: { path: "d/g" } });
  for (const whole of [plain.subarray(0, plain.length - 1024), gzipSync(plain), zstdCompressSync(plain)]) {
    for (let length = whole.length - 1; length > 1; length -= 97) {
      if (whole.length > 6000 && (length === 512 || length === 0)) continue;
      using root = folder();
      await assert.rejects(untar(root.path, whole.subarray(0, length)), { code: "EBADMSG" }, `${length} of ${whole.length}`);
    }
  }
});

test("a large layer is untarred on a second thread: the same files and digests, the first error, no further work after it", async () => {
  using root = folder();
  const data = Buffer.alloc(3 << 20, "some text that compresses, ");
  for (let at = 0; at < data.length; at += 5) data[at] = at >> 3;
  const names = Array.from({ length: 6 }, (_, at) => `file-${at}`);
  const good = tarOf(...names.map((name) => ({ name, data })));
  const bad = tarOf(...names.map((name, at) => ({ name: at === 3 ? "../outside" : name, data })));
  const run = async (name: string, bytes: Buffer): Promise<ArchiveResult> => {
    const [into, file] = [join(root.path, name), join(root.path, `${name}.tar`)];
    mkdirSync(into);
    writeFileSync(file, bytes);
    const [dir, fd] = [openDirectory(into), openSync(file, "r")];
    using stream = new ArchiveStream({ root: dir, flags: layer });
    try {
      return await stream.run(fd);
    } finally {
      for (const opened of [dir, fd]) closeSync(opened);
    }
  };
  for (const [kind, bytes] of [["gzip", gzipSync(good, { level: 1 })], ["zstd", zstdCompressSync(good)], ["plain", good]] as const) {
    const result = await run(kind, bytes);
    assert.deepEqual([result.compression, result.diffHex, result.blobHex, result.plainBytes, result.entries], [kind, sha256(good), sha256(bytes), good.length, names.length]);
    for (const name of names) assert.ok(readFileSync(join(root.path, kind, name)).equals(data), name);
  }
  await assert.rejects(run("escape", gzipSync(bad, { level: 1 })), { code: "EXDEV" });
  assert.deepEqual(readdirSync(join(root.path, "escape")), names.slice(0, 3));
  await assert.rejects(run("cut", gzipSync(good, { level: 1 }).subarray(0, -100_000)), { code: "EBADMSG" });
});

test("a layer that relies on its parent says so", async () => {
  using root = folder();
  const flags = layer | extract.needParents;
  await assert.rejects(untar(root.path, tarOf({ name: "usr/bin/x", data: "1" }), { flags }), { code: "ESTALE" });
  await assert.rejects(untar(root.path, tarOf({ name: "x", type: "1", link: "below" }), { flags }), { code: "ESTALE" });
  await untar(root.path, tarOf({ name: "usr/", type: "5" }, { name: "usr/x", data: "1" }), { flags });
});

test("trees are copied whole, summed up and removed, also very deep ones", async () => {
  using root = folder();
  const [from, to] = [join(root.path, "from"), join(root.path, "to")];
  mkdirSync(from);
  mkdirSync(to);
  await untar(from, tarOf(
    { name: "d/", type: "5", mode: 0o2711, mtime: 10 },
    { name: "d/f", data: "x".repeat(9000), uid: 4, mode: 0o4755, mtime: 20, pax: { "SCHILY.xattr.user.k": "v" } },
    { name: "d/h", type: "1", link: "d/f" },
    { name: "l", type: "2", link: "/nowhere" },
    { name: "p", type: "6" },
    { name: "c", type: "3", major: 1, minor: 3 },
  ));
  await copyTree(from, to);
  const listing = (path: string): string => execFileSync("find", [".", "-mindepth", "1", "-printf", "%p %y %m %U %G %n %l %T@\\n"], { cwd: path, encoding: "utf8" }).split("\n").sort().join("\n");
  assert.equal(listing(to), listing(from));
  assert.deepEqual(xattrs(join(to, "d/f")), { "user.k": "v" });
  assert.deepEqual((await treeUsage(to)).inodes, 6);
  execFileSync("sh", ["-c", 'cd "$1"; i=0; while [ $i -lt 1500 ]; do mkdir d; cd -P d; i=$((i+1)); done', "sh", to], { stdio: "ignore" });
  await emptyFolder(to);
  assert.deepEqual(readdirSync(to), []);
});

test("a tree is written as GNU tar reads it, the same bytes each time, and an upper folder as a layer", async () => {
  using root = folder();
  const [from, to, layered] = ["from", "to", "layer"].map((name) => join(root.path, name)) as [string, string, string];
  for (const path of [from, to, layered]) mkdirSync(path);
  const long = "n".repeat(150);
  await untar(from, tarOf(
    { name: "d/", type: "5", mode: 0o2711, mtime: 10, uid: 7 },
    { name: "d/f", data: "x".repeat(700), uid: 4, mode: 0o4755, mtime: 20, pax: { "SCHILY.xattr.user.k": Buffer.from([0, 10, 0xff]), uid: "3000000" } },
    { name: "d/h", type: "1", link: "d/f" },
    { name: "l", type: "2", link: "t".repeat(200), mtime: 5 },
    { name: "p", type: "6", mtime: 5 },
    { name: "c", type: "3", major: 1, minor: 3, mtime: 5 },
    { name: "long", pax: { path: Buffer.concat([Buffer.from(`${long}/`), Buffer.from([0xe9]), Buffer.from(long)]), mtime: "-7" }, data: "1" },
    { name: "gone-parent/", type: "5", mtime: 1 },
    { name: "gone-parent/.wh.gone" },
    { name: "o/", type: "5", mtime: 1 },
    { name: "o/.wh..wh..opq" },
  ));
  const write = async (overlay: boolean): Promise<Buffer> => {
    const path = join(root.path, "out.tar");
    const out = openSync(path, "w");
    await writeTree(from, out, overlay);
    closeSync(out);
    return readFileSync(path);
  };
  const bytes = await write(true);
  assert.deepEqual(await write(true), bytes);
  await untar(layered, bytes);
  const listing = (path: string): string => execFileSync("find", [".", "-mindepth", "1", "-printf", "%p %y %m %U %G %n %l %Ts\\n"], { cwd: path, encoding: "latin1" }).split("\n").filter((line) => !/\.wh\.|gone |^\.\/n{150} /.test(line)).sort().join("\n");
  assert.equal(listing(layered), listing(from));
  assert.deepEqual(xattrs(join(layered, "d/f")), { "user.k": "\0\n\u00ff" });
  assert.equal(lstatSync(join(layered, "gone-parent/gone")).rdev, 0);
  assert.deepEqual(xattrs(join(layered, "o")), { "trusted.overlay.opaque": "y" });
  const names = execFileSync("tar", ["-t", "--quoting-style=literal"], { input: bytes, encoding: "latin1" }).trim().split("\n");
  assert.deepEqual(names.filter((name) => name.includes(".wh.")), ["gone-parent/.wh.gone", "o/.wh..wh..opq"]);
  execFileSync("tar", ["-x", "-C", to], { input: await write(false) });
  assert.equal(lstatSync(join(to, "gone-parent/gone")).isCharacterDevice(), true);
});
