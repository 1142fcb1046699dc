/** What is said to be taken and freed on the disk, against the disk itself. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import type { Json } from "../harness/api.ts";
import { Cli, clients } from "../harness/cli.ts";
import { endEngine, type Engine, startedEngine } from "../harness/engine.ts";

let engine: Engine;
let cli: Cli;
before(async () => {
  engine = await startedEngine();
  cli = new Cli(clients()[0]!.program!, engine);
});
after(async () => endEngine(engine));

const api = (method: string, path: string, query: Record<string, string> = {}): Promise<Json> => engine.api.json(method, path, { query });

/** An image of busybox with a megabyte of its own. */
async function image(name: string, files: number): Promise<void> {
  const body = tarOf(...Array.from({ length: files }, (_, at) => ({ name: `${name}-${at}`, data: name.repeat(100_000).slice(0, 100_000) })));
  const { status } = await engine.api.send("POST", "/images/create", { query: { fromSrc: "-", repo: name, tag: "1", changes: 'CMD ["x"]' }, body, headers: { "content-type": "application/x-tar" } });
  assert.equal(status, 200);
}

/** Each inode once, folders with it. */
const onDisk = (...path: string[]): number => Number(engine.machine.run("du", "-s", "--block-size=1", join(engine.dataRoot, ...path)).split("\t")[0]);
const inFiles = (...path: string[]): number => Number(engine.machine.run("sh", "-c", 'find "$1" -type f -printf "%s\\n" | awk "{ sum += \\$1 } END { print sum + 0 }"', "sh", join(engine.dataRoot, ...path)));
const layers = (): string[] => readdirSync(join(engine.dataRoot, "layers/overlay2")).filter((name) => existsSync(join(engine.dataRoot, "layers/overlay2", name, "layer.json")));

test("every number of system df is what the disk says", async () => {
  await image("one", 10);
  await cli.ok("tag", "one:1", "two:1");
  await cli.ok("create", "--name", "changed", "busybox");
  await cli.ok("commit", "-c", "LABEL x=y", "changed", "relabelled:1");
  await cli.ok("rm", "changed");
  await cli.ok("run", "--name", "writing", "-v", "data:/data", "busybox", "sh", "-c", "dd if=/dev/zero of=/data/f bs=1k count=300 2>/dev/null; dd if=/dev/zero of=/own bs=1k count=200 2>/dev/null");
  const { ImageUsage: images, ContainerUsage: containers, VolumeUsage: volumes } = await api("GET", "/v1.52/system/df", { verbose: "1" });
  const blobs = (): number => readdirSync(join(engine.dataRoot, "content/sha256")).reduce((sum, name) => sum + statSync(join(engine.dataRoot, "content/sha256", name)).size, 0);
  assert.equal(images.TotalSize, blobs() + layers().reduce((sum, name) => sum + onDisk("layers/overlay2", name, "diff"), 0));
  const row = (tag: string): Json => images.Items.find(({ RepoTags }: Json) => RepoTags.includes(tag));
  const [busybox, relabelled, one] = [row("busybox:latest"), row("relabelled:1"), row("one:1")];
  assert.deepEqual([one.SharedSize, busybox.SharedSize > 1_000_000, busybox.SharedSize], [0, true, relabelled.SharedSize]);
  assert.equal(busybox.Size + relabelled.Size - busybox.SharedSize + one.Size, images.TotalSize);
  assert.equal(images.Reclaimable, one.Size + relabelled.Size - relabelled.SharedSize);
  assert.deepEqual([images.TotalCount, images.ActiveCount], [3, 1]);
  const [container] = containers.Items;
  assert.deepEqual([containers.TotalSize, container.SizeRw], [container.SizeRw, onDisk("layers/overlay2", container.Id, "diff")]);
  assert.deepEqual([volumes.TotalSize, volumes.Items[0].UsageData], [inFiles("volumes/data/_data"), { RefCount: 1, Size: 307_200 }]);
  assert.match(await cli.ok("system", "df", "-v"), new RegExp(`^one +1 +[0-9a-f]{12} +.*2.0\\d*MB +0B +`, "m"));
  await cli.ok("rm", "writing");
  await cli.ok("volume", "rm", "data");
  await cli.ok("rmi", "one:1", "two:1", "relabelled:1");
});

