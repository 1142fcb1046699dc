/** hosts, hostname and resolv.conf as Docker's default bridge has them. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { extraHosts, hostsFile, ownNames } from "./hosts-file.ts";
import { parseResolvConf } from "../../lib/resolv-conf.ts";
import { resolvConf } from "./resolv-conf.ts";
import { sandboxPaths, writeSandboxFiles } from "./sandbox-files.ts";

const none = { servers: [], search: [], options: [] };
const lines = (text: string): string[] => text.split("\n").filter((line) => !line.startsWith("#"));

test("hosts: loopback, IPv6 names, extra hosts, then the container under both its names", () => {
  const file = hostsFile({ ipv6: true, extra: extraHosts(["x:10.1.1.1"], []), own: [{ address: "172.17.0.2", names: ownNames("hh", "dd.test") }] });
  assert.equal(file, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n10.1.1.1\tx\n172.17.0.2\thh.dd.test hh\n");
  assert.equal(hostsFile({ ipv6: false, extra: [], own: [] }), "127.0.0.1\tlocalhost\n");
  assert.equal(ownNames("a.b.c", ""), "a.b.c a");
  assert.equal(ownNames("a", ""), "a");
});

test("extra hosts: IPv6 addresses, host-gateway, and what is wrong", () => {
  assert.deepEqual(extraHosts(["six:fd00:0::1", "bracket:[::1]", "gw:host-gateway"], ["172.17.0.1", "fd00::1"]), [
    { names: "six", address: "fd00::1" },
    { names: "bracket", address: "::1" },
    { names: "gw", address: "172.17.0.1" },
    { names: "gw", address: "fd00::1" },
  ]);
  assert.throws(() => extraHosts(["gw:host-gateway"], []), /unable to derive the IP value for host-gateway/);
  assert.throws(() => extraHosts(["a"], []), /bad format for add-host: "a"/);
  assert.throws(() => extraHosts(["a:nosuch"], []), /invalid IP address in add-host: "nosuch"/);
});

test("resolv.conf: the host's, without servers that a container cannot reach", () => {
  const host = "# c\n; d\ndomain old.test\nsearch a.test b.test\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 2001:db8::1\nnameserver 192.0.2.53\nnameserver junk\noptions ndots:2\noptions edns0 trust-ad\nsortlist 10.0.0.0\n";
  const file = resolvConf({ host, path: "/etc/resolv.conf", dns: none, isolated: true });
  assert.deepEqual(lines(file), ["", "nameserver 192.0.2.53", "search a.test b.test", "options ndots:2 edns0 trust-ad", "sortlist 10.0.0.0", "", ""]);
  assert.match(file, /junk/);
});

test("resolv.conf: public servers when none is left, all of the host's in the host's network", () => {
  assert.deepEqual(lines(resolvConf({ host: "nameserver 127.0.0.53\n", path: "/r", dns: none, isolated: true })), ["", "nameserver 8.8.8.8", "nameserver 8.8.4.4", "", ""]);
  assert.deepEqual(lines(resolvConf({ host: "nameserver 127.0.0.53\n", path: "/r", dns: none, isolated: false })), ["", "nameserver 127.0.0.53", "", ""]);
});

test("resolv.conf: own settings replace the host's, each by itself, as Docker's recorded answer", () => {
  const dns = { servers: ["10.9.9.9"], search: ["s.test"], options: ["ndots:3"] };
  assert.equal(lines(resolvConf({ host: "nameserver 1.1.1.1\nsearch x\noptions rotate\n", path: "/r", dns, isolated: true })).join("\n"), "\nnameserver 10.9.9.9\nsearch s.test\noptions ndots:3\n\n");
  assert.deepEqual(lines(resolvConf({ host: "search x\n", path: "/r", dns: { servers: ["127.0.0.1"], search: ["."], options: [] }, isolated: true })), ["", "nameserver 127.0.0.1", "", ""]);
});

test("resolv.conf: the last search counts, empty directives do not", () => {
  assert.deepEqual(parseResolvConf("search a\nsearch b c\nsearch\nnameserver\noptions\n\tnameserver\t1.2.3.4 \nnameserver fe80::1%eth0"), { nameservers: ["1.2.3.4", "fe80::1%eth0"], search: ["b", "c"], options: [], other: [], invalid: [] });
});

test("files are written in place, and resolv.conf is left alone once it was changed in the container", (t) => {
  const folder = join(mkdtempSync(join(tmpdir(), "gantry-net-")), "c1");
  t.after(() => rmSync(join(folder, ".."), { recursive: true, force: true }));
  const contents = (mark: string) => ({ hosts: `h${mark}\n`, hostname: `n${mark}\n`, resolvConf: `r${mark}\n` });
  const paths = writeSandboxFiles(folder, contents("1"));
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  assert.equal(statSync(paths.hosts).mode & 0o777, 0o644);
  const inode = statSync(paths.hosts).ino;
  writeSandboxFiles(folder, contents("2"));
  assert.equal(statSync(paths.hosts).ino, inode);
  assert.deepEqual([paths.hosts, paths.hostname, paths.resolvConf].map((path) => readFileSync(path, "utf8")), ["h2\n", "n2\n", `r2\n# Unchanged: ${createHash("sha256").update("r2\n").digest("hex")}\n`]);
  writeSandboxFiles(folder, contents(""));
  assert.equal(readFileSync(paths.hosts, "utf8"), "h\n", "nothing of a longer one is left");
  writeFileSync(paths.resolvConf, "mine\n");
  writeSandboxFiles(folder, contents("3"));
  assert.equal(readFileSync(paths.resolvConf, "utf8"), "mine\n");
  assert.equal(readFileSync(paths.hosts, "utf8"), "h3\n");
  truncateSync(paths.resolvConf, 1 << 30);
  writeSandboxFiles(folder, contents("4"));
  assert.equal(statSync(paths.resolvConf).size, 1 << 30, "a huge one is not read");
});

test("a link in place of a file is not followed", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-net-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const canary = join(folder, "canary");
  writeFileSync(canary, "untouched");
  for (const name of ["hosts", "hostname", "resolvConf"] as const) {
    const path = sandboxPaths(folder)[name];
    rmSync(path, { force: true });
    symlinkSync(canary, path);
    assert.throws(() => writeSandboxFiles(folder, { hosts: "x", hostname: "x", resolvConf: "x" }), /cannot write .*ELOOP/);
    rmSync(path);
  }
  assert.equal(readFileSync(canary, "utf8"), "untouched");
});
