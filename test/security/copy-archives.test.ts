/** The archives of test/images/hostile, given to `cp`: into a folder of the host that a container has, and into its root file system. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";
import { tarOf } from "../../src/sys/tar.fixture.ts";
import { withEngine } from "../harness/engine.ts";
import { escapes, ground, naive, spellings } from "../images/escapes.ts";

test("no archive leads a copy out of its folder", { timeout: 300_000 }, async (context) =>
  withEngine(async ({ api }) => {
    using target = ground();
    await api.json("POST", "/containers/create", { query: { name: "target" }, json: { Image: "busybox", Cmd: ["sleep", "100000"], HostConfig: { Binds: [`${join(target.dir, "a")}:/v/a`] } } });
    let attempts = 0;
    for (const running of [false, true]) {
      if (running) await api.json("POST", "/containers/target/start");
      for (const [what, make] of Object.entries(escapes)) {
        for (const [how, spell] of Object.entries(spellings)) {
          const before = target.state();
          const body = tarOf(...make(join(target.dir, "canary")).map(spell));
          for (const path of ["/v/a/root", "/tmp"]) await api.send("PUT", `/containers/target/archive?path=${path}`, { body, headers: { "content-type": "application/x-tar" } });
          assert.equal(target.state(), before, `${what} ${how}`);
          attempts += 2;
        }
      }
    }
    context.diagnostic(`copies of hostile archives ${attempts}, violations 0`);
    await api.json("DELETE", "/containers/target", { query: { force: true } });
    // Control: an extractor that follows names reaches the canary.
    for (const [what, make] of Object.entries(escapes)) {
      using control = ground();
      const before = control.state();
      naive(control.root, make(join(control.dir, "canary")));
      assert.notEqual(control.state(), before, what);
    }
  }));
