/** Daemons that are reached by ssh: a stand-in for the ssh program runs here what would run over there. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Cli } from "../harness/cli.ts";
import { endEngine, type Engine, project, startedEngine } from "../harness/engine.ts";

let engine: Engine;
let cli: Cli;
let calls: string;
before(async () => {
  engine = await startedEngine();
  const folder = join(engine.machine.folder, "over-there");
  calls = join(folder, "calls");
  mkdirSync(folder);
  const gantry = join(project, "bin/gantry");
  const script = (name: string, text: string): void => writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  script("docker", `exec '${gantry}' "$@"`);
  // The last word is for a shell; a host named "away" is not there.
  script("ssh", `printf '%s\\n' "$*" >>'${calls}'\nfor last; do :; done\ncase " $* " in *" -- away "*) echo no route to host >&2; exit 255;; esac\nunset DOCKER_HOST\nexec sh -c "$last"`);
  process.env["PATH"] = `${folder}:${process.env["PATH"]}`;
  cli = new Cli(gantry, engine);
});
after(async () => endEngine(engine));

test("dial-stdio is a connection to the daemon", async () => {
  const child = cli.start("system", "dial-stdio");
  let answer = "";
  child.stdout.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  child.stdin.end("GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  await once(child, "close");
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*\r\nOK/);
});

test("-H ssh://: requests, streams both ways, exit statuses; ssh is called with what the address says", async () => {
  const host = `ssh://me@box:2222${engine.socket}`;
  const bytes = Buffer.alloc(300_000, "abcdefghij\n");
  const { code, stdout, stderr } = await cli.run(["-H", host, "run", "--rm", "-i", "busybox", "sh", "-c", "md5sum; echo said >&2; exit 3"], bytes);
  assert.deepEqual([code, stderr], [3, "said\n"]);
  assert.match(stdout, /^[0-9a-f]{32}  -\n$/);
  assert.match(readFileSync(calls, "utf8"), new RegExp(`^-l me -p 2222 -o ConnectTimeout=30 -T -- box sh -c 'if command -v docker .*docker --host "unix://${engine.socket}" system dial-stdio`, "m"));
  await cli.ok("context", "create", "remote", "--docker", `host=${host}`);
  assert.equal(await cli.ok("--context", "remote", "version", "--format", "{{.Server.Os}}"), "linux");
});

test("what ssh says is told", async () => {
  const { code, stderr } = await cli.run(["-H", "ssh://away", "ps"]);
  assert.equal(code, 1);
  assert.match(stderr, /command \[ssh .*\] has exited with exit status 255, make sure the URL is valid.*stderr=no route to host/);
  const refused = await cli.run(["-H", "ssh://me:secret@away", "ps"]);
  assert.match(refused.stderr, /unable to resolve docker endpoint: invalid SSH URL: plain-text password is not supported/);
});
