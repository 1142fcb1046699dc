import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { CgroupGroup } from "./groups.ts";
import { parseBlkio, parseFlat, parseIoStat, parseNetDev, readStats } from "./stats.ts";

function group(t: TestContext, version: 1 | 2, controllers: string[], files: Record<string, string>): CgroupGroup {
  const path = mkdtempSync(join(tmpdir(), "gantry-stats-"));
  t.after(() => rmSync(path, { recursive: true }));
  mkdirSync(path, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content);
  return { path, relative: "/x", hierarchy: { version, mountpoint: path, controllers, ownPath: "/" } };
}

test("cgroup v1", async (t) => {
  const groups = [
    group(t, 1, ["cpuacct"], { "cpuacct.usage": "123\n", "cpuacct.stat": "user 2\nsystem 3\n", "cpuacct.usage_percpu": "100 23 \n" }),
    group(t, 1, ["cpu"], { "cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 77\n" }),
    group(t, 1, ["memory"], { "memory.usage_in_bytes": "10\n", "memory.max_usage_in_bytes": "20\n", "memory.limit_in_bytes": "4096\n", "memory.failcnt": "1\n", "memory.stat": "cache 1\nrss 2\n" }),
    group(t, 1, ["pids"], { "pids.current": "3\n", "pids.max": "max\n" }),
    group(t, 1, ["blkio"], { "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4\n8:0 Write 5\nTotal 9\n" }),
  ];
  const stats = await readStats(groups, process.pid);
  assert.deepEqual(stats.cpu, { total: 123, user: 20_000_000, kernel: 30_000_000, perCpu: [100, 23] });
  assert.deepEqual(stats.throttling, { periods: 5, throttledPeriods: 2, throttledTime: 77 });
  assert.deepEqual(stats.memory, { usage: 10, maxUsage: 20, limit: 4096, failures: 1, details: { cache: 1, rss: 2 } });
  assert.deepEqual(stats.pids, { current: 3 });
  assert.deepEqual(stats.blkio, { ioServiceBytes: [{ major: 8, minor: 0, op: "Read", value: 4 }, { major: 8, minor: 0, op: "Write", value: 5 }] });
});

test("cgroup v2", async (t) => {
  const stats = await readStats(
    [group(t, 2, ["cpu", "memory", "pids", "io"], { "cpu.stat": "usage_usec 9\nuser_usec 4\nsystem_usec 5\nnr_periods 1\nnr_throttled 1\nthrottled_usec 2\n", "memory.current": "10\n", "memory.max": "max\n", "memory.stat": "anon 1\n", "pids.current": "3\n", "pids.max": "9\n", "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n" })],
    process.pid,
  );
  assert.deepEqual(stats.cpu, { total: 9000, user: 4000, kernel: 5000 });
  assert.deepEqual(stats.throttling, { periods: 1, throttledPeriods: 1, throttledTime: 2000 });
  assert.equal(stats.memory?.usage, 10);
  assert.ok((stats.memory?.limit ?? 0) > 1_000_000, "no limit is the machine's memory");
  assert.deepEqual(stats.pids, { current: 3, limit: 9 });
  assert.equal(stats.blkio.ioServiced?.length, 2);
});

test("a machine that counts nothing", async () => {
  const stats = await readStats([], 2 ** 22 + 1);
  assert.deepEqual(stats, { throttling: { periods: 0, throttledPeriods: 0, throttledTime: 0 }, blkio: {}, networks: {} });
});

test("texts", () => {
  assert.deepEqual(parseBlkio("Total 0\n253:0 7\n"), [{ major: 253, minor: 0, op: "", value: 7 }]);
  assert.deepEqual(parseIoStat(""), { ioServiceBytes: [], ioServiced: [] });
  const dev = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0:10 2 3 4 0 0 0 0 20 5 6 7 0 0 0 0\n";
  assert.deepEqual(parseNetDev(dev), { eth0: { rxBytes: 10, rxPackets: 2, rxErrors: 3, rxDropped: 4, txBytes: 20, txPackets: 5, txErrors: 6, txDropped: 7 } });
});

test("lines of keys and values, with the keys of the time before", () => {
  const keys: string[] = [];
  const texts = ["cache 1\nrss 2\n", "cache 3\nrss 4\n", "cache_more 5\nrss 6", "rss 7\n", "broken\n nothing\ncache 8\n", ""];
  const expected = [{ cache: 1, rss: 2 }, { cache: 3, rss: 4 }, { cache_more: 5, rss: 6 }, { rss: 7 }, { cache: 8 }, {}];
  assert.deepEqual(texts.map((text) => parseFlat(text, keys)), expected);
  assert.deepEqual(texts.map((text) => parseFlat(text)), expected);
});
