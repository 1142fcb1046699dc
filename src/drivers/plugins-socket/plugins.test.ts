import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Plugins } from "../../core/plugins.ts";
import { isMethodMissing } from "../../core/plugins.ts";
import { pluginNames } from "./discovery.ts";
import { createSocketPlugins } from "./index.ts";

type Answer = (method: string, body: string, res: ServerResponse) => void;

interface Bench extends AsyncDisposable {
  folder: string;
  plugins: Plugins;
  serve(place: string | 0, answer: Answer): Promise<http.Server>;
}

function bench(limits: object = {}): Bench {
  const folder = mkdtempSync(join(tmpdir(), "gantry-plugins-"));
  const servers: http.Server[] = [];
  mkdirSync(join(folder, "run"));
  mkdirSync(join(folder, "etc"));
  return {
    folder,
    plugins: createSocketPlugins({ folders: { sockets: join(folder, "run"), specs: [join(folder, "etc")] }, retryMilliseconds: 0, ...limits }),
    serve: async (place, answer) => {
      const server = http.createServer((req: IncomingMessage, res) => {
        let body = "";
        req.on("data", (chunk: Buffer) => (body += chunk.toString()));
        req.on("end", () => {
          if (req.url !== "/Plugin.Activate") return answer((req.url ?? "").slice(1), body, res);
          assert.equal(req.headers.accept, "application/vnd.docker.plugins.v1.2+json");
          res.end(JSON.stringify({ Implements: ["NetworkDriver"] }));
        });
      });
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(place === 0 ? { port: 0, host: "127.0.0.1" } : { path: place }, resolve));
      return server;
    },
    [Symbol.asyncDispose]: async () => {
      for (const server of servers) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const echo: Answer = (method, body, res) => res.end(JSON.stringify({ method, body: JSON.parse(body) }));

test("plugins are found by socket, by address and by description, and asked by method", async () => {
  await using b = bench();
  await b.serve(join(b.folder, "run", "one.sock"), echo);
  mkdirSync(join(b.folder, "run", "two"));
  await b.serve(join(b.folder, "run", "two", "two.sock"), echo);
  const { port } = (await b.serve(0, echo)).address() as AddressInfo;
  writeFileSync(join(b.folder, "etc", "three.spec"), `tcp://127.0.0.1:${port}\n`);
  writeFileSync(join(b.folder, "etc", "four.json"), JSON.stringify({ Name: "four", Addr: `http://127.0.0.1:${port}` }));
  for (const name of ["one", "two", "three", "four"]) {
    const plugin = await b.plugins.find(name, "NetworkDriver");
    assert.deepEqual(await plugin.call("NetworkDriver.Join", { a: 1 }), { method: "NetworkDriver.Join", body: { a: 1 } });
  }
  assert.deepEqual(b.plugins.active("NetworkDriver"), ["four", "one", "three", "two"]);
  assert.deepEqual(b.plugins.active("IpamDriver"), []);
  assert.deepEqual(pluginNames({ sockets: join(b.folder, "run"), specs: [join(b.folder, "etc")] }), ["four", "one", "three", "two"]);
});

test("what is not there, or cannot do it, or has a name that leads elsewhere, is not found", async () => {
  await using b = bench();
  await b.serve(join(b.folder, "run", "one.sock"), echo);
  await b.serve(join(b.folder, "outside.sock"), echo);
  await assert.rejects(b.plugins.find("none", "NetworkDriver"), { code: "not-found", message: 'plugin "none" not found' });
  await assert.rejects(b.plugins.find("../outside", "NetworkDriver"), { code: "not-found" });
  await assert.rejects(b.plugins.find("one", "IpamDriver"), { code: "not-found", message: /does not implement the "IpamDriver" interface: it has NetworkDriver/ });
  writeFileSync(join(b.folder, "etc", "bad.spec"), "ftp://x");
  await assert.rejects(b.plugins.find("bad", "NetworkDriver"), { code: "system", message: /bad\.spec: "ftp:\/\/x" is no address of a plugin/ });
  // It comes later.
  await b.serve(join(b.folder, "run", "none.sock"), echo);
  assert.equal((await b.plugins.find("none", "NetworkDriver")).name, "none");
});

test("refusals are in the plugin's words; hostile answers are bounded", async () => {
  await using b = bench({ callMilliseconds: 2000 });
  const answers: Record<string, (res: ServerResponse) => void> = {
    refuse: (res) => res.end('{"Err":"no more bridges"}'),
    status: (res) => res.writeHead(500).end("it broke"),
    empty: (res) => res.writeHead(503).end(),
    missing: (res) => res.writeHead(404).end("404 page not found"),
    nonsense: (res) => res.end("<html>"),
    list: (res) => res.end("[1]"),
    huge: (res) => res.end(`{"a":"${"x".repeat(2 * 1024 * 1024)}"}`),
    slow: (res) => res.write('{"a":'),
    silent: () => {},
    cut: (res) => res.destroy(),
  };
  await b.serve(join(b.folder, "run", "one.sock"), (method, _body, res) => answers[method]?.(res));
  const plugin = await b.plugins.find("one", "NetworkDriver");
  const fails = (method: string, message: RegExp): Promise<void> => assert.rejects(plugin.call(method), { code: "system", message });
  await fails("refuse", /^refuse: no more bridges$/);
  await fails("status", /^status: it broke$/);
  await fails("empty", /^empty: status 503$|^empty: /);
  await assert.rejects(plugin.call("missing"), (error: Error) => error.message === "missing: 404 page not found" && isMethodMissing(error));
  await assert.rejects(plugin.call("refuse"), (error: Error) => !isMethodMissing(error));
  await fails("nonsense", /^nonsense: the plugin's answer is no JSON$/);
  await fails("list", /^list: the plugin's answer is no object$/);
  await fails("huge", /^huge: the plugin's answer has more than 1048576 bytes$/);
  await fails("slow", /^slow: the plugin has not answered for 2 seconds$|^slow: aborted$/);
  await fails("silent", /^silent: the plugin has not answered for 2 seconds$/);
  await fails("cut", /^cut: socket hang up$/);
});

test("a plugin that is restarted is waited for", async () => {
  await using b = bench({ retryMilliseconds: 90_000 });
  const path = join(b.folder, "run", "one.sock");
  const first = await b.serve(path, echo);
  const plugin = await b.plugins.find("one", "NetworkDriver");
  first.closeAllConnections();
  await new Promise((resolve) => first.close(resolve));
  const pending = plugin.call("NetworkDriver.Join", {});
  await new Promise((resolve) => setTimeout(resolve, 200));
  await b.serve(path, echo);
  assert.equal((await pending)["method"], "NetworkDriver.Join");
});
