/**
 * kill -9 of gantryd at every step that has a fault point. After the restart the state is one that a user can explain (its
 * explanation), everything works, and nothing is left.
 */
import assert from "node:assert/strict";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { eventually } from "../../src/lib/eventually.testing.ts";
import type { Json } from "../harness/api.ts";
import { type Engine, project, withEngine } from "../harness/engine.ts";
import { busyboxImage } from "../harness/images.ts";

type Outcome = (engine: Engine) => Promise<void>;

interface Crash {
  point: string;
  /** Makes the daemon pass the point; it fails, because the daemon dies. */
  provoke: (engine: Engine) => Promise<unknown>;
  explanation: string;
  after: Outcome;
}

const create = (engine: Engine, cmd: string[]): Promise<Json> => engine.api.json("POST", "/containers/create?name=victim", { json: { Image: "busybox", Cmd: cmd } });
const start = (engine: Engine): Promise<Json> => engine.api.json("POST", "/containers/victim/start");
const state = async (engine: Engine): Promise<Json> => (await engine.api.json("GET", "/containers/victim/json")).State;
const load = (engine: Engine): Promise<Json> => engine.api.json("POST", "/images/load", { body: readFileSync(join(project, "build/images/hello-world.tar")) });
const importImage = (engine: Engine): Promise<Json> => engine.api.send("POST", "/images/create?fromSrc=-&repo=second", { body: busyboxImage() });

async function createAndStart(engine: Engine): Promise<void> {
  await create(engine, ["sleep", "1000"]);
  await start(engine);
}

async function createAndRemove(engine: Engine): Promise<void> {
  await create(engine, ["true"]);
  await engine.api.json("DELETE", "/containers/victim");
}

/** That importing works again is tried after every crash. */
async function secondIsAbsentOrWhole(engine: Engine): Promise<void> {
  const { status, body } = await engine.api.send("GET", "/images/second/json");
  if (status !== 404) assert.equal(JSON.parse(body.toString()).RootFS.Layers.length, 1);
}

async function isGone(engine: Engine): Promise<void> {
  await assert.rejects(engine.api.json("GET", "/containers/victim/json"), /No such container/);
}

async function runsWhenStarted(engine: Engine): Promise<void> {
  assert.ok(["created", "exited"].includes((await state(engine)).Status), `status ${(await state(engine)).Status}`);
  await start(engine);
  assert.equal((await state(engine)).Status, "running");
}

async function isRunning(engine: Engine): Promise<void> {
  assert.equal((await state(engine)).Status, "running");
  await engine.api.json("POST", "/containers/victim/kill");
  assert.equal((await engine.api.json("POST", "/containers/victim/wait")).StatusCode, 137);
}

async function publish(engine: Engine): Promise<void> {
  await engine.api.json("POST", "/containers/create?name=victim", { json: { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig: { PortBindings: { "80/tcp": [{ HostPort: "21380" }], "81/udp": [{ HostPort: "" }] } } } });
  await start(engine);
}

async function publishesWhenStarted(engine: Engine): Promise<void> {
  engine.machine.run(process.execPath, "-e", 'require("net").createServer().listen(21380, "0.0.0.0", () => process.exit(0)).on("error", () => process.exit(1))');
  await runsWhenStarted(engine);
  const { Ports } = (await engine.api.json("GET", "/containers/victim/json")).NetworkSettings;
  assert.deepEqual(Ports["80/tcp"], [{ HostIp: "0.0.0.0", HostPort: "21380" }]);
  assert.match(engine.machine.run("nft", "list", "map", "inet", "gantry-docker0", "published-any").replaceAll(/\s+/g, " "), /elements = \{ (tcp|udp) \. \d+ : 172\.\d+\.0\.\d+ \. 8[01], (tcp|udp) \. \d+ : 172\.\d+\.0\.\d+ \. 8[01] \}/, "its own two elements and none besides");
}

async function publishLive(engine: Engine): Promise<void> {
  await publish(engine);
  await engine.api.json("POST", "/containers/victim/update", { json: { PublishRemove: { "80/tcp": [] }, PublishAdd: { "82/tcp": [{ HostPort: "21381" }] } } });
}

