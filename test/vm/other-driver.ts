/** What every storage driver that needs another kernel must do under the whole daemon. */
import assert from "node:assert/strict";
import { type Engine, withEngine } from "../harness/engine.ts";

interface OtherDriver {
  name: string;
  /** Of the daemon. */
  options: readonly string[];
  /** A container's size, and the kilobytes that df must show then at least and at most. */
  size: { asked: string; least: number; most: number };
  checkInfo: (info: { DriverStatus: [string, string][]; Warnings: string[] | null }) => void;
}

/** The first of an image unpacks it. */
async function create(engine: Engine, command: string, body: object = {}): Promise<string> {
  return (await engine.api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sh", "-c", command], ...body }, timeoutMs: 300_000 })).Id;
}

async function finish(engine: Engine, id: string): Promise<number> {
  await engine.api.json("POST", `/containers/${id}/start`);
  return (await engine.api.json("POST", `/containers/${id}/wait`)).StatusCode;
}

async function restart(engine: Engine, flags: string[]): Promise<void> {
  await engine.stop();
  await engine.start({ flags });
}

/** Images of another driver are kept, a container's life also without the daemon, its changes, size and image; nothing is left. */
export const wholeLife = ({ name, options, size, checkInfo }: OtherDriver): Promise<void> =>
  withEngine(async (engine) => {
    const { api } = engine;
    const flags = ["--storage-driver", name, ...options.flatMap((option) => ["--storage-opt", option])];
    const old = await create(engine, "echo kept > /file");
    assert.equal(await finish(engine, old), 0);
    await restart(engine, flags);
    const info = await api.json("GET", "/info");
    assert.equal(info.Driver, name);
    checkInfo(info);
    const { status } = await api.send("POST", `/containers/${old}/start`);
    assert.equal(status, 409, "a container of the other driver");

    const id = await create(engine, "rm /bin/vi; until [ -e /end ]; do sleep 0.1; done; echo written > /made; df -k / | tail -n 1 | awk '{ print $(NF-4) }' > /size", { HostConfig: { StorageOpt: { size: size.asked } } });
    await api.json("POST", `/containers/${id}/start`);
    await engine.kill();
    await engine.start({ flags });
    const { Id: exec } = await api.json("POST", `/containers/${id}/exec`, { json: { Cmd: ["touch", "/end"] } });
    await api.json("POST", `/exec/${exec}/start`, { json: { Detach: true } });
    assert.equal((await api.json("POST", `/containers/${id}/wait`)).StatusCode, 0);
    assert.deepEqual((await api.json("GET", `/containers/${id}/changes`)).map(({ Path }: { Path: string }) => Path), ["/bin", "/bin/vi", "/end", "/made", "/size"]);
    const { status: copied, body } = await api.send("GET", `/containers/${id}/archive`, { query: { path: "/made" } });
    assert.ok(copied === 200 && body.includes("written"), "a file is copied out");
    assert.equal((await api.send("PUT", `/containers/${id}/archive`, { query: { path: "/tmp" }, body, headers: { "content-type": "application/x-tar" } })).status, 200);
    await api.json("POST", "/commit", { query: { container: id, repo: "changed" }, json: {} });
    const changed = await create(engine, `grep written /made && grep written /tmp/made && [ $(cat /size) -ge ${size.least} ] && [ $(cat /size) -le ${size.most} ] && ! test -e /bin/vi`, { Image: "changed", WorkingDir: "/tmp" });
    assert.equal(await finish(engine, changed), 0);
    assert.deepEqual((await api.json("POST", "/system/check")).Problems, []);

    await restart(engine, ["--storage-driver", "overlay2"]);
    const back = await create(engine, "grep written /made", { Image: "changed", WorkingDir: "/tmp" });
    assert.equal(await finish(engine, back), 0, `an image that ${name} made`);
    assert.equal(await finish(engine, old), 0);
    await restart(engine, flags);
    for (const { Id } of await api.json("GET", "/containers/json?all=1")) await api.json("DELETE", `/containers/${Id}`);
    assert.deepEqual((await api.json("POST", "/system/check")).Problems, []);
    await api.json("POST", "/images/prune", { query: { filters: '{"dangling":["false"]}' } });
    assert.deepEqual((await api.json("POST", "/system/check")).Problems, []);
  });
