/** Parts of a configuration that engines seldom use, and what an environment hands on. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { closeSync, copyFileSync, existsSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { until } from "../../src/lib/eventually.testing.ts";
import type { OciNamespaceType } from "../../src/lib/oci-spec.ts";
import { bindDatagram } from "../../src/sys/datagram.ts";
import { Bundle, processOf, skip } from "./bundle.ts";

const withoutCompiler = skip || (spawnSync("cc", ["--version"]).error ? "needs a C compiler" : false);
const own = (...types: OciNamespaceType[]): { type: OciNamespaceType }[] => types.map((type) => ({ type }));

let tools: Bundle;
before(() => {
  if (withoutCompiler) return;
  tools = new Bundle();
  assert.equal(spawnSync("cc", ["-static", "-O1", "-o", join(tools.folder, "agent"), join(import.meta.dirname, "agent.c")], { stdio: "inherit" }).status, 0);
});
after(() => tools?.[Symbol.dispose]());

test("a seccomp listener gets the state, and decides", { skip: withoutCompiler }, async () => {
  using bundle = new Bundle();
  const socket = join(bundle.folder, "listener.sock");
  const heard = join(bundle.folder, "heard");
  const listening = async (): Promise<() => void> => {
    const file = openSync(heard, "w");
    const child = spawn(join(tools.folder, "agent"), ["listen", socket], { stdio: ["ignore", file, "inherit"] });
    closeSync(file);
    await until("a listener", () => readFileSync(heard, "utf8").includes("listening"));
    return () => child.kill("SIGKILL");
  };
  const seccomp = { defaultAction: "SCMP_ACT_ALLOW", listenerPath: socket, listenerMetadata: "meta", syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY" }] };
  for (const noNewPrivileges of [false, true]) {
    const end = await listening();
    bundle.configure({ process: processOf(["sh", "-c", "mkdir /tmp/asked 2>&1; true"], { noNewPrivileges }) }, { seccomp });
    const { status, stdout, stderr } = bundle.runtime("run", bundle.id);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /No medium found/);
    end();
    const state = JSON.parse(readFileSync(heard, "utf8").split("\n")[1]!) as Record<string, unknown>;
    assert.deepEqual([state["fds"], state["metadata"], (state["state"] as { id: string }).id], [["seccompFd"], "meta", bundle.id]);
    assert.ok(Number(state["pid"]) > 1);
    rmSync(socket);
  }
  assert.match(bundle.runtime("run", bundle.id).stderr, /failed to connect with seccomp agent/);
});

test("network devices move into the container with their addresses", { skip: skip || (spawnSync("ip", ["-V"]).error ? "needs ip (iproute2)" : false) }, (context) => {
  const [name, peer] = [`gtm${process.pid}`, `gtp${process.pid}`];
  if (spawnSync("ip", ["link", "add", name, "type", "veth", "peer", "name", peer]).status !== 0) return context.skip("no veth here");
  try {
    assert.equal(spawnSync("ip", ["address", "add", "192.0.2.77/31", "dev", name]).status, 0);
    using bundle = new Bundle();
    const output = bundle.run("ip -o link show up; ip -o -4 address show dev moved", {}, { netDevices: { [name]: { name: "moved" } } });
    assert.match(output, /moved.*\n[^\n]*192\.0\.2\.77\/31/s);
    assert.match(bundle.runtime("run", bundle.id).stderr, /link not found for interface/);
  } finally {
    spawnSync("ip", ["link", "delete", peer]);
    spawnSync("ip", ["link", "delete", name]);
  }
});

test("memory policies", { skip: skip || (existsSync("/proc/self/numa_maps") ? false : "the kernel has no NUMA") }, () => {
  using bundle = new Bundle();
  assert.match(bundle.run("head -n 1 /proc/self/numa_maps", {}, { memoryPolicy: { mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] } }), /^\S+ bind.*static.*:0/);
});

test("scheduling, I/O priority, personality and ambient capabilities are the process's own", { skip }, () => {
  using bundle = new Bundle();
  const process = processOf([], {
    user: { uid: 1000, gid: 1000 },
    capabilities: { bounding: ["CAP_NET_RAW"], permitted: ["CAP_NET_RAW"], inheritable: ["CAP_NET_RAW"], ambient: ["CAP_NET_RAW"], effective: ["CAP_NET_RAW"] },
    scheduler: { policy: "SCHED_BATCH", nice: 7, flags: ["SCHED_FLAG_RESET_ON_FORK"] },
    ioPriority: { class: "IOPRIO_CLASS_BE", priority: 3 },
  });
  const output = bundle.run("cat /proc/$$/stat; ionice -p $$; grep CapAmb /proc/$$/status; cat /proc/self/personality; uname -m", { process }, { personality: { domain: "LINUX32" } });
  const [stat = "", io, ambient, personality, machine] = output.trim().split("\n");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // proc_pid_stat(5): nice is field 19, policy 41.
  assert.deepEqual([fields[16], fields[38], io, ambient], ["7", "3", "best-effort: prio 3", "CapAmb:\t0000000000002000"]);
  assert.deepEqual([personality, machine], ["00000008", globalThis.process.arch === "x64" ? "i686" : "armv8l"]);
});

test("the root's own propagation", { skip }, () => {
  using bundle = new Bundle();
  const tags = (rootfsPropagation: string): string => bundle.run("grep ' / / ' /proc/self/mountinfo || grep ' /rootfs / \\| / ' /proc/self/mountinfo", {}, { rootfsPropagation }).split("\n")[0]!.split(" - ")[0]!;
  assert.match(tags("shared"), /shared:/);
  assert.match(tags("rslave"), /^(?!.*shared:)/);
  assert.match(tags("private"), /^(?!.*(shared|master):)/);
  assert.match(tags("unbindable"), /unbindable/);
});

test("every namespace of another container is joined by its path, the user namespace with its ids", { skip }, () => {
  using first = new Bundle();
  using second = new Bundle();
  const map = [{ containerID: 0, hostID: 100_000, size: 1000 }];
  const types = own("mount", "network", "uts", "pid", "ipc", "user", "cgroup", "time");
  spawnSync("chown", ["-R", "100000:100000", first.rootfs, second.rootfs]);
  for (const { folder } of [first, second]) spawnSync("chmod", ["755", folder]);
  first.configure({ process: processOf(["sleep", "1000"]) }, { namespaces: types, uidMappings: map, gidMappings: map, timeOffsets: { boottime: { secs: 1000 } } });
  const { status, stderr } = first.runtime("run", "-d", first.id);
  assert.equal(status, 0, stderr);
  const { pid } = first.state();
  const files: Partial<Record<OciNamespaceType, string>> = { network: "net" };
  const joined = types.map(({ type }) => (type === "mount" ? { type } : { type, path: `/proc/${pid}/ns/${files[type] ?? type}` }));
  const output = second.run("cat /proc/self/uid_map; readlink /proc/self/ns/net; cat /proc/self/timens_offsets", {}, { namespaces: joined });
  assert.match(output, /^\s+0\s+100000\s+1000$/m);
  assert.match(output, /^boottime\s+1000\s+0$/m);
  assert.ok(output.includes(spawnSync("readlink", [`/proc/${pid}/ns/net`], { encoding: "utf8" }).stdout.trim()));
});

test("LISTEN_FDS: what systemd opened goes to the container, before what is preserved", { skip }, () => {
  using bundle = new Bundle({ process: processOf(["sh", "-c", 'echo "$LISTEN_FDS $LISTEN_PID"; cat <&3 <&4; cat <&3']) });
  const [socket, more] = ["socket", "more"].map((name) => join(bundle.folder, name));
  writeFileSync(socket!, "first\n");
  writeFileSync(more!, "second\n");
  const line = bundle.line(["run", "--preserve-fds", "1", bundle.id]);
  const { stdout, stderr } = spawnSync("sh", ["-c", `exec 3<${socket} 4<${more}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"`, "sh", process.execPath, ...line], { encoding: "utf8", cwd: bundle.folder });
  assert.equal(stdout, "1 1\nsecond\nfirst\n", stderr);
});

test("NOTIFY_SOCKET: the container says that it is ready, and the service manager hears which process that is", { skip: withoutCompiler }, async () => {
  using bundle = new Bundle();
  copyFileSync(join(tools.folder, "agent"), join(bundle.rootfs, "bin/agent"));
  bundle.configure({ process: processOf(["sh", "-c", "agent notify && sleep 1000"]) });
  const manager = bindDatagram(join(bundle.folder, "manager.sock"));
  const log = openSync(join(bundle.folder, "log"), "w");
  const child = spawn(process.execPath, bundle.line(["run", "-d", bundle.id]), { cwd: bundle.folder, env: { ...process.env, NOTIFY_SOCKET: join(bundle.folder, "manager.sock") }, stdio: ["ignore", log, log] });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  assert.equal(code, 0, readFileSync(join(bundle.folder, "log"), "utf8"));
  const heard = [0, 1].map(() => {
    const bytes = Buffer.alloc(100);
    return bytes.toString("utf8", 0, readSync(manager, bytes));
  });
  assert.deepEqual(heard, ["READY=1\n", `MAINPID=${bundle.state().pid}\n`]);
  closeSync(manager);
  closeSync(log);
});
