import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, closeSync, linkSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { RootfsView } from "../core/rootfs.ts";
import type { RootfsMount } from "../core/runtime.ts";
import { ArchiveStream, extract, openDirectory } from "../sys/archive.ts";
import { tarOf } from "../sys/tar.fixture.ts";
import { openRootfs } from "./rootfs-view.ts";

interface Bench {
  view: RootfsView;
  /** A fresh folder to copy into. */
  target: (name: string) => string;
  canary: string;
}

/** The same tree as an overlay of two layers, and as one folder. */
for (const kind of ["overlay", "bind"] as const) {
  const withView = async (run: (bench: Bench) => Promise<void>): Promise<void> => {
    const dir = mkdtempSync(join(tmpdir(), "gantry-view-"));
    try {
      const folders = ["lower", "second", "upper", "work", "canary"].map((name) => join(dir, name));
      for (const folder of folders) mkdirSync(folder);
      const [lower = "", second = "", upper = "", work = "", canary = ""] = folders;
      writeFileSync(join(canary, "secret"), "of the host");
      const [bottom, top] = kind === "overlay" ? [lower, second] : [lower, lower];
      fillRoot(bottom, top, canary);
      await addPing(top);
      const mount: RootfsMount = kind === "overlay" ? { type: "overlay", lower: [second, lower], upper, work, options: [] } : { type: "bind", source: lower, readonly: false };
      using view = openRootfs([mount]);
      await run({
        view,
        canary,
        target: (name) => {
          mkdirSync(join(dir, name));
          return join(dir, name);
        },
      });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };

  test(`${kind}: what paths lead to`, () =>
    withView(async ({ view }) => {
      assert.deepEqual(["/data", "/data/seed", "/none", "/data/seed/below", "/absolute", "relative", "/../data", "/dangling"].map((path) => view.kindOf(path)), ["folder", "other", undefined, undefined, "folder", undefined, "folder", undefined]);
      assert.throws(() => view.kindOf("/loop"), { code: "system", message: "/loop: too many levels of symbolic links" });
    }));

  test(`${kind}: a folder is copied as it is`, () =>
    withView(async ({ view, target }) => {
      const into = target("into");
      assert.equal(await view.copyOut("/data", { folder: into, subpath: "" }), true);
      assert.deepEqual(readdirSync(into).sort(), ["again", "hole", "link", "ping", "seed", "sub", "top"]);
      assert.equal(readFileSync(join(into, "seed"), "utf8"), "seed");
      assert.ok(execFileSync("tar", ["--xattrs", "--xattrs-include=*", "--format=pax", "-cC", into, "ping"], { encoding: "latin1" }).includes("SCHILY.xattr.user.note=kept"));
      const [root, seed, again, hole] = [".", "seed", "again", "hole"].map((name) => statSync(join(into, name)));
      assert.deepEqual([root!.mode & 0o7777, root!.uid, root!.gid], [0o2750, 1000, 1001]);
      assert.deepEqual([seed!.mode & 0o7777, seed!.ino, seed!.nlink], [0o4711, again!.ino, 2]);
      assert.deepEqual([hole!.size, hole!.blocks < 64], [1 << 20, true]);
      assert.equal(readFileSync(join(into, "hole")).at(-1), 0);
      assert.equal(readlinkSync(join(into, "link")), "/etc/shadow");
      assert.equal(statSync(join(into, "top")).size, 300_000);
    }));

  test(`${kind}: nothing is copied into what is not empty, or from what is no folder`, () =>
    withView(async ({ view, target }) => {
      const used = target("used");
      mkdirSync(join(used, "lost+found"));
      assert.equal(await view.copyOut("/data", { folder: used, subpath: "" }), false);
      assert.deepEqual(readdirSync(used), ["lost+found"]);
      for (const path of ["/data/seed", "/none"]) assert.equal(await view.copyOut(path, { folder: target(path.replaceAll("/", "-")), subpath: "" }), false);
    }));

  test(`${kind}: links lead nowhere outside, on both sides`, () =>
    withView(async ({ view, target, canary }) => {
      for (const path of ["/out", "/up", "/../../.."]) {
        const into = target(`into${path.replaceAll("/", "-")}`);
        await view.copyOut(path, { folder: into, subpath: "" });
        assert.ok(!readdirSync(into).includes("secret"), path);
      }
      const into = target("volume");
      symlinkSync(canary, join(into, "escape"));
      mkdirSync(join(into, "part"));
      assert.equal(await view.copyOut("/data", { folder: into, subpath: "escape" }), false);
      assert.equal(await view.copyOut("/data", { folder: into, subpath: "../canary" }), false);
      assert.equal(await view.copyOut("/data", { folder: into, subpath: "part" }), true);
      assert.deepEqual(readdirSync(canary), ["secret"]);
      assert.ok(readdirSync(join(into, "part")).includes("seed"));
    }));
}

/** A file with an extended attribute. */
async function addPing(root: string): Promise<void> {
  const fd = openDirectory(join(root, "data"));
  using stream = new ArchiveStream({ root: fd, flags: extract.owner | extract.xattrs });
  closeSync(fd);
  await stream.push(tarOf({ name: "ping", data: "x", mode: 0o755, pax: { "SCHILY.xattr.user.note": "kept" } }));
  await stream.finish();
}

function fillRoot(bottom: string, top: string, canary: string): void {
  mkdirSync(join(bottom, "data"));
  writeFileSync(join(bottom, "data", "seed"), "seed");
  chmodSync(join(bottom, "data", "seed"), 0o4711);
  linkSync(join(bottom, "data", "seed"), join(bottom, "data", "again"));
  mkdirSync(join(top, "data", "sub"), { recursive: true });
  writeFileSync(join(top, "data", "top"), Buffer.alloc(300_000, "x"));
  writeFileSync(join(top, "data", "hole"), "");
  truncateSync(join(top, "data", "hole"), 1 << 20);
  symlinkSync("/etc/shadow", join(top, "data", "link"));
  for (const [name, to] of [["absolute", "/data"], ["dangling", "/nothing"], ["loop", "loop"], ["out", canary], ["up", `../../../../../..${canary}`]] as const) symlinkSync(to, join(top, name));
  for (const folder of [bottom, top]) {
    chownSync(join(folder, "data"), 1000, 1001);
    chmodSync(join(folder, "data"), 0o2750);
  }
}