/** Settings, what is shown, the firewall's elements and the reserved sockets say the same. */
function publishesOnly(port: string, hostPort: number, free: number): Outcome {
  return async (engine) => {
    const { HostConfig, NetworkSettings, State } = await engine.api.json("GET", "/containers/victim/json");
    assert.equal(State.Status, "running");
    assert.deepEqual(HostConfig.PortBindings[port], [{ HostIp: "", HostPort: String(hostPort) }]);
    assert.deepEqual(Object.keys(NetworkSettings.Ports).sort(), [port, "81/udp"].sort());
    assert.deepEqual(NetworkSettings.Ports[port], [{ HostIp: "0.0.0.0", HostPort: String(hostPort) }]);
    const elements = engine.machine.run("nft", "list", "map", "inet", "gantry-docker0", "published-any");
    assert.deepEqual([elements.includes(`tcp . ${hostPort} :`), elements.includes(`tcp . ${free} :`)], [true, false]);
    const listens = (number: number): string => engine.machine.run(process.execPath, "-e", `require("net").createServer().listen(${number}, "0.0.0.0", () => process.exit(console.log("free"))).on("error", (error) => console.log(error.code))`).trim();
    assert.deepEqual([listens(free), listens(hostPort)], ["free", "EADDRINUSE"]);
  };
}

async function helloIsAbsentAndLoads(engine: Engine): Promise<void> {
  const tags = (await engine.api.json("GET", "/images/json")).flatMap((image: Json) => image.RepoTags);
  assert.ok(!tags.includes("hello-world:latest"));
  await load(engine);
  const hello = await engine.api.json("GET", "/images/hello-world/json");
  assert.equal(hello.Os, "linux");
}

async function exitsWith3(engine: Engine): Promise<void> {
  await create(engine, ["sh", "-c", "exit 3"]);
  await start(engine);
  await engine.api.json("POST", "/containers/victim/wait");
}

const createVolume = (engine: Engine): Promise<Json> => engine.api.json("POST", "/volumes/create", { json: { Name: "data" } });
const volumes = async (engine: Engine): Promise<string[]> => (await engine.api.json("GET", "/volumes")).Volumes.map(({ Name }: Json) => Name);
const createWithVolumes = (engine: Engine): Promise<Json> => engine.api.json("POST", "/containers/create?name=victim", { json: { Image: "busybox", Cmd: ["true"], Volumes: { "/anonymous": {} }, HostConfig: { Binds: ["data:/data"] } } });

async function changeMounts(engine: Engine): Promise<Json> {
  await createAndStart(engine);
  return engine.api.json("POST", "/containers/victim/update", { json: { MountAdd: [{ Type: "volume", Source: "live", Target: "/v" }] } });
}

const hasMounts = (...destinations: string[]) => async (engine: Engine): Promise<void> => {
  const { Mounts } = await engine.api.json("GET", "/containers/victim/json");
  assert.deepEqual(Mounts.map(({ Destination }: Json) => Destination), destinations);
  await assert.rejects(engine.api.json("DELETE", "/volumes/live"), /in use/);
  await engine.api.json("POST", "/containers/victim/restart?t=0");
  await engine.api.json("DELETE", "/containers/victim?force=1");
  await engine.api.json("DELETE", "/volumes/live");
};

async function cloneVolume(engine: Engine): Promise<Json> {
  await createVolume(engine);
  return engine.api.json("POST", "/volumes/data/clone", { json: { Name: "other" } });
}

async function onlyVolume(engine: Engine, name: string): Promise<void> {
  assert.deepEqual(await volumes(engine), [name]);
  await engine.api.json("DELETE", `/volumes/${name}`);
  await hasNoVolumes(engine);
}

async function hasNoVolumes(engine: Engine): Promise<void> {
  assert.deepEqual(await volumes(engine), []);
  await createVolume(engine);
  assert.deepEqual(readdirSync(join(engine.dataRoot, "volumes")).sort(), [".trash", "data"]);
}

