/**
 * Losses of power: after each answer the disk is copied as it is, without what only the kernel's memory has, and a daemon is started on
 * the copy, on a machine that was booted anew.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copyDisk, type LoopDisk, makeLoopDisk } from "../../src/sys/loop-disk.testing.ts";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import type { Api, Json } from "../harness/api.ts";
import { Engine } from "../harness/engine.ts";
import { Machine } from "../harness/machine.ts";

/** Nothing is written but what is asked for. */
const disk = makeLoopDisk({ format: "mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0", options: "commit=300", megabytes: 192 });

interface Promised {
  what: string;
  make: (api: Api) => Promise<unknown>;
  /** Throws where it is not so, now and after everything that follows. */
  check: (api: Api) => Promise<unknown>;
}

const created = { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig: { Binds: ["data:/data"] } };
const inspect = (api: Api, name: string): Promise<Json> => api.json("GET", `/containers/${name}/json`);
let saved: Uint8Array = new Uint8Array();

const promises: Promised[] = [
  { what: "create", make: (api) => api.json("POST", "/containers/create?name=first", { json: created }), check: async (api) => assert.equal((await inspect(api, "first")).Mounts[0].Name, (await api.json("GET", "/volumes/data")).Name) },
  { what: "rename", make: (api) => api.json("POST", "/containers/first/rename?name=second"), check: (api) => inspect(api, "second") },
  { what: "update", make: (api) => api.json("POST", "/containers/second/update", { json: { LabelAdd: { kept: "yes" } } }), check: async (api) => assert.equal((await inspect(api, "second")).Config.Labels.kept, "yes") },
  { what: "tag", make: (api) => api.json("POST", "/images/busybox/tag?repo=other&tag=1"), check: (api) => api.json("GET", "/images/other:1/json") },
  { what: "volume create", make: (api) => api.json("POST", "/volumes/create", { json: { Name: "own", Labels: { a: "b" } } }), check: async (api) => assert.equal((await api.json("GET", "/volumes/own")).Labels.a, "b") },
  { what: "network create", make: (api) => api.json("POST", "/networks/create", { json: { Name: "lan" } }), check: (api) => api.json("GET", "/networks/lan") },
  { what: "network connect", make: (api) => api.json("POST", "/networks/lan/connect", { json: { Container: "second" } }), check: async (api) => assert.ok("lan" in (await inspect(api, "second")).NetworkSettings.Networks) },
  {
    what: "commit",
    make: async (api) => {
      await api.send("PUT", "/containers/second/archive?path=/", { body: tarOf({ name: "note", data: "x".repeat(100_000) }) });
      await api.json("POST", "/commit?container=second&repo=committed");
    },
    check: (api) => runs(api, "committed", "wc -c </note", "100000"),
  },
  {
    what: "load",
    make: async (api) => {
      saved = (await api.send("GET", "/images/committed/get")).body;
      await api.json("DELETE", "/images/committed");
      await api.send("POST", "/images/load", { body: Buffer.from(saved) });
    },
    check: (api) => runs(api, "committed", "wc -c </note", "100000"),
  },
];

/** In this order in one container: what is printed. */
async function runs(api: Api, image: string, script: string, printed: string): Promise<void> {
  const { Id } = await api.json("POST", "/containers/create", { json: { Image: image, Cmd: ["sh", "-c", script], Tty: true, HostConfig: { NetworkMode: "none" } } });
  await api.json("POST", `/containers/${Id}/start`);
  assert.equal((await api.json("POST", `/containers/${Id}/wait`)).StatusCode, 0);
  const text = String((await api.send("GET", `/containers/${Id}/logs?stdout=1`)).body).trim();
  await api.json("DELETE", `/containers/${Id}`);
  assert.equal(text, printed);
}

/** A daemon of a machine that was booted just now. */
async function booted(dir: string): Promise<Engine> {
  const machine = await Machine.create();
  const bootId = join(machine.folder, "boot_id");
  writeFileSync(bootId, `${randomUUID()}\n`);
  machine.run("mount", "--bind", bootId, "/proc/sys/kernel/random/boot_id");
  const engine = new Engine(machine, { flags: ["--data-root", dir] });
  try {
    await engine.start();
    return engine;
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
}

async function shutDown(engine: Engine): Promise<void> {
  engine.api.close();
  await engine.kill();
  await engine.machine[Symbol.asyncDispose]();
}

test("what was answered is there after a loss of power, and system check finds nothing", { skip: "missing" in disk ? `needs ${disk.missing}` : false }, async () => {
  if ("missing" in disk) return;
  using stack = new DisposableStack();
  stack.use(disk);
  const engine = await booted(join(disk.dir, "root"));
  const copies: LoopDisk[] = [];
  try {
    await engine.importBusybox();
    for (const { make } of promises) {
      await make(engine.api);
      copies.push(stack.use(copyDisk(disk)));
    }
  } finally {
    await shutDown(engine); }
  for (const [index, copy] of copies.entries()) {
    execFileSync("mount", ["-o", "loop", copy.file, copy.dir]);
    const again = await booted(join(copy.dir, "root"));
    try {
      const { what, check } = promises[index]!;
      await assert.doesNotReject(check(again.api), `after the answer to ${what}`);
      assert.deepEqual((await again.api.json("POST", "/system/check")).Problems, [], `after the answer to ${what}`);
      if (index === copies.length - 1) await again.api.json("POST", "/containers/second/start");
    } finally {
      await shutDown(again);
    }
  }
});
