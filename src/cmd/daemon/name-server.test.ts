/** The name server as a process: started on demand, killed and replaced, left to itself. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createEmbeddedDns } from "../../drivers/dns-embedded/client.ts";
import { lookUp, names, view } from "../../drivers/dns-embedded/dns.testing.ts";
import { eventually } from "../../lib/eventually.testing.ts";
import { cannotUnshare, createSandboxNamespace } from "../../sys/netlink/namespace.testing.ts";
import { startNameServerProcess } from "./name-server.ts";

function processesOf(socketPath: string): number[] {
  const commandLine = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1");
    } catch {
      return "";
    }
  };
  return readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && commandLine(name).includes(socketPath)).map(Number);
}

test("the process answers, is replaced when it was killed, and answers on without its daemon", { skip: cannotUnshare }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "gantry-dns-"));
  const socketPath = join(folder, "dns.sock");
  const warnings: string[] = [];
  const client = () => createEmbeddedDns({ socketPath, start: (path) => startNameServerProcess({ socketPath: path, resolvConf: "/etc/resolv.conf" }), warn: (message) => warnings.push(message) });
  using netns = await createSandboxNamespace();
  const dns = client();
  try {
    await dns.setEndpoint({ networkId: "n", endpointId: "e" }, names("net", ["web"], "10.0.0.1"));
    await dns.attach({ id: "1", netnsFd: netns.fd }, view(["n"]));
    assert.deepEqual(await lookUp(netns, "web"), ["10.0.0.1"]);
    const [first, ...others] = processesOf(socketPath);
    assert.deepEqual([typeof first, others], ["number", []]);
    process.kill(first!, "SIGKILL");
    await eventually(async () => assert.deepEqual(await lookUp(netns, "web", { stream: true }), ["10.0.0.1"]));
    dns.close();
    assert.deepEqual(await lookUp(netns, "web"), ["10.0.0.1"]);
    const next = client();
    await next.restore({ endpoints: [], sandboxes: [] });
    await assert.rejects(lookUp(netns, "web", { stream: true }), /ECONNREFUSED/);
    next.close();
    assert.equal(processesOf(socketPath).length, 1);
  } finally {
    for (const pid of processesOf(socketPath)) process.kill(pid, "SIGKILL");
    rmSync(folder, { recursive: true });
  }
});
