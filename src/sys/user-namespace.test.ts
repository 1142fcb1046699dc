import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, closeSync, lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { UserMaps } from "../lib/user-maps.ts";
import { ArchiveStream, extract, openDirectory, openOverlay, tarFrom, writeOpenTree } from "./archive.ts";
import { tarOf } from "./tar.fixture.ts";
import { commonFolder, openMapped, userNamespaceOf } from "./user-namespace.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const withoutPython = spawnSync("python3", ["--version"]).status === 0 ? false : "needs python3, which reads extended attributes";
const maps: UserMaps = { uids: [{ containerID: 0, hostID: 200_000, size: 1000 }], gids: [{ containerID: 0, hostID: 300_000, size: 1000 }] };

async function inScratch(run: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "gantry-userns-"));
  try {
    await run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const ownerAt = (path: string): string => `${lstatSync(path).uid}:${lstatSync(path).gid}`;

test("the folder that all paths are in", () => {
  assert.equal(commonFolder(["/a/b/c", "/a/b/d/e", "/a/bc"]), "/a");
  assert.equal(commonFolder(["/a/b", "/c"]), "/");
  assert.equal(commonFolder(["/a/b/c"]), "/a/b");
});

test("a mapped mount shows the ids of the namespace and takes no others", { skip }, () =>
  inScratch((folder) => {
    mkdirSync(join(folder, "in"));
    writeFileSync(join(folder, "in/file"), "x");
    chownSync(join(folder, "in/file"), 5, 6);
    const fd = openMapped(join(folder, "in"), maps);
    assert.equal(ownerAt(`/proc/self/fd/${fd}/file`), "200005:300006");
    assert.throws(() => writeFileSync(`/proc/self/fd/${fd}/new`, ""), { code: "EOVERFLOW" });
    closeSync(fd);
    assert.equal(userNamespaceOf(maps), userNamespaceOf(structuredClone(maps)));
  }));

test("an overlay of mapped layers: copied up and made files are on the disk what they are inside", { skip }, () =>
  inScratch(async (folder) => {
    for (const name of ["lower", "upper", "work"]) mkdirSync(join(folder, name));
    writeFileSync(join(folder, "lower/file"), "old");
    chownSync(join(folder, "lower/file"), 7, 8);
    const root = openOverlay({ lower: [join(folder, "lower")], own: { upper: join(folder, "upper"), work: join(folder, "work") }, options: [], maps });
    try {
      assert.equal(ownerAt(`/proc/self/fd/${root}/file`), "200007:300008");
      await untar(root, tarOf({ name: "made/below", data: "x", uid: 1, gid: 2 }, { name: "file", data: "new", uid: 7, gid: 8 }), maps);
      assert.equal(ownerAt(`/proc/self/fd/${root}/file`), "200007:300008");
      assert.equal(ownerAt(join(folder, "upper/file")), "7:8");
      assert.deepEqual([ownerAt(join(folder, "upper/made")), ownerAt(join(folder, "upper/made/below"))], ["0:0", "1:2"]);
    } finally {
      closeSync(root);
    }
  }));

test("archives have the container's ids, and its file capabilities are its root's", { skip: skip || withoutPython }, () =>
  inScratch(async (folder) => {
    for (const name of ["host", "back"]) mkdirSync(join(folder, name));
    const capability = Buffer.from([1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const [root, back] = [openDirectory(join(folder, "host")), openDirectory(join(folder, "back"))];
    await untar(root, tarOf({ name: "program", data: "x", uid: 9, gid: 10, mode: 0o755, pax: { "SCHILY.xattr.security.capability": capability } }), maps);
    assert.equal(ownerAt(join(folder, "host/program")), "200009:300010");
    const mapped = Buffer.concat([capability, Buffer.from(Uint32Array.of(200_000).buffer)]);
    mapped[3] = 3;
    assert.equal(capabilityOf(join(folder, "host/program")), mapped.toString("hex"));
    const chunks = [];
    for await (const chunk of tarFrom(root, (out) => writeOpenTree(root, out, maps))) chunks.push(chunk);
    await untar(back, Buffer.concat(chunks));
    closeSync(back);
    assert.equal(ownerAt(join(folder, "back/program")), "9:10");
    assert.equal(capabilityOf(join(folder, "back/program")), capability.toString("hex"));
  }));

test("an id beyond the maps is no id inside, and cannot come in", { skip }, () =>
  inScratch(async (folder) => {
    const root = openDirectory(folder);
    await assert.rejects(untar(root, tarOf({ name: "file", data: "x", uid: 1000 }), maps), { code: "EOVERFLOW" });
    closeSync(root);
  }));

const capabilityOf = (path: string): string => execFileSync("python3", ["-c", "import os, sys; print(os.getxattr(sys.argv[1], 'security.capability').hex())", path], { encoding: "utf8" }).trim();

async function untar(root: number, bytes: Buffer, ids?: UserMaps): Promise<void> {
  using stream = new ArchiveStream({ root, flags: extract.owner | extract.xattrs | extract.copy, ...(ids ? { maps: ids } : {}) });
  await stream.push(bytes);
  await stream.finish();
}