test("a dry run of everything says what goes and what comes back; its state does exactly that, or nothing", async () => {
  await image("one", 10);
  await cli.ok("run", "--name", "stopped", "-v", "/anonymous", "one:1").catch(() => undefined);
  await cli.ok("run", "--name", "writer", "-v", "/anonymous", "busybox", "sh", "-c", "dd if=/dev/zero of=/anonymous/f bs=1k count=300 2>/dev/null; dd if=/dev/zero of=/own bs=1k count=200 2>/dev/null");
  await cli.ok("network", "create", "idle");
  await cli.ok("volume", "create", "named");
  const dryRun = await cli.ok("system", "prune", "--all", "--volumes", "--dry-run");
  const state = /--state (\S+)/.exec(dryRun)?.[1] ?? "";
  assert.match(dryRun, /^Would delete containers:\n(?:[0-9a-f]{64}\n){2}\nWould delete networks:\nidle\n\nWould delete volumes:\n(?:[0-9a-f]{64}\n){2}\nWould delete images:\nuntagged: busybox:latest\n[^]*untagged: one:1\n/);
  assert.equal((await cli.ok("ps", "-aq")).split("\n").length, 2);
  await cli.ok("tag", "one:1", "two:1");
  const changed = await cli.run(["system", "prune", "--all", "--volumes", "--state", state]);
  assert.deepEqual([changed.code, changed.stderr], [1, "Error response from daemon: the containers, networks, volumes or images have changed since the dry run: see what a prune would remove now\n"]);
  assert.equal((await cli.ok("ps", "-aq")).split("\n").length, 2);
  await cli.ok("rmi", "two:1");
  const plan = await api("POST", "/system/prune", { "dry-run": "1", all: "1", volumes: "1" });
  assert.equal(plan.State, state);
  const free = (): number => onDisk("content") + onDisk("layers") + onDisk("volumes");
  const before = free();
  const applied = await cli.ok("system", "prune", "--all", "--volumes", "--state", state);
  assert.equal(applied.replaceAll("Deleted", "Would delete").replace("reclaimed", "reclaimable").toLowerCase(), dryRun.replace(/\nTo do.*$/, "").toLowerCase());
  /* The engine's own files beside a layer are not counted, nor what is lost in blobs' last blocks. */
  const freed = before - free();
  assert.ok(freed >= plan.SpaceReclaimed && freed < plan.SpaceReclaimed + 200_000, `${freed} bytes came back, ${plan.SpaceReclaimed} were announced`);
  assert.deepEqual([await cli.ok("images", "-q"), await cli.ok("volume", "ls", "-q"), layers()], ["", "named", []]);
  await cli.ok("volume", "rm", "named");
  await engine.importBusybox();
});

for (const kind of ["container", "volume", "network", "image"] as const) {
  test(`${kind} prune: a dry run removes nothing, its state is refused once something has changed`, async () => {
    const make = async (name: string): Promise<void> => {
      if (kind === "container") await cli.ok("create", "--name", name, "busybox");
      else if (kind === "image") await image(name, 1);
      else await cli.ok(kind, "create", name);
    };
    const flags = kind === "volume" ? ["--all"] : kind === "image" ? ["--all", "--filter", "until=2100-01-01T00:00:00"] : [];
    await make("first");
    const dryRun = async (): Promise<string> => /--state (\S+)/.exec(await cli.ok(kind, "prune", ...flags, "--dry-run"))?.[1] ?? "";
    const state = await dryRun();
    assert.equal(await dryRun(), state);
    await make("second");
    const { code, stderr } = await cli.run([kind, "prune", ...flags, "--state", state]);
    assert.deepEqual([code, stderr], [1, `Error response from daemon: the ${kind}s have changed since the dry run: see what a prune would remove now\n`]);
    const applied = await cli.ok(kind, "prune", ...flags, "--state", await dryRun());
    assert.equal(applied.split("\n").filter((line) => /^(?:untagged: )?(?:first|second|[0-9a-f]{64})/.test(line)).length, 2, applied);
    if (kind === "image") await engine.importBusybox();
  });
}

test("layers of an image that was removed by force go with its last container", async () => {
  await image("doomed", 10);
  await cli.ok("create", "--name", "last", "doomed:1");
  const id = await cli.ok("images", "-q", "--no-trunc", "doomed:1");
  const known = layers().length;
  await cli.ok("rmi", "-f", id);
  assert.equal(layers().length, known);
  await cli.ok("rm", "last");
  assert.equal(layers().length, known - 1);
});
