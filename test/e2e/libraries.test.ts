/** Client libraries as their users drive them: docker-py, dockerode and testcontainers. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { eventually } from "../../src/lib/eventually.testing.ts";
import type { Json } from "../harness/api.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";
import { busyboxImage } from "../harness/images.ts";

const require = createRequire(import.meta.url);
const Docker: Json = require("dockerode");
const run = promisify(execFile);

let engine: Engine;
before(async () => {
  engine = await startedEngine();
});
after(async () => endEngine(engine));

test("docker-py", async (t) => {
  const python = await pythonWithDocker();
  if (python === undefined) return t.skip("no python3 with the module docker (Debian: python3-docker)");
  const rootfs = join(engine.machine.folder, "rootfs.tar");
  writeFileSync(rootfs, busyboxImage());
  const { stdout } = await run(python, [join(import.meta.dirname, "docker_py.py"), engine.socket, rootfs], { timeout: 300_000 });
  assert.equal(stdout, "ok\n");
});

test("dockerode", async (t) => {
  const docker = new Docker({ socketPath: engine.socket });
  assert.equal((await docker.ping()).toString(), "OK");

  await t.test("import, list, tag, remove", async () => {
    const stream = await docker.importImage(Readable.from([busyboxImage()]), { fromSrc: "-", repo: "ode", tag: "one" });
    await new Promise((resolve, reject) => docker.modem.followProgress(stream, (error: Error | null) => (error === null ? resolve(undefined) : reject(error))));
    await docker.getImage("ode:one").tag({ repo: "ode", tag: "two" });
    const tags = (await docker.listImages()).flatMap((image: Json) => image.RepoTags ?? []);
    assert.ok(tags.includes("ode:one") && tags.includes("ode:two"));
    await docker.getImage("ode:two").remove();
  });

  await t.test("run with split streams", async () => {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const texts = ["", ""];
    for (const [index, stream] of [stdout, stderr].entries()) stream.on("data", (chunk: Buffer) => (texts[index] += chunk.toString()));
    const [result, container] = await docker.run("ode:one", ["sh", "-c", "echo out; echo err >&2; exit 6"], [stdout, stderr], { Tty: false });
    assert.equal(result.StatusCode, 6);
    // The library takes the streams apart in its own time, which may be after the answer to its wait.
    await eventually(() => assert.deepEqual(texts, ["out\n", "err\n"]));
    await container.remove();
  });

  await t.test("create, attach with stdin, exec, logs, stop, remove", async () => {
    const container = await docker.createContainer({ Image: "ode:one", Cmd: ["cat"], OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, Tty: false });
    const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
    await container.start();
    const output = new PassThrough();
    const printed = text(output);
    container.modem.demuxStream(stream, output, output);
    stream.on("end", () => output.end());
    const exec = await container.exec({ Cmd: ["echo", "from exec"], AttachStdout: true });
    assert.match(await text(await exec.start({})), /from exec/);
    assert.equal((await exec.inspect()).ExitCode, 0);
    stream.end("typed\n");
    assert.equal(await printed, "typed\n");
    assert.equal((await container.wait()).StatusCode, 0);
    assert.match((await container.logs({ stdout: true, stderr: true })).toString(), /typed/);
    await container.remove();
  });

  await t.test("errors carry the status", async () => {
    await assert.rejects(docker.getContainer("ode-nothing").inspect(), (error: Json) => error.statusCode === 404 && /No such container: ode-nothing/.test(error.message));
    await docker.getImage("ode:one").remove();
  });
});

async function pythonWithDocker(): Promise<string | undefined> {
  for (const python of ["/usr/bin/python3", "python3"]) {
    try {
      await run(python, ["-c", "import docker"]);
      return python;
    } catch {
      continue;
    }
  }
  return undefined;
}

test("testcontainers", async () => {
  await engine.importBusybox();
  // Its container that removes others' leftovers needs an image of its own.
  Object.assign(process.env, { DOCKER_HOST: `unix://${engine.socket}`, DOCKER_CONFIG: engine.machine.folder, TESTCONTAINERS_RYUK_DISABLED: "true" });
  const { GenericContainer, Network, Wait }: Json = require("testcontainers");
  const network = await new Network().start();
  const container = await new GenericContainer("busybox:latest")
    .withCommand(["sh", "-c", "mkdir /w; cp /given /w/index.html; httpd -p 8080 -h /w; echo ready; trap exit TERM; while :; do sleep 0.1; done"])
    .withExposedPorts(8080)
    .withEnvironment({ WORD: "said" })
    .withLabels({ purpose: "test" })
    .withNetwork(network)
    .withNetworkAliases("web")
    .withTmpFs({ "/scratch": "rw,size=1m" })
    .withCopyContentToContainer([{ content: "given\n", target: "/given" }])
    .withHealthCheck({ test: ["CMD-SHELL", "wget -qO- http://127.0.0.1:8080/"], interval: 100, timeout: 20_000, retries: 100 })
    .withWaitStrategy(Wait.forAll([Wait.forLogMessage("ready"), Wait.forHealthCheck()]))
    .withStartupTimeout(60_000)
    .start();
  assert.equal(engine.machine.run("busybox", "wget", "-qO-", `http://127.0.0.1:${container.getMappedPort(8080)}/index.html`), "given\n");
  assert.deepEqual(await container.exec(["sh", "-c", "echo $WORD; echo wrong >&2; exit 3"]).then(({ stdout, stderr, exitCode }: Json) => [stdout, stderr, exitCode]), ["said\n", "wrong\n", 3]);
  const client = await new GenericContainer("busybox:latest").withCommand(["wget", "-qO-", "http://web:8080/"]).withNetwork(network).withWaitStrategy(Wait.forOneShotStartup()).start();
  assert.equal(await text(await client.logs()), "given\n");
  await container.restart();
  assert.match(await text(await container.copyArchiveFromContainer("/given")), /given\n/);
  for (const one of [client, container]) await one.stop();
  await network.stop();
  assert.deepEqual(await engine.api.json("GET", "/containers/json", { query: { all: true, filters: JSON.stringify({ label: ["org.testcontainers=true"] }) } }), []);
});
