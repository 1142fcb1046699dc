import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DbusConnection, DbusError, bus } from "./connection.ts";
import type { Respond } from "./service.testing.ts";
import { TestBus } from "./service.testing.ts";

async function inFolder(use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "gantry-dbus-"));
  try {
    await use(join(folder, "bus"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const withBus = (respond: Respond, use: (path: string, service: TestBus) => Promise<void>, options?: { greeting?: string; pieces?: boolean }): Promise<void> =>
  inFolder(async (path) => {
    using service = await TestBus.listen(path, respond, options);
    await use(path, service);
  });

const call = { destination: "d.d", path: "/", interface: "i.i" };
const none: Respond = () => undefined;

test("calls get their own answers, errors have names, signals come in between, also byte by byte", async () => {
  const respond: Respond = ({ member }) => (member === "Silent" ? undefined : { signature: "s", body: [member === "Fail" ? "why" : member!], ...(member === "Fail" && { error: "e.Name" }) });
  await withBus(
    respond,
    async (path, service) => {
      using connection = await DbusConnection.open(path);
      const seen = new Promise((resolve) => connection.listen(({ body }) => resolve(body)));
      service.signal({ path: "/", interface: "i.i", member: "Seen", signature: "as", body: [["x", "y"]] });
      assert.deepEqual(await Promise.all([connection.call({ ...call, member: "One" }), connection.call({ ...call, member: "Two" })]), [["One"], ["Two"]]);
      assert.deepEqual(await seen, [["x", "y"]]);
      await assert.rejects(connection.call({ ...call, member: "Fail" }), (error: DbusError) => error instanceof DbusError && error.dbusName === "e.Name" && error.message === "why");
      const pending = connection.call({ ...call, member: "Silent" });
      connection[Symbol.dispose]();
      await assert.rejects(pending, /the connection was closed|ECONNRESET/);
      await assert.rejects(connection.call({ ...call, member: "Late" }), /the connection was closed|ECONNRESET/);
    },
    { pieces: true },
  );
});

test("who is not let in, who finds nobody, and who gets no answer, hears so", async () => {
  await withBus(none, (path) => assert.rejects(DbusConnection.open(path), /not let in: REJECTED EXTERNAL/), { greeting: "REJECTED EXTERNAL" });
  await withBus(none, (path) => assert.rejects(DbusConnection.open(path, { timeoutMs: 50 }), /no answer to AUTH in 0.05 seconds/), { greeting: "" });
  await withBus(none, async (path, service) => {
    using connection = await DbusConnection.open(path, { direct: true });
    const [pending, lost] = [connection.call({ ...call, member: "Silent" }), connection.lost];
    service.hangUp();
    await assert.rejects(pending, /the connection was closed|ECONNRESET/);
    await assert.rejects(lost, /the connection was closed|ECONNRESET/);
  });
  await assert.rejects(DbusConnection.open("/nonexistent/socket"), /ENOENT/);
});

const config = (path: string): string => `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path=${path}</listen><policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`;

test("the real dbus-daemon understands us, and we it", { skip: spawnSync("sh", ["-c", "command -v dbus-daemon"]).status === 0 ? false : "needs dbus-daemon" }, async () => {
  await inFolder(async (path) => {
    writeFileSync(`${path}.conf`, config(path));
    const daemon = spawn("dbus-daemon", [`--config-file=${path}.conf`, "--nofork", "--print-address"], { stdio: ["ignore", "pipe", "ignore"] });
    const exited = once(daemon, "exit");
    try {
      await Promise.race([once(daemon.stdout, "data"), exited.then(([code]) => assert.fail(`dbus-daemon ended with ${code}`))]);
      using connection = await DbusConnection.open(path);
      const owned = new Promise((resolve) => connection.listen(({ member, body }) => member === "NameOwnerChanged" && resolve(body?.[0])));
      await connection.call({ ...bus, member: "AddMatch", signature: "s", body: ["type='signal',member='NameOwnerChanged',arg0='org.example.Test'"] });
      assert.deepEqual(await connection.call({ ...bus, member: "RequestName", signature: "su", body: ["org.example.Test", 0] }), [1]);
      assert.equal(await owned, "org.example.Test");
      await assert.rejects(connection.call({ ...bus, member: "NoSuch" }), (error: DbusError) => error.dbusName === "org.freedesktop.DBus.Error.UnknownMethod");
      const [properties] = await connection.call({ ...bus, interface: "org.freedesktop.DBus.Properties", member: "GetAll", signature: "s", body: [bus.interface] });
      assert.ok((properties as [string, unknown][]).some(([name]) => name === "Features"));
    } finally {
      daemon.kill();
      await exited;
    }
  });
});
