/** Storage drivers under the whole daemon: images outlive a change of the driver, containers are kept from harm; sizes of containers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { eventually } from "../../src/lib/eventually.testing.ts";
import { Engine, withEngine } from "../harness/engine.ts";
import { Machine } from "../harness/machine.ts";

async function create(engine: Engine, command: string, hostConfig: object = {}): Promise<string> {
  return (await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sh", "-c", command], HostConfig: hostConfig } })).Id;
}

async function finish(engine: Engine, id: string): Promise<number> {
  await engine.api.json("POST", `/containers/${id}/start`);
  return (await engine.api.json("POST", `/containers/${id}/wait`)).StatusCode;
}

async function refusal(engine: Engine, method: string, path: string): Promise<[status: number, message: string]> {
  const { status, body } = await engine.api.send(method, path);
  return [status, JSON.parse(body.toString()).message];
}

async function restart(engine: Engine, driver: string): Promise<void> {
  await engine.stop();
  await engine.start({ flags: ["--storage-driver", driver] });
  assert.equal((await engine.api.json("GET", "/info")).Driver, driver);
}

test("another storage driver: images are unpacked anew, containers of the old one are listed and refused", () =>
  withEngine(async (engine) => {
    const old = await create(engine, "echo kept > /file");
    assert.equal(await finish(engine, old), 0);
    await restart(engine, "vfs");
    const other = await create(engine, "test -x /bin/busybox");
    assert.equal(await finish(engine, other), 0);
    assert.deepEqual((await engine.api.json("GET", "/containers/json?all=1&size=1")).map(({ Id }: { Id: string }) => Id), [other, old]);
    for (const [method, path] of [["POST", `/containers/${old}/start`], ["GET", `/containers/${old}/changes`], ["GET", `/containers/${old}/export`], ["POST", `/commit?container=${old}`]] as const) {
      const [status, message] = await refusal(engine, method, path);
      assert.equal(status, 409, path);
      assert.match(message, /was made with the storage driver overlay2, and this daemon runs with vfs: start the daemon with --storage-driver=overlay2/);
    }
    assert.deepEqual((await engine.api.json("POST", "/system/check")).Problems, []);
    await restart(engine, "overlay2");
    assert.deepEqual(await engine.api.json("GET", `/containers/${old}/changes`), [{ Path: "/file", Kind: 1 }]);
    assert.equal(await finish(engine, old), 0);
  }));

test("a container's size without quotas: taken at create as Docker does, refused at the start by name", () =>
  withEngine(async (engine) => {
    const sized = await create(engine, "true", { StorageOpt: { size: "1G" } });
    const [status, message] = await refusal(engine, "POST", `/containers/${sized}/start`);
    assert.equal(status, 400);
    assert.match(message, /--storage-opt is supported only for overlay over xfs with 'pquota' mount option, or over ext4 with 'prjquota'/);
    const unknown = await create(engine, "true", { StorageOpt: { nosuch: "1" } });
    assert.match((await refusal(engine, "POST", `/containers/${unknown}/start`))[1], /Unknown option nosuch/);
    assert.equal(await finish(engine, await create(engine, "true", { StorageOpt: {} })), 0);
  }));

test("btrfs: chosen where the data root was made with it; a container's life, its changes, size and image", async (context) => {
  if (!readFileSync("/proc/filesystems", "utf8").includes("btrfs") || spawnSync("mkfs.btrfs", ["--version"]).status !== 0) return context.skip("needs btrfs and mkfs.btrfs");
  const engine = new Engine(await Machine.create());
  try {
    const disk = `${engine.machine.folder}/disk`;
    mkdirSync(engine.dataRoot, { recursive: true });
    engine.machine.run("sh", "-c", `truncate -s 512M ${disk} && mkfs.btrfs -q ${disk} && mount -o loop ${disk} ${engine.dataRoot}`);
    await engine.start({ flags: ["--storage-driver", "btrfs"] });
    await engine.importBusybox();
    await engine.stop();
    await engine.start();
    const { Driver, DriverStatus } = await engine.api.json("GET", "/info");
    assert.deepEqual([Driver, DriverStatus], ["btrfs", [["Btrfs", ""]]]);
    const one = await create(engine, "echo new > /made; rm /bin/sh; test -f /.dockerenv");
    assert.equal(await finish(engine, one), 0);
    assert.deepEqual(await engine.api.json("GET", `/containers/${one}/changes`), [{ Path: "/bin", Kind: 0 }, { Path: "/bin/sh", Kind: 2 }, { Path: "/made", Kind: 1 }]);
    await engine.api.json("POST", "/commit", { query: { container: one, repo: "changed" }, json: {} });
    const two = (await engine.api.json("POST", "/containers/create", { json: { Image: "changed", Cmd: ["busybox", "sh", "-c", "grep new /made && ! test -e /bin/sh"] } })).Id;
    assert.equal(await finish(engine, two), 0);
    const limited = await create(engine, "dd if=/dev/zero of=/big bs=1M count=64", { StorageOpt: { size: "32M" } });
    assert.notEqual(await finish(engine, limited), 0);
    for (const { Id } of await engine.api.json("GET", "/containers/json?all=1")) await engine.api.json("DELETE", `/containers/${Id}`);
    assert.deepEqual((await engine.api.json("POST", "/system/check")).Problems, []);
  } finally {
    await engine.stop().catch(() => {});
    engine.api.close();
    await engine.machine[Symbol.asyncDispose]();
  }
});

test("fuse-overlayfs: a container's life, also without the daemon; nothing of it is left", async (context) => {
  if (!existsSync("/dev/fuse") || spawnSync("fuse-overlayfs", ["--version"]).status !== 0) return context.skip("needs fuse-overlayfs and /dev/fuse");
  await withEngine(async (engine) => {
    await restart(engine, "fuse-overlayfs");
    const servers = (): number => engine.machine.run("ps", "-eo", "comm=").split("\n").filter((name) => name.trim() === "fuse-overlayfs").length;
    const id = await create(engine, "rm /bin/vi; until [ -e /end ]; do sleep 0.1; done; echo written > /made");
    await engine.api.json("POST", `/containers/${id}/start`);
    assert.equal(servers(), 1);
    await engine.kill();
    await engine.start({ flags: ["--storage-driver", "fuse-overlayfs"] });
    const { Id: exec } = await engine.api.json("POST", `/containers/${id}/exec`, { json: { Cmd: ["touch", "/end"] } });
    await engine.api.json("POST", `/exec/${exec}/start`, { json: { Detach: true } });
    assert.equal((await engine.api.json("POST", `/containers/${id}/wait`)).StatusCode, 0);
    assert.deepEqual(await engine.api.json("GET", `/containers/${id}/changes`), [{ Path: "/bin", Kind: 0 }, { Path: "/bin/vi", Kind: 2 }, { Path: "/end", Kind: 1 }, { Path: "/made", Kind: 1 }]);
    assert.equal((await engine.api.send("GET", `/containers/${id}/archive?path=/made`)).status, 200, "of a container that does not run");
    await engine.api.json("POST", "/commit", { query: { container: id, repo: "changed" }, json: {} });
    assert.equal(await finish(engine, (await engine.api.json("POST", "/containers/create", { json: { Image: "changed", WorkingDir: "/tmp", Cmd: ["sh", "-c", "grep written /made && ! test -e /bin/vi"] } })).Id), 0);
    await eventually(() => assert.equal(servers(), 0, "a program that serves nobody"));
  });
});
