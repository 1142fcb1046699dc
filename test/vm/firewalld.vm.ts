/** Published ports beside the real firewalld, which takes a bus and its own rules of nftables. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { withEngine } from "../harness/engine.ts";

/** A machine of the harness has a /run of its own. */
const busFolder = "/system-bus";
const env = { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${busFolder}/system_bus_socket` };

test("honour-host: firewalld decides who reaches a published port; docker: everybody does; containers stay connected", async () => {
  mkdirSync(busFolder);
  assert.equal(spawnSync("mount", ["--bind", "/run/dbus", busFolder]).status, 0);
  await withEngine(
    async (engine) => {
      const { machine, api } = engine;
      const ask = (...args: string[]): string => machine.run("env", `DBUS_SYSTEM_BUS_ADDRESS=${env.DBUS_SYSTEM_BUS_ADDRESS}`, "firewall-cmd", ...args);
      const reached = (): boolean => {
        try {
          return machine.run("ip", "netns", "exec", "gateway", "busybox", "nc", "-w", "5", "10.231.0.2", "8080").includes("hello");
        } catch {
          return false;
        }
      };
      const until = async (wanted: boolean, when: string): Promise<void> => {
        for (let tries = 0; reached() !== wanted; tries++) {
          assert.ok(tries < 30, `${when}: the port is ${wanted ? "not " : ""}reached`);
          await sleep(500);
        }
      };
      const create = async (Cmd: string[], HostConfig: object): Promise<string> => {
        const { Id } = await api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd, HostConfig } });
        await api.json("POST", `/containers/${Id}/start`);
        return Id;
      };
      const server = await create(["sh", "-c", "while :; do echo hello | nc -l -p 80; done"], { PortBindings: { "80/tcp": [{ HostPort: "8080" }] } });
      await until(true, "without firewalld");
      const firewalld = machine.spawn(["firewalld", "--nofork", "--nopid"], { stdio: ["ignore", "inherit", "inherit"], env });
      const ended = once(firewalld, "exit");
      for (let tries = 0; ; tries++) {
        try {
          if (ask("--state").includes("running")) break;
        } catch (error) {
          assert.ok(tries < 60 && firewalld.exitCode === null, String(error));
        }
        await sleep(1000);
      }
      await until(false, "closed");
      ask("--add-port=8080/tcp");
      await until(true, "opened");
      ask("--remove-port=8080/tcp");
      await until(false, "closed again");
      const pinging = await create(["ping", "-c", "3", "-W", "10", "10.231.0.1"], {});
      assert.equal((await api.json("POST", `/containers/${pinging}/wait`)).StatusCode, 0, "a container reaches the world");
      await engine.stop();
      await engine.start({ flags: ["--firewall", "docker"] });
      await until(true, "as Docker does");
      for (const id of [server, pinging]) await api.json("DELETE", `/containers/${id}`, { query: { force: true } });
      machine.run("pkill", "firewalld");
      await ended;
    },
    { flags: ["--firewall", "honour-host"] },
  );
});
