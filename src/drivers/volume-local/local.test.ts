import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { volumeDriverContract } from "../../core/volume.contract.ts";
import { bindOpen, detachNow, flag } from "../../sys/mounts.ts";
import { openDirectory } from "../../sys/archive.ts";
import { makeLoopDisk } from "../../sys/loop-disk.testing.ts";
import { create } from "./index.ts";
import { parseMountWords } from "../../sys/mount-words.ts";
import { withAddresses } from "./network-address.ts";
import { validateOptions } from "./options.ts";

volumeDriverContract("local", create, { type: "tmpfs", device: "tmpfs", o: "size=1m" });

test("options are refused in Docker's words", () => {
  for (const [options, message] of [
    [{ nosuch: "1" }, 'invalid option: "nosuch"'],
    [{ device: "/x" }, 'missing required option: "type"'],
    [{ type: "tmpfs" }, 'missing required option: "device"'],
    [{ o: "bind" }, 'missing required option: "device"'],
    [{ size: "10m" }, "quota size requested but no quota support"],
    [{ size: "zz" }, "invalid size: 'zz'"],
    [{ type: "cifs", device: "//server:445/share" }, "port not allowed in CIFS device URL, include 'port' in 'o='"],
  ] as const) {
    assert.throws(() => validateOptions(options, { quotas: false }), { code: "invalid-parameter", message });
  }
  validateOptions({ size: "0" }, { quotas: false });
  validateOptions({ size: "10m" }, { quotas: true });
  validateOptions({ type: "nfs", device: ":/share", o: "addr=10.0.0.1,rw" }, { quotas: false });
});

test("mount words become flags, propagation and data", () => {
  assert.deepEqual(parseMountWords("size=1m,uid=1000"), { flags: 0, propagation: 0, data: "size=1m,uid=1000" });
  assert.deepEqual(parseMountWords("rbind,ro,nosuid,suid"), { flags: flag.bind | flag.rec | flag.rdonly, propagation: 0, data: "" });
  assert.deepEqual(parseMountWords("bind,rslave"), { flags: flag.bind | flag.rec, propagation: flag.slave | flag.rec, data: "" });
  assert.deepEqual(parseMountWords("ro,rw,constructor"), { flags: 0, propagation: 0, data: "constructor" });
  assert.deepEqual(parseMountWords(""), { flags: 0, propagation: 0, data: "" });
});

test("servers' names become addresses for nfs and cifs only", async () => {
  const lookup = async (host: string): Promise<string> => {
    if (host === "unknown") throw new Error("ENOTFOUND");
    return "10.1.2.3";
  };
  const source = (options: Record<string, string>): Promise<object> => withAddresses(options, lookup);
  assert.deepEqual(await source({ type: "nfs", device: ":/x", o: "addr=server,rw" }), { device: ":/x", words: "addr=10.1.2.3,rw" });
  assert.deepEqual(await source({ type: "nfs", device: ":/x", o: "addr=10.0.0.9" }), { device: ":/x", words: "addr=10.0.0.9" });
  assert.deepEqual(await source({ type: "cifs", device: "//server/share", o: "user=a" }), { device: "//10.1.2.3/share", words: "user=a" });
  assert.deepEqual(await source({ type: "tmpfs", device: "tmpfs", o: "addr=server" }), { device: "tmpfs", words: "addr=server" });
  await assert.rejects(source({ type: "nfs", device: ":/x", o: "addr=unknown" }), { message: "error resolving passed in network volume address: lookup unknown: no such host" });
});

async function withDriver(run: (dir: string, driver: ReturnType<typeof create>) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "gantry-volumes-"));
  const driver = create(join(dir, "volumes"));
  try {
    await run(dir, driver);
  } finally {
    await driver.settled();
    rmSync(dir, { recursive: true, force: true });
  }
}

test("a bind shows its source, read-only when asked for", () =>
  withDriver(async (dir, driver) => {
    mkdirSync(join(dir, "source"));
    writeFileSync(join(dir, "source", "file"), "x");
    const spec = { name: "bound", options: { type: "none", device: join(dir, "source"), o: "bind,ro" } };
    await driver.create(spec);
    const path = await driver.mount(spec, "one");
    assert.deepEqual(readdirSync(path), ["file"]);
    assert.throws(() => writeFileSync(join(path, "more"), ""), { code: "EROFS" });
    await driver.unmount(spec, "one");
    assert.deepEqual(readdirSync(path), []);
    await driver.remove(spec);
    assert.deepEqual(readdirSync(join(dir, "source")), ["file"]);
  }));

test("a mount that fails says what was tried, without the password", () =>
  withDriver(async (_dir, driver) => {
    const bound = { name: "bound", options: { type: "none", device: "/no/such/folder", o: "bind" } };
    await driver.create(bound);
    await assert.rejects(driver.mount(bound, "one"), { code: "system", message: `failed to mount local volume: mount /no/such/folder:${driver.path("bound")}, flags: 0x1000: no such file or directory` });
    const secret = { name: "secret", options: { type: "nosuchfs", device: "none", o: "user=a,password=hidden" } };
    await driver.create(secret);
    await assert.rejects(driver.mount(secret, "one"), (error: Error) => error.message.includes("data: user=a,password=********: no such device") && !error.message.includes("hidden"));
    await driver.remove(bound);
    await driver.remove(secret);
  }));

test("a volume below which something else is mounted is not deleted", () =>
  withDriver(async (dir, driver) => {
    mkdirSync(join(dir, "source"));
    writeFileSync(join(dir, "source", "canary"), "x");
    const spec = { name: "data", options: {} };
    await driver.create(spec);
    bindOpen(openDirectory(join(dir, "source")), driver.path("data"));
    try {
      await assert.rejects(driver.remove(spec), { message: `something is mounted at ${driver.path("data")}: unmount it first, its files would be deleted` });
    } finally {
      detachNow(driver.path("data"));
    }
    await driver.remove(spec);
    await driver.settled();
    assert.deepEqual(readdirSync(join(dir, "source")), ["canary"]);
  }));

test("a volume takes no more than its size", async (context) => {
  const made = makeLoopDisk({ format: "mkfs.ext4 -q -O quota,project -E quotatype=prjquota", options: "prjquota", megabytes: 64 });
  if ("missing" in made) return context.skip(`needs ${made.missing}`);
  using stack = new DisposableStack();
  stack.use(made);
  const driver = create(join(made.dir, "volumes"));
  const spec = { name: "data", options: { size: "1m" } };
  driver.validate(spec);
  await driver.create(spec);
  const path = await driver.mount(spec, "one");
  // As a container does without CAP_SYS_RESOURCE, to which ext4 sets no limit.
  const write = (): void => void execFileSync("setpriv", ["--bounding-set=-sys_resource", "dd", "if=/dev/zero", `of=${path}/big`, "bs=64k", "count=32"], { stdio: "pipe" });
  assert.throws(write, /quota|No space/);
  const { size } = statSync(join(path, "big"));
  assert.ok(size > 1 << 19 && size <= 1 << 20, String(size));
  await driver.unmount(spec, "one");
  await driver.remove(spec);
  await driver.settled();
  const free = { name: "data", options: {} };
  await driver.create(free);
  writeFileSync(join(await driver.mount(free, "one"), "big"), Buffer.alloc(2 << 20));
});
