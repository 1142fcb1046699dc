/** Images go back and forth between gantryd and what others have: skopeo, umoci, buildah, dockerd, the compressing programs. */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { digestOf, hexOf } from "../../src/lib/digest.ts";
import { Cli, which } from "../harness/cli.ts";
import { endEngine, Engine, project, startedEngine } from "../harness/engine.ts";
import { busyboxImage } from "../harness/images.ts";
import { Machine } from "../harness/machine.ts";

interface Inspected {
  Id: string;
  RootFS: { Layers: string[] };
  Config: { Cmd: string[] };
}

interface Config {
  architecture: string;
  rootfs: { diff_ids: string[] };
  config: { Cmd: string[] };
}

const without = (...programs: string[]): string | false => {
  const missing = programs.filter((program) => which(program) === undefined);
  return missing.length === 0 ? false : `no ${missing.join(", ")} here`;
};

const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28 });
const skopeo = (...args: string[]): string => run("skopeo", "--insecure-policy", ...args);
const configOf = (image: string): Config => JSON.parse(skopeo("inspect", "--config", image)) as Config;

/** Older skopeos ask for API 1.22, which Docker refuses since 25, as gantryd does: what they ask for has not changed since. */
async function modernized(socketPath: string, path: string): Promise<{ address: string } & AsyncDisposable> {
  const server = createServer((req, res) => {
    const passed = request({ socketPath, method: req.method, path: req.url?.replace(/^\/v1\.(1\d|2[0-3])\//, "/v1.24/"), headers: req.headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(res);
    });
    req.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { address: `unix://${path}`, [Symbol.asyncDispose]: async () => void server.close() };
}

describe("interchange of images", () => {
  let engine: Engine;
  let gantry: Cli;
  let folder: string;
  let image: Inspected;
  let saved: string;
  let layout: string;

  const inspect = (name: string): Promise<Inspected> => engine.api.json("GET", `/images/${name}/json`);
  const buildah = (...args: string[]): string => run("buildah", "--storage-driver", "vfs", "--root", join(folder, "storage"), "--runroot", join(folder, "storage-run"), ...args);

  before(async () => {
    engine = await startedEngine();
    gantry = new Cli(join(project, "bin/gantry"), engine);
    folder = engine.machine.folder;
    /* Two layers, the second with a whiteout. */
    await gantry.ok("run", "--name", "more", "busybox", "sh", "-c", "echo more >/more && rm /etc/group");
    await gantry.ok("commit", "-c", 'CMD ["cat", "/more"]', "more", "two:1");
    image = await inspect("two:1");
    saved = join(folder, "saved.tar");
    layout = join(folder, "layout");
    await gantry.ok("save", "-o", saved, "two:1");
    mkdirSync(layout);
    run("tar", "-C", layout, "-xf", saved);
  });
  after(() => endEngine(engine));

  const isTheSame = (config: Config): void => assert.deepEqual([config.rootfs.diff_ids, config.config.Cmd], [image.RootFS.Layers, image.Config.Cmd]);
  const loaded = async (file: string, name: string): Promise<void> => {
    await gantry.ok("load", "-q", "-i", file);
    assert.deepEqual((await inspect(name)).RootFS.Layers, image.RootFS.Layers);
    assert.equal(await gantry.ok("run", "--rm", name), "more");
    await gantry.ok("rmi", name);
  };

  test("skopeo reads what is saved, as docker-archive and as OCI layout", { skip: without("skopeo") }, () => {
    isTheSame(configOf(`docker-archive:${saved}:two:1`));
    isTheSame(configOf(`oci:${layout}:1`));
    const raw = skopeo("inspect", "--raw", `oci:${layout}:1`);
    assert.equal(digestOf(raw), image.Id);
  });

  test("umoci unpacks it to the same files", { skip: without("umoci") }, () => {
    const bundle = join(folder, "bundle");
    run("umoci", "unpack", "--image", `${layout}:1`, bundle);
    const files = run("find", join(bundle, "rootfs"), "-printf", "%P %y %m %U %G %l\n").trim().split("\n").sort();
    const exported = join(folder, "exported");
    mkdirSync(exported);
    run("sh", "-c", `${project}/bin/gantry -H unix://${engine.socket} create --name out two:1 && ${project}/bin/gantry -H unix://${engine.socket} export out | tar -C ${exported} -x && ${project}/bin/gantry -H unix://${engine.socket} rm out`);
    const ours = run("find", exported, "-printf", "%P %y %m %U %G %l\n").trim().split("\n");
    /* A container has places for what is mounted in it. */
    const added = new Set(ours.filter((line) => /^(\.dockerenv|dev\/|etc\/(hosts|hostname|resolv.conf|mtab)) /.test(line) || line.startsWith("dev/")));
    assert.deepEqual(files.filter((line) => !line.startsWith("dev/")), ours.filter((line) => !added.has(line)).sort());
    assert.ok(!files.some((line) => line.startsWith("etc/group ")));
  });

  test("buildah takes it, and what it makes of it is loaded", { skip: without("buildah") }, async () => {
    buildah("pull", "-q", `docker-archive:${saved}`);
    assert.match(buildah("images", "--format", "{{.Name}}:{{.Tag}}"), /two:1/);
    buildah("push", "-q", "two:1", `oci-archive:${join(folder, "buildah.tar")}:docker.io/library/built:1`);
    await loaded(join(folder, "buildah.tar"), "built:1");
  });

  test("skopeo copies from docker-daemon: and to it", { skip: without("skopeo") }, async () => {
    const copy = `oci:${join(folder, "copy")}:1`;
    await using socket = await modernized(engine.socket, join(folder, "modern.sock"));
    const copying = promisify(execFile);
    await copying("skopeo", ["--insecure-policy", "copy", "-q", "--src-daemon-host", socket.address, "docker-daemon:two:1", copy]);
    isTheSame(configOf(copy));
    await copying("skopeo", ["--insecure-policy", "copy", "-q", "--dest-daemon-host", socket.address, copy, "docker-daemon:copied:1"]);
    const copied = await inspect("copied:1");
    assert.deepEqual(copied.RootFS, image.RootFS);
    assert.equal(await gantry.ok("run", "--rm", "copied:1"), "more");
  });

  test("archives that skopeo writes are loaded", { skip: without("skopeo") }, async () => {
    for (const kind of ["docker-archive", "oci-archive"]) {
      const file = join(folder, `${kind}.tar`);
      skopeo("copy", "-q", `oci:${layout}:1`, `${kind}:${file}:docker.io/library/made:1`);
      await loaded(file, "made:1");
    }
  });

  for (const program of ["gzip", "bzip2", "xz", "zstd"]) {
    test(`archives in ${program}: load, import and cp`, { skip: without(program) }, async () => {
      const packed = `${saved}.${program}`;
      run("sh", "-c", `${program} -1 -c <'${saved}' >'${packed}'`);
      await gantry.ok("rmi", "two:1");
      await gantry.ok("load", "-q", "-i", packed);
      assert.equal((await inspect("two:1")).Id, image.Id);
      const root = execFileSync(program, ["-1", "-c"], { input: busyboxImage(), maxBuffer: 1 << 28 });
      assert.equal((await gantry.run(["import", "-", "imported:1"], root)).code, 0);
      assert.deepEqual((await inspect("imported:1")).RootFS.Layers, [digestOf(busyboxImage())]);
      assert.equal(await gantry.ok("run", "--rm", "imported:1", "echo", "runs"), "runs");
      const { status, body } = await engine.api.send("PUT", "/containers/more/archive?path=/tmp", { body: root, headers: { "content-type": "application/x-tar" } });
      assert.equal(status, 200, body.toString());
      assert.equal((await gantry.run(["cp", "more:/tmp/etc/passwd", "-"])).code, 0);
      await gantry.ok("rmi", "imported:1");
    });
  }

  test("dockerd: by save and load there and back, the same configuration and layers", { skip: without("dockerd") }, async () => {
    const other = new Engine(await Machine.create(), { program: "dockerd" });
    try {
      await other.start();
      const send = (to: Engine, bytes: Buffer): Promise<unknown> => to.api.send("POST", "/images/load", { query: { quiet: true }, body: bytes, headers: { "content-type": "application/x-tar" }, timeoutMs: 60_000 });
      await send(other, readFileSync(saved));
      const there = await (other.api.json("GET", "/images/two:1/json") as Promise<Inspected>);
      assert.deepEqual([there.RootFS, there.Config.Cmd], [image.RootFS, image.Config.Cmd]);
      /* Its id is that of its manifest, or, without containerd's store, of the configuration. */
      const manifest = JSON.parse(readFileSync(join(layout, "blobs/sha256", hexOf(image.Id as `sha256:${string}`)), "utf8")) as { config: { digest: string } };
      assert.ok([image.Id, manifest.config.digest].includes(there.Id), there.Id);
      const back = await other.api.send("GET", "/images/two:1/get", { timeoutMs: 60_000 });
      await gantry.ok("rmi", "two:1");
      await send(engine, back.body);
      const here = await inspect("two:1");
      assert.deepEqual([here.RootFS, here.Config.Cmd], [image.RootFS, image.Config.Cmd]);
      assert.equal(await gantry.ok("run", "--rm", "two:1"), "more");
      /* The same archive again changes nothing. */
      await send(engine, back.body);
      assert.equal((await inspect("two:1")).Id, here.Id);
    } finally {
      await other.stop().catch(() => undefined);
      await other.machine[Symbol.asyncDispose]();
    }
  });
});
