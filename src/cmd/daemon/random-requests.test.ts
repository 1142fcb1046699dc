/** Requests that nobody meant, against the whole daemon: it answers or refuses each, keeps none, and lives. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { eventually } from "../../lib/eventually.testing.ts";
import { Bench, cannotRun } from "./testing/bench.ts";

const REQUESTS = 3000;
const AT_ONCE = 20;
const PATIENCE_MILLISECONDS = 60;

const methods = ["GET", "GET", "GET", "POST", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT"];
const paths = `/containers/json /containers/create /containers/NAME/json /containers/NAME/start /containers/NAME/attach /containers/NAME/attach/ws /containers/NAME/logs
  /containers/NAME/stats /containers/NAME/top /containers/NAME/wait /containers/NAME/kill /containers/NAME/exec /containers/NAME/resize /containers/NAME/rename /containers/NAME/update
  /containers/NAME /containers/prune /exec/NAME/start /exec/NAME/json /images/json /images/NAME/json /images/NAME/history /images/load /images/create /images/NAME/tag /images/get
  /images/NAME /images/prune /networks /networks/NAME /networks/create /events /info /version /_ping /system/df /plugins /plugins/create /plugins/NAME/enable /swarm/init /swarm/join
  /services/create /volumes /nosuch /session /build`.split(/\s+/);
const names = ["made", "nosuch", "%2F", "a%2Fb", "%00", "%ff", "%zz", "..", "%C3%A9", "__proto__", "constructor", `sha256:${"0".repeat(64)}`, "x".repeat(300), "-", "{}"];
const queries = "all=1 limit=-1 limit=x filters=%7B%22a%22%3A%5B1%5D%7D filters=%7B%22__proto__%22%3A%5B%22x%22%5D%7D stream=1 stdin=1 stdout=1 follow=1 since=1e9 tail=-1 h=1&w=99999999999 signal=99 signal=NOSUCH t=x condition=nosuch fromImage=..%2F fromSrc=- name=%00 name=made size=1 until=1 ps_args=%00 platform=x force=1 %zz a;b".split(" ");
const bodies = ["", "{}", "[]", "null", "hello", '{"Cmd":["true"]}', '{"Image":"nosuch","HostConfig":{"Binds":["::::"]}}', '{"Cmd":["\\u0000"],"AttachStdout":true}', '{"__proto__":{"Image":"x"}}', "\0\x01\x02", '{"Env":["a\\u0000b","","="],"HostConfig":{"Tmpfs":{"/x":"nosuch"},"Ulimits":[{}],"Devices":[{}]}}', '{"Detach":false,"Tty":true,"ConsoleSize":[1,2,3]}', "a".repeat(2000)];
const types = ["application/json", "text/plain", "application/x-tar", ";", "application/json; charset=x"];

/** The same numbers for the same seed (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function requestOf(next: (below: number) => number): Buffer {
  const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T;
  const body = pick(bodies);
  const lines = [`${pick(methods)} ${next(3) === 0 ? `/v1.${next(70)}` : ""}${pick(paths).replace("NAME", pick(names))}${next(2) === 0 ? `?${pick(queries)}&${pick(queries)}` : ""} HTTP/1.${next(2)}`, "Host: x"];
  if (next(3) === 0) lines.push("Connection: Upgrade", `Upgrade: ${pick(["tcp", "websocket", "h2c"])}`);
  if (next(2) === 0) lines.push(`Content-Type: ${pick(types)}`);
  const chunked = next(3) === 0;
  // Some promise more than they send.
  lines.push(chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length + (next(20) === 0 ? 5 : 0)}`);
  const bytes = Buffer.from(`${lines.join("\r\n")}\r\n\r\n${chunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body}`, "latin1");
  if (next(15) === 0) for (let changed = 0; changed < 3; changed++) bytes[next(bytes.length)] = next(256);
  return bytes;
}

function send(path: string, bytes: Buffer, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.on("error", () => {});
    socket.on("data", () => {});
    socket.on("close", () => resolve());
    socket.write(bytes);
    setTimeout(() => socket.destroy(), milliseconds);
  });
}

test("random requests are answered or refused, and leave nothing", { skip: cannotRun, timeout: 300_000 }, async () => {
  await using bench = new Bench();
  const { child, text } = await bench.start();
  const files = (): number => readdirSync(`/proc/${child.pid}/fd`).length;
  await bench.get("/_ping");
  const before = files();
  const seed = Number(process.env["GANTRY_SEED"] ?? 1);
  const next = random(seed);
  for (let sent = 0; sent < REQUESTS; sent += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, () => send(bench.socket, requestOf(next), 10 + next(PATIENCE_MILLISECONDS))));
  assert.equal((await bench.get("/_ping")).status, 200, `GANTRY_SEED=${seed}`);
  assert.ok(!/uncaught|unhandled/.test(text()), `GANTRY_SEED=${seed}: ${text().match(/.*(?:uncaught|unhandled).*/)?.[0]}`);
  for (const { Id } of JSON.parse((await bench.get("/containers/json?all=1")).body)) await bench.get(`/containers/${Id}?force=1`, "DELETE");
  await eventually(() => assert.ok(files() <= before + 5, `GANTRY_SEED=${seed}: ${files()} files are open, ${before} were before`));
});
