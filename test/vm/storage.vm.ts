/** devicemapper under the whole daemon, on a kernel that has thin pools. The driver's own tests run here, too. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Engine, withEngine } from "../harness/engine.ts";

const options = ["dm.loopdatasize=1G", "dm.loopmetadatasize=32M", "dm.basesize=128M", "dm.fs=ext4"];
const devicemapper = ["--storage-driver", "devicemapper", ...options.flatMap((option) => ["--storage-opt", option])];

async function create(engine: Engine, command: string, body: object = {}): Promise<string> {
  return (await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sh", "-c", command], ...body } })).Id;
}

async function finish(engine: Engine, id: string): Promise<number> {
  await engine.api.json("POST", `/containers/${id}/start`);
  return (await engine.api.json("POST", `/containers/${id}/wait`)).StatusCode;
}

async function restart(engine: Engine, flags: string[]): Promise<void> {
  await engine.stop();
  await engine.start({ flags });
}

test("devicemapper: images of another driver are kept, a container's life also without the daemon, its changes, size and image; nothing is left", () =>
  withEngine(async (engine) => {
    const { api } = engine;
    const old = await create(engine, "echo kept > /file");
    assert.equal(await finish(engine, old), 0);
    await restart(engine, devicemapper);
    const { Driver, DriverStatus, Warnings } = await api.json("GET", "/info");
    assert.equal(Driver, "devicemapper");
    assert.ok(DriverStatus.some(([name, value]: [string, string]) => name === "Backing Filesystem" && value === "ext4"));
    assert.ok(Warnings.some((text: string) => text.startsWith("WARNING: devicemapper: usage of loopback devices is strongly discouraged")));
    const { status } = await api.send("POST", `/containers/${old}/start`);
    assert.equal(status, 409, "a container of the other driver");

    const id = await create(engine, "rm /bin/vi; until [ -e /end ]; do sleep 0.1; done; echo written > /made; df -k / | tail -n 1 | awk '{ print $(NF-4) }' > /size", { HostConfig: { StorageOpt: { size: "256M" } } });
    await api.json("POST", `/containers/${id}/start`);
    await engine.kill();
    await engine.start({ flags: devicemapper });
    const { Id: exec } = await api.json("POST", `/containers/${id}/exec`, { json: { Cmd: ["touch", "/end"] } });
    await api.json("POST", `/exec/${exec}/start`, { json: { Detach: true } });
    assert.equal((await api.json("POST", `/containers/${id}/wait`)).StatusCode, 0);
    assert.deepEqual((await api.json("GET", `/containers/${id}/changes`)).map(({ Path }: { Path: string }) => Path), ["/bin", "/bin/vi", "/end", "/made", "/size"]);
    await api.json("POST", "/commit", { query: { container: id, repo: "changed" }, json: {} });
    const changed = (await api.json("POST", "/containers/create", { json: { Image: "changed", WorkingDir: "/tmp", Cmd: ["sh", "-c", "grep written /made && [ $(cat /size) -gt 200000 ] && ! test -e /bin/vi"] } })).Id;
    assert.equal(await finish(engine, changed), 0);
    assert.deepEqual((await api.json("POST", "/system/check")).Problems, []);

    await restart(engine, ["--storage-driver", "overlay2"]);
    const back = (await api.json("POST", "/containers/create", { json: { Image: "changed", WorkingDir: "/tmp", Cmd: ["grep", "written", "/made"] } })).Id;
    assert.equal(await finish(engine, back), 0, "an image that devicemapper made");
    assert.equal(await finish(engine, old), 0);
    await restart(engine, devicemapper);
    for (const { Id } of await api.json("GET", "/containers/json?all=1")) await api.json("DELETE", `/containers/${Id}`);
    assert.deepEqual((await api.json("POST", "/system/check")).Problems, []);
  }));
