/** Files of containers in a user's hands: copied in and out, compared, exported and committed; a hostile container gains nothing by them. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { eventually, until } from "../../src/lib/eventually.testing.ts";
import type { Json } from "../harness/api.ts";
import { Cli, clients } from "../harness/cli.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

let engine: Engine;
before(async () => {
  engine = await startedEngine();
});
after(async () => endEngine(engine));
beforeEach(async () => {
  for (const { Id } of await api("GET", "/containers/json?all=1")) await api("DELETE", `/containers/${Id}?force=1&v=1`);
});

const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });
const tarOf = (folder: string): Buffer => Buffer.from(engine.machine.run("sh", "-c", 'tar --numeric-owner -C "$1" -c . | base64 -w0', "sh", folder), "base64");

function scratch(name: string): string {
  const folder = join(engine.machine.folder, "files", name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

async function container(name: string, script: string, hostConfig: object = {}): Promise<void> {
  await api("POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: ["sh", "-c", script], HostConfig: hostConfig });
}

async function running(name: string, script: string, hostConfig: object = {}): Promise<void> {
  await container(name, `${script}; touch /ready; sleep 600`, hostConfig);
  await api("POST", `/containers/${name}/start`);
  await until(`${name} is ready`, async () => (await engine.api.send("HEAD", `/containers/${name}/archive?path=/ready`)).status === 200);
}

for (const { name, program } of clients()) {
  describe(`client ${name}`, { skip: program === undefined ? `no ${name} on PATH` : false }, () => {
    for (const state of ["created", "running", "paused", "exited"]) {
      test(`cp in and out of a ${state} container`, async () => {
        const cli = new Cli(program!, engine);
        if (state === "created") await container("cc", "true");
        else await running("cc", "mkdir /d; echo inside > /d/f");
        if (state === "paused") await cli.ok("pause", "cc");
        if (state === "exited") await cli.ok("kill", "cc");
        const folder = scratch(`cp-${name}`);
        writeFileSync(join(folder, "one"), "one\n", { mode: 0o640 });
        mkdirSync(join(folder, "tree/below"), { recursive: true });
        writeFileSync(join(folder, "tree/below/leaf"), "leaf\n");
        symlinkSync("below/leaf", join(folder, "tree/link"));
        await cli.ok("cp", join(folder, "one"), "cc:/tmp/renamed");
        await cli.ok("cp", join(folder, "tree"), "cc:/tmp");
        await cli.ok("cp", join(folder, "tree/."), "cc:/new");
        await cli.ok("cp", "cc:/tmp/renamed", join(folder, "back"));
        await cli.ok("cp", "cc:/tmp/tree", join(folder, "copy"));
        await cli.ok("cp", "cc:/new/.", folder);
        assert.equal(readFileSync(join(folder, "back"), "utf8"), "one\n");
        assert.equal(statSync(join(folder, "back")).mode & 0o777, 0o640);
        assert.equal(readFileSync(join(folder, "copy/below/leaf"), "utf8"), "leaf\n");
        assert.equal(readlinkSync(join(folder, "copy/link")), "below/leaf");
        assert.equal(readFileSync(join(folder, "below/leaf"), "utf8"), "leaf\n");
        await cli.ok("cp", "-L", "cc:/tmp/tree/link", join(folder, "followed"));
        assert.equal(readFileSync(join(folder, "followed"), "utf8"), "leaf\n");
      });
    }

    test("diff, export and commit", async () => {
      const cli = new Cli(program!, engine);
      await running("cc", "echo new > /new; rm /etc/group; mkdir -p /d; echo a > /d/a; ln /d/a /d/b");
      const changes = (await cli.ok("diff", "cc")).split("\n");
      assert.deepEqual(changes, ["A /d", "A /d/a", "A /d/b", "C /etc", "D /etc/group", "A /new", "A /ready"]);
      const archive = join(engine.machine.folder, `export-${name}.tar`);
      await cli.ok("export", "-o", archive, "cc");
      const names = engine.machine.run("tar", "-tf", archive).split("\n");
      assert.ok(names.includes("new") && names.includes("bin/busybox") && names.includes(".dockerenv") && !names.includes("etc/group") && !names.includes("proc/self"));
      const id = await cli.ok("commit", "-m", "why", "-a", "me", "-c", "ENV X=1", "-c", 'CMD ["cat", "/d/b"]', "cc", "committed:one");
      assert.equal((await api("GET", "/containers/cc/json")).State.Status, "running");
      const image = await api("GET", "/images/committed:one/json");
      assert.deepEqual([image.Id, image.Author, image.Comment, image.Config.Env.includes("X=1")], [id, "me", "why", true]);
      assert.equal(await cli.ok("run", "--rm", "committed:one"), "a");
      assert.equal(await cli.ok("run", "--rm", "committed:one", "ls", "/etc"), "hostname\nhosts\nmtab\npasswd\nresolv.conf");
      await cli.ok("rmi", "committed:one");
    });
  });
}

test("volumes, binds and their write protection are respected; tmpfs and /proc are not seen", async () => {
  const host = scratch("host");
  writeFileSync(join(host, "seen"), "host\n");
  for (const start of [false, true]) {
    await container("vv", "sleep 600", { Binds: ["data:/data", `${host}:/bind:ro`], Tmpfs: { "/tmp": "" }, ReadonlyRootfs: true });
    if (start) await api("POST", "/containers/vv/start");
    const content = scratch("content");
    writeFileSync(join(content, "f"), "text\n");
    const put = async (path: string): Promise<[number, string]> => {
      const { status, body } = await engine.api.send("PUT", `/containers/vv/archive?path=${path}`, { body: tarOf(content), headers: { "content-type": "application/x-tar" } });
      return [status, status === 200 ? "" : JSON.parse(body.toString()).message];
    };
    assert.deepEqual(await put("/data"), [200, ""]);
    assert.equal(readFileSync(join(engine.dataRoot, "volumes/data/_data/f"), "utf8"), "text\n");
    assert.deepEqual(await put("/bind"), [400, "mounted volume is marked read-only"]);
    assert.deepEqual(await put("/etc"), [400, "container rootfs is marked read-only"]);
    assert.equal((await engine.api.send("HEAD", "/containers/vv/archive?path=/bind/seen")).status, 200);
    assert.equal((await engine.api.send("HEAD", "/containers/vv/archive?path=/proc/version")).status, 404);
    await api("DELETE", "/containers/vv?force=1");
  }
});

test("links of the container lead nowhere outside it, out and in", async () => {
  const canary = scratch("canary");
  writeFileSync(join(canary, "secret"), "of the machine\n");
  const content = scratch("payload");
  writeFileSync(join(content, "secret"), "overwritten\n");
  const up = "../".repeat(30);
  await running("hh", `mkdir /w; ln -s ${canary} /w/abs; ln -s ${up}${canary.slice(1)} /w/rel; ln -s /proc/1/root${canary} /w/proc`);
  // The control: who follows the container's link as a string reaches the machine's file.
  const upper = join(engine.dataRoot, "layers/overlay2", (await api("GET", "/containers/hh/json")).Id, "diff");
  assert.equal(readFileSync(join(upper, "w/abs/secret"), "utf8"), "of the machine\n");
  for (const stopped of [false, true]) {
    if (stopped) await api("POST", "/containers/hh/kill");
    for (const link of ["abs", "rel", "proc"]) {
      const got = await engine.api.send("GET", `/containers/hh/archive?path=/w/${link}/secret`);
      assert.ok(!got.body.includes("of the machine"), `${link} led outside`);
      await engine.api.send("PUT", `/containers/hh/archive?path=/w/${link}`, { body: tarOf(content), headers: { "content-type": "application/x-tar" } });
      await engine.api.send("PUT", `/containers/hh/archive?path=/w/${link}/..`, { body: tarOf(content), headers: { "content-type": "application/x-tar" } });
    }
  }
  assert.equal(readFileSync(join(canary, "secret"), "utf8"), "of the machine\n");
});

test("a client that leaves in the middle of a copy leaves nothing behind", async () => {
  await running("big", "dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null");
  const pid = Number(readFileSync(engine.pidfile, "utf8"));
  // Sockets and network namespaces come and go for other reasons.
  const fds = (): number => Number(engine.machine.run("sh", "-c", `ls -l /proc/${pid}/fd | grep -cvE ' (net|socket):'`));
  const before = fds();
  for (let round = 0; round < 10; round++) await engine.api.send("GET", "/containers/big/archive?path=/big", { timeoutMs: 1 }).catch(() => undefined);
  await eventually(() => assert.ok(fds() <= before + 2, `${fds()} open files after ${before}`));
  await api("POST", "/containers/big/kill");
  assert.ok(!existsSync(join(engine.dataRoot, "volume-parts/big")));
});
