/** Another version of the daemon takes over what runs: nothing that runs notices, and our clients go on. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { until } from "../../src/lib/eventually.testing.ts";
import type { Json } from "../harness/api.ts";
import { Cli, collect } from "../harness/cli.ts";
import { type Engine, project, withEngine } from "../harness/engine.ts";
import { otherVersion } from "../harness/package.ts";

const ticker = "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo tick $i; sleep 0.05; done; exit 7";

/** Lines of a client that is still running. */
function linesOf({ stdout }: { stdout: NodeJS.ReadableStream }): { lines(): string[] } {
  let text = "";
  stdout.on("data", (data: Buffer) => (text += data.toString()));
  return { lines: () => text.split("\n").slice(0, -1) };
}

const isCounted = (lines: readonly string[]): boolean => lines.every((line, index) => line === `tick ${index + 1}`);
const launchersOf = ({ machine }: Engine): string[] => machine.run("pgrep", "-x", "gantry-launch").trim().split("\n");
const pidsOf = async ({ api }: Engine, names: readonly string[]): Promise<number[]> => Promise.all(names.map(async (name) => (await api.json("GET", `/containers/${name}/json`)).State.Pid as number));

test("a newer daemon takes over: processes, ports, names, health, execs, followers and attached clients go on; an older one is refused", (t) =>
  withEngine(async (engine) => {
    const api = (method: string, path: string, json?: object): Promise<Json> => engine.api.json(method, path, json === undefined ? {} : { json });
    const made = (name: string): string => {
      const folder = join(engine.machine.folder, name);
      mkdirSync(folder);
      return folder;
    };
    const newer = otherVersion(made("newer"), { version: "9.0.0", migrations: [["containers-9", "ALTER TABLE containers ADD COLUMN later TEXT"]] });
    const cli = new Cli(join(project, "bin/gantry"), engine);

    await cli.ok("network", "create", "lan");
    await cli.ok("run", "-d", "--name", "server", "--network", "lan", "-p", "80", "--health-cmd", "http://:80/page", "--health-interval", "200ms", "busybox", "sh", "-c", "mkdir /w; echo served >/w/page; exec httpd -f -p 80 -h /w");
    await cli.ok("run", "-d", "-i", "--name", "echo", "--network", "lan", "busybox", "cat");
    await cli.ok("exec", "-d", "server", "sleep", "4321");
    const port = (await cli.ok("port", "server", "80/tcp")).split("\n")[0]!.split(":").pop()!;
    const served = (): string => engine.machine.run("busybox", "wget", "-qO-", `http://127.0.0.1:${port}/page`);
    await until("a page", () => served() === "served\n");
    const attached = cli.start("run", "--name", "ticker", "busybox", "sh", "-c", ticker);
    const shown = linesOf(attached);
    await until("a tick", () => shown.lines().length > 3);
    const follower = cli.start("logs", "-f", "ticker");
    const followed = linesOf(follower);
    const typist = cli.start("attach", "echo");
    const typed = linesOf(typist);
    t.after(() => [attached, follower, typist].forEach((client) => client.kill("SIGKILL")));
    typist.stdin.write("one\n");
    await until("an echo", () => typed.lines().includes("one"));
    const names = ["server", "echo", "ticker"];
    const [pids, launchers] = [await pidsOf(engine, names), launchersOf(engine)];

    await engine.stop();
    typist.stdin.write("two\n");
    assert.equal(served(), "served\n", "while there is no daemon");
    const before = shown.lines().length;
    await delay(300);
    await engine.start({ package: newer });

    const { Version, Components } = await api("GET", "/version");
    assert.match(JSON.stringify([Version, Components]), /9\.0\.0/);
    assert.deepEqual(await pidsOf(engine, names), pids);
    assert.equal(served(), "served\n");
    assert.equal(await cli.ok("exec", "echo", "wget", "-qO-", "http://server/page"), "served", "the name server is of the newer version, or still answers");
    assert.match(await cli.ok("top", "server"), /sleep 4321/);
    await until("an echo through the newer daemon", () => typed.lines().includes("two"));
    await until("ticks through the newer daemon", () => shown.lines().length > before + 20 && followed.lines().length > before + 20);
    const since = Date.now();
    await until("a new probe", async () => (await api("GET", "/containers/server/json")).State.Health.Log.some(({ Start, ExitCode }: Json) => Date.parse(Start) > since && ExitCode === 0));
    assert.equal(await cli.ok("run", "--rm", "busybox", "echo", "new"), "new");
    await until("the newer launcher", () => launchersOf(engine).length === 1 && launchersOf(engine)[0] !== launchers[0]);

    // Its end may come before the exec is over.
    await cli.ok("exec", "-d", "ticker", "touch", "/stop");
    assert.equal((await collect(attached)).code, 7, "the status of a container that outlived the daemon");
    assert.equal((await collect(follower)).code, 0);
    for (const lines of [shown.lines(), followed.lines()]) assert.ok(isCounted(lines) && lines.length > before, `every line once: ${lines.join(" ")}`);
    typist.stdin.end();
    typist.kill("SIGKILL");
    assert.deepEqual((await api("POST", "/system/check")).Problems, []);

    await engine.stop();
    await assert.rejects(engine.start({ package: project }), /was changed by a newer version of gantryd \(containers-9\)/);
    assert.equal(served(), "served\n", "a refusal leaves alone what runs");
    await engine.start({ package: newer });
    assert.deepEqual(await pidsOf(engine, ["server", "echo"]), pids.slice(0, 2));
    for (const name of names) await cli.ok("rm", "-f", name);
    await cli.ok("network", "rm", "lan");
  }));
