/** The archives of test/images/hostile, given to `cp`: into a folder of the host that a container has, and into its root file system, first of a stopped one, then of a running one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { withEngine } from "../harness/engine.ts";
import { everyEscape, ground } from "../images/escapes.ts";
import { malformed } from "../images/malformed.ts";

test("no archive leads a copy out of its folder", { timeout: 300_000 }, async (context) =>
  withEngine(async ({ api }) => {
    using target = ground();
    await api.json("POST", "/containers/create", { query: { name: "target" }, json: { Image: "busybox", Cmd: ["sleep", "100000"], HostConfig: { Binds: [`${join(target.dir, "a")}:/v/a`] } } });
    const archives = [...everyEscape.map(({ name, entries }): [string, Buffer] => [name, tarOf(...entries(target.canary))]), ...Object.entries(malformed).flatMap(([name, make], at): [string, Buffer][] => (at % 3 === 0 ? [[name, make()]] : []))];
    const before = target.state();
    for (const [at, [name, body]] of archives.entries()) {
      if (at === archives.length >> 1) await api.json("POST", "/containers/target/start");
      for (const path of ["/v/a/root", "/tmp"]) await api.send("PUT", `/containers/target/archive?path=${path}`, { body, headers: { "content-type": "application/x-tar" } });
      assert.equal(target.state(), before, name);
    }
    await api.json("GET", "/containers/target/json");
    context.diagnostic(`hostile archives ${archives.length}, copies ${archives.length * 2}, violations 0`);
    await api.json("DELETE", "/containers/target", { query: { force: true } });
  }));