const crashes: Crash[] = [
  { point: "create-layer", provoke: (engine) => create(engine, ["true"]), explanation: "its layer was made but nobody was told of the container: it does not exist", after: isGone },
  { point: "create-saved", provoke: (engine) => create(engine, ["sleep", "1000"]), explanation: "it was saved: it exists, created, and starts", after: runsWhenStarted },
  { point: "start-networked", provoke: createAndStart, explanation: "it never ran: it is as before and starts", after: runsWhenStarted },
  ...["ports-reserved", "ports-recorded"].map((point) => ({ point, provoke: publish, explanation: "it never ran: its ports are free, and its again when it starts", after: publishesWhenStarted })),
  { point: "live-ports-reserved", provoke: publishLive, explanation: "nothing was changed yet: it publishes what it did", after: publishesOnly("80/tcp", 21380, 21381) },
  ...["live-ports-recorded", "live-ports-applied"].map((point) => ({ point, provoke: publishLive, explanation: "the change was written down: it is done", after: publishesOnly("82/tcp", 21381, 21380) })),
  {
    point: "ports-released",
    provoke: async (engine: Engine) => {
      await publish(engine);
      await engine.api.json("POST", "/containers/victim/kill");
      // The ports are released behind the answer.
      for (;;) await state(engine);
    },
    explanation: "it ended: its ports are free, and its again when it starts",
    after: publishesWhenStarted,
  },
  { point: "start-created", provoke: createAndStart, explanation: "its program runs already, and is found", after: isRunning },
  {
    point: "pause-frozen",
    provoke: async (engine) => {
      await createAndStart(engine);
      await engine.api.json("POST", "/containers/victim/pause");
    },
    explanation: "nobody was told that it is paused: it runs",
    after: isRunning,
  },
  { point: "start-saved", provoke: createAndStart, explanation: "it was started: it runs", after: isRunning },
  {
    point: "exec-started",
    provoke: async (engine) => {
      await createAndStart(engine);
      const { Id } = await engine.api.json("POST", "/containers/victim/exec", { json: { Cmd: ["sleep", "1000"] } });
      await engine.api.json("POST", `/exec/${Id}/start`, { json: { Detach: true } });
    },
    explanation: "the container runs on",
    after: isRunning,
  },
  {
    point: "exit-recorded",
    provoke: exitsWith3,
    explanation: "it ended, and its status is known",
    after: async (engine) => {
      assert.equal((await state(engine)).Status, "exited");
      assert.equal((await state(engine)).ExitCode, 3);
    },
  },
  ...["remove-erased", "remove-layer"].map((point) => ({ point, provoke: createAndRemove, explanation: "it is gone: the next start collected what was left", after: isGone })),
  {
    point: "remove-marked",
    provoke: removeWithVolumes,
    explanation: "its removal had begun: the next start ended it, and its anonymous volume is gone",
    after: onlyDataIsLeft,
  },
  ...["volume-recorded", "volume-folder"].map((point) => ({ point, provoke: createVolume, explanation: "nobody was told of the volume: it does not exist", after: hasNoVolumes })),
  {
    point: "volume-made",
    provoke: createVolume,
    explanation: "the volume is there whole",
    after: async (engine) => {
      assert.deepEqual(await volumes(engine), ["data"]);
      await engine.api.json("DELETE", "/volumes/data");
      await hasNoVolumes(engine);
    },
  },
  {
    point: "volume-dropped",
    provoke: async (engine) => {
      await createVolume(engine);
      await engine.api.json("DELETE", "/volumes/data");
    },
    explanation: "the volume is gone",
    after: hasNoVolumes,
  },
  {
    point: "mount-recorded",
    provoke: changeMounts,
    explanation: "the mount is written down: the container has it from its next start on",
    after: hasMounts("/v"),
  },
  {
    point: "mount-gone",
    provoke: async (engine) => {
      await changeMounts(engine);
      await engine.api.json("POST", "/containers/victim/update", { json: { MountRemove: ["/v"] } });
    },
    explanation: "the mount is taken away but not written down: the container has it again from its next start on",
    after: hasMounts("/v"),
  },
  {
    point: "volume-copied",
    provoke: cloneVolume,
    explanation: "nobody was told of the clone: it does not exist",
    after: (engine) => onlyVolume(engine, "data"),
  },
  {
    point: "volume-renamed",
    provoke: async (engine) => {
      await createVolume(engine);
      await engine.api.json("POST", "/volumes/data/rename?name=other");
    },
    explanation: "the volume has its new name",
    after: (engine) => onlyVolume(engine, "other"),
  },
  {
    point: "volume-replacing",
    provoke: async (engine) => {
      await createVolume(engine);
      await engine.api.json("PUT", "/volumes/data/archive", { body: Buffer.alloc(1024) });
    },
    explanation: "the volume has what it had",
    after: (engine) => onlyVolume(engine, "data"),
  },
  {
    point: "create-volumes",
    provoke: createWithVolumes,
    explanation: "its volumes were made but nobody was told of the container: neither exists",
    after: async (engine) => {
      await isGone(engine);
      await hasNoVolumes(engine);
    },
  },
  {
    point: "remove-volumes",
    provoke: removeWithVolumes,
    explanation: "its removal had begun: the next start ended it, and its anonymous volume is gone",
    after: onlyDataIsLeft,
  },
  ...["image-commit-received", "image-commit-synced"].map((point) => ({ point, provoke: commit, explanation: "nobody was told of the image: it is not there; committing again works", after: committedIsAbsent })),
  ...["image-import-received", "image-import-synced"].map((point) => ({ point, provoke: importImage, explanation: "the image is not there, or whole; importing it again works", after: secondIsAbsentOrWhole })),
  ...["image-layer-unpacked", "image-layer-committed", "image-load-received", "image-load-whole", "image-load-adopted"].map((point) => ({ point, provoke: load, explanation: "the image is not there, or whole; loading it again works", after: helloIsAbsentOrWhole })),
];

