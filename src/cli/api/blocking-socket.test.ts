import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { ApiClient } from "./client.ts";
import { openEndpoint } from "./endpoint.ts";

const folder = mkdtempSync(join(tmpdir(), "gantry-blocking-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const addon = { exports: {} as { connect(path: string): number } };
process.dlopen(addon, join(import.meta.dirname, "../../../build/native/client.node"));
const { connect } = addon.exports;

const server = `
const { parentPort, workerData } = require("node:worker_threads");
const answers = {
  "HEAD /_ping": "HTTP/1.1 200 OK\\r\\nApi-Version: 1.44\\r\\n\\r\\n",
  "GET /v1.44/chunks": "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n7\\r\\n{\\"a\\":[1\\r\\n4\\r\\n,2]}\\r\\n0\\r\\n\\r\\n",
  "GET /v1.44/none": 'HTTP/1.1 404 Not Found\\r\\nContent-Type: application/json\\r\\nContent-Length: 26\\r\\n\\r\\n{"message":"no such none"}',
  "GET /v1.44/long": "HTTP/1.1 200 OK\\r\\nContent-Length: 1000000\\r\\n\\r\\n" + "x".repeat(1000000),
};
let connections = 0;
require("node:net").createServer((socket) => {
  connections++;
  socket.on("error", () => {});
  socket.on("data", (data) => {
    const [method, path] = data.toString().split(" ");
    if (path.endsWith("/connections")) socket.end("HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\n" + connections);
    else if (path.endsWith("/cut")) socket.end("HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\ncut");
    else socket.write(answers[method + " " + path]);
  });
}).listen(workerData, () => parentPort.postMessage("ready"));
`;

test("asks over one connection without an event loop; a cut one is opened again", async () => {
  const socketPath = join(folder, "s");
  const worker = new Worker(server, { eval: true, workerData: socketPath });
  after(() => worker.terminate());
  await once(worker, "message");
  const client = new ApiClient({ endpoint: openEndpoint(`unix://${socketPath}`, undefined, connect), userAgent: "test" });
  assert.deepEqual(await client.json("GET", "/chunks"), { a: [1, 2] });
  await assert.rejects(client.json("GET", "/none"), { status: 404 });
  assert.equal((await client.text("GET", "/long")).length, 1_000_000);
  assert.equal(await client.text("GET", "/connections"), "1");
  assert.equal(await client.text("GET", "/connections"), "2");
  await assert.rejects(client.text("GET", "/cut"), { message: "unexpected EOF" });
  client.close();
});

test("a daemon that is not there is told in Docker's words", async () => {
  const client = new ApiClient({ endpoint: openEndpoint("unix:///nosuch/x.sock", undefined, connect), userAgent: "test" });
  await assert.rejects(client.text("GET", "/a"), { message: "failed to connect to the docker API at unix:///nosuch/x.sock; check if the path is correct and if the daemon is running: dial unix /nosuch/x.sock: connect: no such file or directory" });
  assert.throws(() => connect("/".repeat(200)), { code: "ENAMETOOLONG" });
});
