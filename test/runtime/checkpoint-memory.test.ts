/** Memory that is saved in steps, or fetched when it is wanted: both need a kernel that can do it, as the virtual machine's. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, existsSync, openSync, read, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import { Bundle } from "./bundle.ts";
import { counted, counting, countsPast, criu, imagesOf, needsCriu, ok, program } from "./criu.ts";

/** Without CAP_SYS_RESOURCE criu cannot make the pipe that its page server reads from. */
const pipeSize = 3_354_624;
const maySetPipes = (): boolean => Number(readFileSync("/proc/sys/fs/pipe-max-size", "utf8")) >= pipeSize || (BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))![1]}`) & (1n << 24n)) !== 0n;

test("--pre-dump, then what has changed since beside it", { skip: needsCriu.skip || (criu("check", "--feature", "mem_dirty_track") ? false : "needs a kernel that tracks which memory changes") }, async () => {
  using bundle = new Bundle({ process: counting });
  ok(bundle.runtime("run", "-d", bundle.id));
  await countsPast(bundle, 2);
  ok(bundle.runtime("checkpoint", "--pre-dump", "--image-path", join(bundle.folder, "parent"), bundle.id));
  assert.equal(bundle.state().status, "running");
  ok(bundle.runtime("checkpoint", "--parent-path", "../parent", ...imagesOf(bundle), bundle.id));
  assert.equal(readlinkSync(join(bundle.folder, "images/parent")), "../parent");
  const before = counted(bundle);
  ok(bundle.runtime("restore", "-d", ...imagesOf(bundle), bundle.id));
  await countsPast(bundle, before);
});

const lazySkip = needsCriu.skip || (!criu("check", "--feature", "uffd-noncoop") ? "needs userfaultfd" : maySetPipes() ? false : "needs CAP_SYS_RESOURCE, or a larger fs.pipe-max-size");

test("--lazy-pages: memory follows when it is wanted, over TCP", { skip: lazySkip }, async () => {
  using bundle = new Bundle({ process: counting });
  const images = join(bundle.folder, "images");
  ok(bundle.runtime("run", "-d", bundle.id));
  await countsPast(bundle, 2);
  const port = await freePort();
  const fifo = join(bundle.folder, "ready");
  spawnSync("mkfifo", [fifo]);
  const ready = openSync(fifo, constants.O_RDWR);
  const line = bundle.line(["checkpoint", "--lazy-pages", "--page-server", `127.0.0.1:${port}`, "--status-fd", "3", "--manage-cgroups-mode", "ignore", "--image-path", images, bundle.id]);
  const saving = spawn(program, line, { cwd: bundle.folder, stdio: ["ignore", "ignore", "inherit", ready] });
  const byte = Buffer.alloc(1, "x");
  assert.equal(await new Promise((resolve) => read(ready, byte, 0, 1, null, (_, count) => resolve(count))), 1);
  assert.equal(byte[0], 0);
  closeSync(ready);
  const pages = spawn("criu", ["lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", String(port), "-D", images], { stdio: "ignore" });
  await until("a server of lazy pages", () => existsSync(join(images, "lazy-pages.socket")));
  const before = counted(bundle);
  // The first container is there until its last page is gone: the second one has another name and other groups.
  bundle.configure({ process: counting }, { cgroupsPath: `${bundle.cgroupsPath}2` });
  const other = `${bundle.id}-b`;
  try {
    ok(bundle.runtime("restore", "-d", "--lazy-pages", "--manage-cgroups-mode", "ignore", "--image-path", images, "--work-path", images, other));
    for (const child of [saving, pages]) if (child.exitCode === null) await once(child, "exit");
    assert.deepEqual([saving.exitCode, pages.exitCode], [0, 0]);
    await countsPast(bundle, before);
  } finally {
    bundle.runtime("delete", "--force", other);
    saving.kill();
    pages.kill();
  }
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
