/** A data root that is full or read-only: clear errors, and a daemon that lives. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { Engine } from "../harness/engine.ts";
import { busyboxImage } from "../harness/images.ts";
import { Machine } from "../harness/machine.ts";

test("disk full: the import fails by name, the daemon lives, and works when there is room", async () => {
  const engine = new Engine(await Machine.create());
  try {
    mkdirSync(engine.dataRoot, { recursive: true });
    engine.machine.run("mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", engine.dataRoot);
    engine.machine.run("sh", "-c", `head -c 10m /dev/zero > ${engine.dataRoot}/ballast`);
    await engine.start();
    const failed = await engine.api.send("POST", "/images/create?fromSrc=-&repo=full", { body: busyboxImage() });
    assert.match(failed.body.toString(), /no space left on device/i);
    assert.ok(await engine.answers());
    assert.deepEqual(await engine.api.json("GET", "/images/json"), []);
    engine.machine.run("rm", `${engine.dataRoot}/ballast`);
    await engine.importBusybox();
    const { Id } = await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sh", "-c", "head -c 100m /dev/zero > /big"] } });
    await engine.api.json("POST", `/containers/${Id}/start`);
    assert.equal((await engine.api.json("POST", `/containers/${Id}/wait`)).StatusCode, 1, "the container sees its own write fail");
    assert.ok(await engine.answers());
    await engine.api.json("DELETE", `/containers/${Id}?force=1`);
  } finally {
    await end(engine);
  }
});

test("read-only data root: the daemon says so and ends", async () => {
  const engine = new Engine(await Machine.create());
  try {
    mkdirSync(engine.dataRoot, { recursive: true });
    engine.machine.run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", engine.dataRoot);
    await assert.rejects(engine.start(), (thrown: Error) => /read-only/i.test(thrown.message) && thrown.message.includes(engine.dataRoot));
  } finally {
    await end(engine);
  }
});

test("a data root that turns read-only under the daemon: calls that write fail, the others do not, the daemon lives", async () => {
  const engine = new Engine(await Machine.create());
  try {
    mkdirSync(engine.dataRoot, { recursive: true });
    const disk = `${engine.machine.folder}/disk`;
    engine.machine.run("sh", "-c", `truncate -s 128m ${disk} && mkfs.ext4 -q ${disk} && mount -o loop,errors=remount-ro ${disk} ${engine.dataRoot}`);
    await engine.start();
    await engine.importBusybox();
    engine.machine.run("mount", "-o", "remount,abort", engine.dataRoot);
    const { status, body } = await engine.api.send("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["true"] } });
    assert.equal(status, 500);
    assert.match(JSON.parse(body.toString()).message, /read-?only|EROFS|I\/O error|EIO/i);
    assert.ok(await engine.answers());
    assert.equal((await engine.api.json("GET", "/images/json")).length, 1);
  } finally {
    await end(engine);
  }
});

async function end(engine: Engine): Promise<void> {
  await engine.stop().catch(() => {});
  engine.api.close();
  await engine.machine[Symbol.asyncDispose]();
}
