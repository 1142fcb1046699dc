import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import type { LogOptions } from "../../core/log.ts";
import { gzipSync } from "node:zlib";
import { until } from "../../lib/eventually.testing.ts";
import { compressOld, jsonFileCompressor } from "./compress.ts";
import { jsonFileReader } from "./reader.ts";

const all: LogOptions = { stdout: true, stderr: true, follow: false, timestamps: false, details: false, frames: false, signal: new AbortController().signal };

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "gantry-log-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return join(path, "x-json.log");
}

const second = (n: number): string => `2026-01-02T03:04:${String(n).padStart(2, "0")}.5Z`;
const at = (n: number): bigint => BigInt(Date.parse(second(n))) * 1_000_000n;
const line = (n: number, text = `l${n}\n`, stream = "stdout", attrs = ""): string => `{"log":${JSON.stringify(text)},"stream":"${stream}"${attrs},"time":"${second(n)}"}\n`;

async function read(path: string, options: Partial<LogOptions> = {}, ended: Promise<unknown> = Promise.resolve()): Promise<string> {
  let text = "";
  for await (const chunk of await jsonFileReader.read({ path, ended }, { ...all, ...options })) text += chunk.toString("latin1");
  return Buffer.from(text, "latin1").toString();
}

test("reads all, one stream, frames, timestamps, details", async (t) => {
  const path = folder(t);
  writeFileSync(path, line(1) + line(2, "é<\u{1f600}\t\u0000", "stderr") + line(3, "x\n", "stdout", ',"attrs":{"E F":"1","l":"2,\\u003c"}'));
  assert.equal(await read(path), "l1\né<\u{1f600}\t\u0000x\n");
  assert.equal(await read(path, { stdout: false }), "é<\u{1f600}\t\u0000");
  assert.equal(await read(path, { frames: true, stderr: false }), "\x01\0\0\0\0\0\0\x03l1\n\x01\0\0\0\0\0\0\x02x\n");
  assert.equal(await read(path, { timestamps: true, stderr: false }), "2026-01-02T03:04:01.500000000Z l1\n2026-01-02T03:04:03.500000000Z x\n");
  assert.equal(await read(path, { details: true, stderr: false }), " l1\nE+F=1,l=2%2C%3C x\n");
});

test("skips torn and foreign lines", async (t) => {
  const path = folder(t);
  writeFileSync(path, `${line(1)}{"log":"tor${line(2)}not json\n{"log":"x","stream":"stdout","time":"yesterday"}\n${line(3)}{"log":"unfinished`);
  assert.equal(await read(path), "l1\nl3\n");
});

test("tail counts records over rotated files", async (t) => {
  const path = folder(t);
  writeFileSync(`${path}.2`, line(1) + line(2));
  writeFileSync(`${path}.1`, line(3) + line(4));
  writeFileSync(path, line(5));
  assert.equal(await read(path, { tail: 0 }), "");
  assert.equal(await read(path, { tail: 1 }), "l5\n");
  assert.equal(await read(path, { tail: 2 }), "l4\nl5\n");
  assert.equal(await read(path, { tail: 4 }), "l2\nl3\nl4\nl5\n");
  assert.equal(await read(path, { tail: 99 }), "l1\nl2\nl3\nl4\nl5\n");
});

test("rotated files that are compressed read as the others, and only where they are asked for", async (t) => {
  const path = folder(t);
  writeFileSync(`${path}.3.gz`, gzipSync(line(1)));
  writeFileSync(`${path}.2.gz`, gzipSync(line(2) + line(3)));
  writeFileSync(`${path}.1`, line(4));
  writeFileSync(path, line(5));
  assert.equal(await read(path), "l1\nl2\nl3\nl4\nl5\n");
  assert.equal(await read(path, { tail: 3 }), "l3\nl4\nl5\n");
  assert.equal(await read(path, { since: at(3) }), "l3\nl4\nl5\n");
  assert.deepEqual(readdirSync(join(path, "..")).length, 4, "what was inflated is gone");
  writeFileSync(`${path}.3.gz`, "no gzip");
  utimesSync(`${path}.3.gz`, 1, 1);
  assert.equal(await read(path, { tail: 2 }), "l4\nl5\n");
  assert.equal(await read(path, { since: at(2) }), "l2\nl3\nl4\nl5\n");
});