async function removeWithVolumes(engine: Engine): Promise<void> {
  await createWithVolumes(engine);
  await engine.api.json("DELETE", "/containers/victim?v=1");
}

async function onlyDataIsLeft(engine: Engine): Promise<void> {
  await isGone(engine);
  assert.deepEqual(await volumes(engine), ["data"]);
}

async function commit(engine: Engine): Promise<void> {
  await engine.api.json("POST", "/containers/create?name=victim", { json: { Image: "busybox", Cmd: ["touch", "/made"] } });
  await start(engine);
  await engine.api.json("POST", "/containers/victim/wait");
  await engine.api.json("POST", "/commit?container=victim&repo=committed");
}

async function committedIsAbsent(engine: Engine): Promise<void> {
  assert.equal((await engine.api.send("GET", "/images/committed/json")).status, 404);
  const { Id } = await engine.api.json("POST", "/commit?container=victim&repo=committed");
  assert.equal((await engine.api.json("GET", "/images/committed/json")).RootFS.Layers.length, 2);
  await engine.api.json("DELETE", `/images/${Id}?force=1`);
}

async function helloIsAbsentOrWhole(engine: Engine): Promise<void> {
  const tags = (await engine.api.json("GET", "/images/json")).flatMap((image: Json) => image.RepoTags);
  if (!tags.includes("hello-world:latest")) await helloIsAbsentAndLoads(engine);
  const { Id } = await engine.api.json("POST", "/containers/create", { json: { Image: "hello-world" } });
  await engine.api.json("POST", `/containers/${Id}/start`);
  assert.equal((await engine.api.json("POST", `/containers/${Id}/wait`)).StatusCode, 0);
}

test("every fault point of the sources is crossed by some test", (context) => {
  const inSources = globSync(`${project}/src/**/*.ts`)
    .filter((file) => !file.endsWith(".test.ts"))
    .flatMap((file) => [...readFileSync(file, "utf8").matchAll(/faultPoint\("([^"]+)"\)/g)].map((match) => match[1] ?? ""));
  const tests = globSync(`${project}/{src,test}/**/*.test.ts`).map((file) => readFileSync(file, "utf8"));
  assert.ok(inSources.length > 0);
  assert.deepEqual(inSources.filter((point) => !tests.some((text) => text.includes(`"${point}"`) || text.includes(`"${point}:`))), []);
  context.diagnostic(`points ${inSources.length}`);
});

describe("kill -9 of gantryd at", () => {
  for (const { point, provoke, explanation, after } of crashes) {
    test(`${point}: ${explanation}`, () =>
      withEngine(async (engine) => {
        const containers = foldersOf(engine);
        await engine.stop();
        await engine.start({ env: { GANTRY_FAULT: point } });
        await assert.rejects(provoke(engine));
        await engine.ended();
        await engine.start();
        await after(engine);
        await works(engine);
        for (const { Id } of await engine.api.json("GET", "/containers/json?all=1")) await engine.api.json("DELETE", `/containers/${Id}?force=1`);
        // They go behind the answer.
        await eventually(() => assert.deepEqual(foldersOf(engine), containers, "container folders are left"));
      }, { flags: ["--userland-proxy=false"] }));
  }
});

async function works(engine: Engine): Promise<void> {
  const reply = await importImage(engine);
  assert.equal(reply.status, 200);
  const { Id } = await engine.api.json("POST", "/containers/create", { json: { Image: "second", Cmd: ["sh", "-c", "exit 5"] } });
  await engine.api.json("POST", `/containers/${Id}/start`);
  assert.equal((await engine.api.json("POST", `/containers/${Id}/wait`)).StatusCode, 5);
}

function foldersOf(engine: Engine): string[] {
  try {
    return readdirSync(join(engine.dataRoot, "containers")).sort();
  } catch {
    return [];
  }
}
