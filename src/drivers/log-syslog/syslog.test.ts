import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, readSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { logDriverContract, origin, record, type LogServer, type Received } from "../../core/log-driver.contract.ts";
import { until } from "../../lib/eventually.testing.ts";
import { streamServer, temporaryFolder, udpServer, type Connection } from "../../core/log-server.testing.ts";
import { bindDatagram } from "../../sys/datagram.ts";
import { facilityOf, formatMessage, type Header } from "./format.ts";
import { syslogDriver } from "./index.ts";

function take(received: Received[], message: string): void {
  const match = /^<(\d+)>.*?(?: - |\]: )([^]*?)\n$/.exec(message);
  assert.ok(match, message.slice(0, 200));
  received.push({ text: match[2] ?? "", stderr: Number(match[1]) % 8 === 3 });
}

function byLines(received: Received[]): () => Connection {
  return () => {
    let rest = "";
    const decoder = new TextDecoder();
    return (bytes) => {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) take(received, `${line}\n`);
    };
  };
}

/** RFC 5425: a length before each. */
function byLength(received: Received[]): () => Connection {
  return () => {
    let rest = Buffer.alloc(0);
    return (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      for (;;) {
        const space = rest.indexOf(32);
        const length = Number(rest.subarray(0, Math.max(0, space)).toString());
        if (space <= 0 || rest.length < space + 1 + length) return;
        take(received, rest.subarray(space + 1, space + 1 + length).toString());
        rest = rest.subarray(space + 1 + length);
      }
    };
  };
}

async function tcp(): Promise<LogServer> {
  const received: Received[] = [];
  const server = await streamServer(byLines(received));
  return { options: { "syslog-address": `tcp://127.0.0.1:${server.port}`, "syslog-format": "rfc3164" }, received, ...server };
}

async function unix(t: TestContext): Promise<LogServer> {
  const received: Received[] = [];
  const path = join(temporaryFolder(t), "log.sock");
  const server = await streamServer(byLines(received), { path });
  return { options: { "syslog-address": `unix://${path}` }, received, ...server };
}

async function tls(t: TestContext): Promise<LogServer> {
  const folder = temporaryFolder(t);
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], { stdio: "pipe" });
  const received: Received[] = [];
  const server = await streamServer(byLength(received), { make: (listener) => createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, listener) });
  return { options: { "syslog-address": `tcp+tls://127.0.0.1:${server.port}`, "syslog-format": "rfc5424micro", "syslog-tls-ca-cert": cert }, received, ...server };
}

async function udp(): Promise<LogServer> {
  const received: Received[] = [];
  const server = await udpServer((bytes) => take(received, bytes.toString()));
  return { options: { "syslog-address": `udp://127.0.0.1:${server.port}`, "syslog-format": "rfc5424" }, received, ...server };
}

async function unixgram(t: TestContext): Promise<LogServer> {
  const received: Received[] = [];
  const path = join(temporaryFolder(t), "log.sock");
  const fd = bindDatagram(path);
  const buffer = Buffer.alloc(65_536);
  const timer = setInterval(() => {
    for (;;) {
      try {
        take(received, buffer.subarray(0, readSync(fd, buffer)).toString());
      } catch {
        return;
      }
    }
  }, 5);
  let open = true;
  const stop = async (): Promise<void> => {
    clearInterval(timer);
    if (open) closeSync(fd);
    open = false;
  };
  return { options: { "syslog-address": `unixgram://${path}` }, received, stop, start: async () => {} };
}

logDriverContract("syslog over TCP", syslogDriver, tcp);
logDriverContract("syslog over a unix socket", syslogDriver, unix);
logDriverContract("syslog over TLS", syslogDriver, tls);
logDriverContract("syslog over UDP", syslogDriver, udp, { reliable: false });
logDriverContract("syslog over unix datagrams", syslogDriver, unixgram, { reliable: false });

test("syslog over TLS: a server that nobody vouches for is refused, unless that is to be skipped", async (t) => {
  const server = await tls(t);
  t.after(() => server.stop());
  const { "syslog-tls-ca-cert": _, ...options } = server.options;
  await assert.rejects(syslogDriver.open(origin(), options).verify(), /tls: self-signed certificate/);
  const sink = syslogDriver.open(origin(), { ...options, "syslog-tls-skip-verify": "false" });
  await sink.send([record("trusted")]);
  await until("it arrives", () => server.received.length === 1);
  await sink.close();
});

test("the forms of messages", () => {
  const header: Header = { format: "", facility: facilityOf(""), hostName: "host1", tag: "tag1", pid: 77 };
  const date = new Date("2026-01-02T03:04:05Z");
  const stamp = date.toString().replace(/^\w+ (\w+) 0?(\d+) \d+ (\S+) .*$/, (_, month: string, day: string, clock: string) => `${month} ${day.padStart(2, " ")} ${clock}`);
  assert.equal(formatMessage(header, record("text")), `<30>${stamp} tag1[77]: text`);
  assert.equal(formatMessage({ ...header, format: "rfc3164" }, record("text", { stderr: true })), `<27>${stamp} host1 tag1[77]: text`);
  assert.match(formatMessage({ ...header, format: "rfc5424", facility: facilityOf("local7") }, record("text")), /^<190>1 2026-01-0\dT\d\d:\d\d:05(Z|[+-]\d\d:\d\d) host1 tag1 77 tag1 - text$/);
  assert.match(formatMessage({ ...header, format: "rfc5424micro" }, record("text")), /^<30>1 2026-01-0\dT\d\d:\d\d:05\.123456(Z|[+-]\d\d:\d\d) host1 tag1 77 tag1 - text$/);
  assert.match(formatMessage({ ...header, format: "rfc5424micro" }, record("text", { time: "2026-01-02T03:04:05Z" })), /:05\.000000/);
  assert.deepEqual(["kern", "ftp", "local0", "23"].map(facilityOf), [0, 11, 16, 23]);
  assert.throws(() => facilityOf("24"), /invalid syslog facility/);
});

test("empty lines are not sent, and without an address the machine's own socket is wanted", async (t) => {
  const server = await tcp();
  t.after(() => server.stop());
  const sink = syslogDriver.open(origin(), server.options);
  await sink.send([record(""), record("only")]);
  await until("it arrives", () => server.received.length === 1);
  await sink.close();
  assert.deepEqual(server.received, [{ text: "only", stderr: false }]);
});