test("compressing keeps lines and times, and leaves what is written alone", async (t) => {
  const path = folder(t);
  writeFileSync(`${path}.3.gz`, gzipSync(line(1)));
  writeFileSync(`${path}.2`, line(2));
  writeFileSync(`${path}.1`, line(3));
  writeFileSync(path, line(4));
  utimesSync(`${path}.1`, 1_767_323_043, 1_767_323_043);
  await compressOld(path);
  assert.deepEqual(readdirSync(join(path, "..")).sort(), ["x-json.log", "x-json.log.1.gz", "x-json.log.2.gz", "x-json.log.3.gz"]);
  assert.equal(await read(path), "l1\nl2\nl3\nl4\n");
  assert.equal(readFileSync(path, "utf8"), line(4));
  await compressOld(path);
  await compressOld(join(path, "nowhere", "log"));
  assert.ok(!existsSync(join(path, "nowhere")));
});

test("a folder that cannot be watched is told, and looked at when the container ends", async (t) => {
  const path = folder(t);
  const warnings: string[] = [];
  const end = Promise.withResolvers<void>();
  jsonFileCompressor((message) => warnings.push(message)).watch({ path: join(path, "log"), ended: end.promise });
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /compressed only when their container ends/);
  writeFileSync(`${path}.1`, line(1));
  jsonFileCompressor((message) => warnings.push(message)).watch({ path, ended: end.promise });
  end.resolve();
  await until("it is compressed", () => existsSync(`${path}.1.gz`) && !existsSync(`${path}.1`));
  assert.equal(warnings.length, 1);
});

test("a follower goes on after the file that it reads was rotated away and compressed", async (t) => {
  const path = folder(t);
  writeFileSync(path, line(1));
  const end = Promise.withResolvers<void>();
  const reading = read(path, { follow: true }, end.promise);
  await new Promise((resolve) => setTimeout(resolve, 50));
  // All at once, before anybody is woken.
  const { mtimeMs } = statSync(path);
  writeFileSync(`${path}.1.gz`, gzipSync(line(1)));
  utimesSync(`${path}.1.gz`, mtimeMs / 1000, mtimeMs / 1000);
  renameSync(path, `${path}.gone`);
  writeFileSync(path, line(2));
  end.resolve();
  assert.equal(await reading, "l1\nl2\n");
});

test("since and until, over rotated files and by bisection in a large one", async (t) => {
  const path = folder(t);
  writeFileSync(`${path}.1`, line(1) + line(2));
  writeFileSync(path, line(3) + Array.from({ length: 5000 }, () => line(10, `${"a".repeat(60)}\n`)).join("") + line(20) + line(30));
  assert.equal(await read(path, { since: at(20) }), "l20\nl30\n");
  assert.equal(await read(path, { since: at(2), until: at(3) }), "l2\nl3\n");
  assert.equal(await read(path, { since: at(31) }), "");
  assert.equal((await read(path, { since: at(10), until: at(19) })).length, 5000 * 61);
});

test("lines longer than one chunk", async (t) => {
  const path = folder(t);
  const long = "x".repeat(3 * 1024 * 1024);
  writeFileSync(path, line(1, long) + line(2));
  assert.equal(await read(path), `${long}l2\n`);
});

test("follows growth and rotation until the container has ended", async (t) => {
  const path = folder(t);
  writeFileSync(path, line(1));
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => (end = resolve));
  const reading = read(path, { follow: true }, ended);
  await new Promise((resolve) => setTimeout(resolve, 50));
  appendFileSync(path, line(2));
  renameSync(path, `${path}.1`);
  writeFileSync(path, line(3));
  await new Promise((resolve) => setTimeout(resolve, 50));
  appendFileSync(path, line(4));
  end();
  assert.equal(await reading, "l1\nl2\nl3\nl4\n");
});

test("follow begins before the file exists and ends by abort", async (t) => {
  const path = folder(t);
  const abort = new AbortController();
  const reading = (async () => {
    let text = "";
    for await (const chunk of await jsonFileReader.read({ path, ended: new Promise(() => {}) }, { ...all, follow: true, signal: abort.signal })) {
      text += chunk.toString();
      if (text.includes("\n")) abort.abort();
    }
    return text;
  })();
  await new Promise((resolve) => setTimeout(resolve, 30));
  writeFileSync(path, line(1));
  assert.equal(await reading, "l1\n");
});

test("a log that is removed once it is open is read to its end", async (t) => {
  for (const follow of [false, true]) {
    const path = folder(t);
    writeFileSync(`${path}.1`, line(1));
    writeFileSync(path, line(2));
    const chunks = await jsonFileReader.read({ path, ended: Promise.resolve() }, { ...all, follow });
    rmSync(dirname(path), { recursive: true });
    let text = "";
    for await (const chunk of chunks) text += chunk.toString();
    assert.equal(text, "l1\nl2\n");
  }
});

test("follow with until ends when that moment passes", async (t) => {
  const path = folder(t);
  writeFileSync(path, line(1));
  assert.equal(await read(path, { follow: true, until: BigInt(Date.now() + 50) * 1_000_000n }, new Promise(() => {})), "l1\n");
});
