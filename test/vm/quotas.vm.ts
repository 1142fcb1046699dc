/** Sizes of containers and volumes, by project quotas of XFS and ext4. The drivers' own tests run here, too. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { makeLoopDisk } from "../../src/sys/loop-disk.testing.ts";
import { demultiplex } from "../harness/api.ts";
import { withEngine } from "../harness/engine.ts";

const disks = [
  { name: "xfs", format: "mkfs.xfs -q", options: "pquota", megabytes: 400 },
  { name: "ext4", format: "mkfs.ext4 -q -O quota,project -E quotatype=prjquota", options: "prjquota", megabytes: 200 },
];

/** Fills a folder until the file system refuses more: says how many whole megabytes were written, and what df says of it. */
const filling = (folder: string): string => `i=0; while dd if=/dev/zero of=${folder}/f$i bs=1M count=1 2>/dev/null; do i=$((i+1)); [ $i -lt 8 ] || break; done; df -k ${folder} | tail -n 1 | awk '{ print $(NF-4) }'; echo $i`;

for (const { name, ...disk } of disks) {
  test(`${name}: containers and volumes take no more than their size, also after the daemon's restart`, async () => {
    const made = makeLoopDisk(disk);
    assert.ok(!("missing" in made), "missing" in made ? made.missing : "");
    using stack = new DisposableStack();
    stack.use(made);
    await withEngine(
      async (engine) => {
        const { api } = engine;
        const run = async (Cmd: string, HostConfig: object): Promise<string[]> => {
          const { Id } = await api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sh", "-c", Cmd], HostConfig: { NetworkMode: "none", ...HostConfig } } });
          await api.json("POST", `/containers/${Id}/start`);
          await api.json("POST", `/containers/${Id}/wait`);
          const { body } = await api.send("GET", `/containers/${Id}/logs`, { query: { stdout: true } });
          await api.json("DELETE", `/containers/${Id}`);
          return demultiplex(body).stdout.toString().trim().split("\n");
        };
        const limited = (megabytes: number) => (lines: string[]): void => {
          assert.equal(lines[0], String(megabytes << 10), `df: ${lines.join(" ")}`);
          assert.ok(Number(lines[1]) <= megabytes && Number(lines[1]) >= megabytes - 2, `written: ${lines.join(" ")}`);
        };
        limited(5)(await run(filling("/tmp"), { StorageOpt: { size: "5M" } }));
        const free = await run(filling("/tmp"), {});
        assert.equal(free[1], "8", "a container without a size");
        await api.json("POST", "/volumes/create", { json: { Name: "small", DriverOpts: { size: "4M" } } });
        limited(4)(await run(`${filling("/data")}; rm /data/*`, { Binds: ["small:/data"] }));
        await engine.stop();
        await engine.start();
        limited(4)(await run(filling("/data"), { Binds: ["small:/data"], StorageOpt: { size: "5M" } }));
        limited(5)(await run(filling("/tmp"), { Binds: ["small:/data"], StorageOpt: { size: "5M" } }));
      },
      { flags: ["--data-root", join(made.dir, "root")] },
    );
  });
}
