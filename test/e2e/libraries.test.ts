/** Client libraries as their users drive them: docker-py and dockerode. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import type { Json } from "../harness/api.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";
import { busyboxImage } from "../harness/images.ts";

const Docker: Json = createRequire(import.meta.url)("dockerode");
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
  const { stdout } = await run(python, [join(import.meta.dirname, "docker_py.py"), engine.socket, rootfs], { timeout: 60_000 });
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
    const texts = Promise.all([text(stdout), text(stderr)]);
    const [result, container] = await docker.run("ode:one", ["sh", "-c", "echo out; echo err >&2; exit 6"], [stdout, stderr], { Tty: false });
    stdout.end();
    stderr.end();
    assert.equal(result.StatusCode, 6);
    assert.deepEqual(await texts, ["out\n", "err\n"]);
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
