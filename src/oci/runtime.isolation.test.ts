import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chownSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { until } from "../lib/eventually.testing.ts";
import type { OciSpec } from "../lib/oci-spec.ts";
import { cannotRun, specOf, stdio, TestBench } from "./runtime.testing.ts";

const seccompOff = (spec: OciSpec): void => void delete spec.linux!.seccomp;
const readlinkOf = (pid: number, name: string): string => readlinkSync(`/proc/${pid}/ns/${name}`);

describe("runtime: isolation", { skip: cannotRun }, () => {
  let bench: TestBench;
  before(() => {
    bench = new TestBench();
  });
  after(() => bench[Symbol.asyncDispose]());

  const output = async (args: string[], change?: Parameters<TestBench["run"]>[1]): Promise<string> => {
    const { code, stdout, stderr } = await bench.run(args, change);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const canary = (): string => {
    const path = join(bench.folder, "canary");
    writeFileSync(path, "untouched");
    return path;
  };

  test("nothing of the shim is left in the container: fds, environment, parent", async () => {
    const text = await output(["sh", "-c", "ls /proc/self/fd; cat /proc/1/environ | tr '\\0' ' ' 2>/dev/null || env; grep PPid /proc/1/status; grep -E 'NoNewPrivs|CapInh|CapAmb' /proc/self/status"], (spec) => (spec.process!.args = ["sh", "-c", "ls /proc/1/fd; env; grep -E 'PPid|CapInh|CapAmb' /proc/1/status"]));
    const [fds, environment] = [text.split("\n").filter((line) => /^\d+$/.test(line)), text.split("\n").filter((line) => line.includes("="))];
    assert.deepEqual(fds, ["0", "1", "2"]);
    assert.deepEqual(environment.toSorted(), ["HOME=/root", "PATH=/usr/bin:/bin", "PWD=/", "SHLVL=1"]);
    assert.match(text, /PPid:\t0\n/);
    assert.match(text, /CapInh:\t0{16}\nCapAmb:\t0{16}|CapAmb:\t0{16}/);
  });

  test("the program of the shim can be neither run nor changed from a container (CVE-2019-5736)", async () => {
    const result = await bench.run(["/proc/self/exe", "exec-plan"]);
    assert.notEqual(result.code, 0);
    const shim = join(import.meta.dirname, "../../build/native/gantry-shim");
    const before = readFileSync(shim);
    const task = await bench.runtime.create(bench.request(["sleep", "1000"]));
    const parent = readFileSync(`/proc/${task.pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")[1]!;
    assert.match(readlinkSync(`/proc/${parent}/exe`), /^\/memfd:gantry-shim/);
    assert.throws(() => closeSync(openSync(`/proc/${parent}/exe`, "r+")), (error: NodeJS.ErrnoException) => ["EPERM", "ETXTBSY", "EACCES"].includes(error.code ?? ""));
    await task.signal(9);
    await task.exited;
    await task.release();
    assert.ok(before.equals(readFileSync(shim)));
  });

  test("a working directory outside of the root is refused (CVE-2024-21626)", async () => {
    for (let fd = 3; fd < 24; fd++) {
      const result = await bench.run(["pwd"], (spec) => (spec.process!.cwd = `/proc/self/fd/${fd}`)).catch((error: Error) => error.message);
      if (typeof result === "string") assert.match(result, /proc\/self\/fd|cwd/);
      else assert.ok(result.stdout.startsWith("/"), result.stdout);
    }
  });

  test("a working directory that is missing is made, inside the root", async () => {
    symlinkSync("/../../../../outside", join(bench.rootfs, "link"));
    assert.equal(await output(["pwd"], (spec) => (spec.process!.cwd = "/new/deep/dir")), "/new/deep/dir\n");
    assert.equal(await output(["sh", "-c", "pwd -P"], (spec) => (spec.process!.cwd = "/link/sub")), "/outside/sub\n");
    assert.ok(!existsSync("/outside"));
  });

  test("mount targets that are links stay inside (CVE-2021-30465)", async () => {
    const outside = canary();
    const target = `target-${process.pid}`;
    mkdirSync(join(bench.rootfs, "traps"));
    symlinkSync("/../../../../../../../../tmp", join(bench.rootfs, "traps/up"));
    symlinkSync(outside, join(bench.rootfs, "traps/file"));
    symlinkSync("/proc/self/root", join(bench.rootfs, "traps/magic"));
    writeFileSync(join(bench.folder, "source"), "bound");
    const bind = (destination: string): OciSpec["mounts"] & {} => [{ destination, type: "bind", source: join(bench.folder, "source"), options: ["bind", "ro"] }];
    assert.equal(await output(["cat", `/tmp/${target}`], (spec) => spec.mounts!.push(...bind(`/traps/up/${target}`))), "bound");
    assert.equal(await output(["cat", outside], (spec) => spec.mounts!.push(...bind("/traps/file"))), "bound");
    assert.equal(readFileSync(outside, "utf8"), "untouched");
    assert.ok(!existsSync(`/tmp/${target}`));
    await bench.run(["true"], (spec) => spec.mounts!.push(...bind("/traps/magic/escape"))).catch(() => undefined);
    assert.ok(!existsSync("/escape"));
  });

  test("a target that is swapped while the container starts never leads out", async () => {
    const shared = join(bench.folder, "shared");
    mkdirSync(join(shared, "a"), { recursive: true });
    symlinkSync("/", join(shared, "b"));
    const marker = join("/tmp", `gantry-swap-${process.pid}`);
    const swapper = `import { renameSync } from "node:fs"; const s = ${JSON.stringify(shared)}; for (;;) { renameSync(s + "/a", s + "/c"); renameSync(s + "/b", s + "/a"); renameSync(s + "/a", s + "/b"); renameSync(s + "/c", s + "/a"); }`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", swapper], { stdio: "ignore" });
    try {
      for (let round = 0; round < 60; round++) {
        await bench
          .run(["true"], (spec) => {
            spec.mounts!.push({ destination: "/data", type: "bind", source: shared, options: ["bind"] });
            spec.mounts!.push({ destination: `/data/a${marker}`, type: "tmpfs", source: "tmpfs", options: ["nosuid"] });
          })
          .catch(() => undefined);
        assert.ok(!existsSync(marker));
      }
    } finally {
      child.kill("SIGKILL");
      rmSync(marker, { recursive: true, force: true });
    }
  });

  test("a new network namespace has loopback, up, and nothing else", async () => {
    const { stdout } = await bench.run(["sh", "-c", "cd /sys/class/net; ls; cat lo/flags"]);
    assert.equal(stdout, "lo\n0x9\n");
  });

  test("masked and read-only paths", async () => {
    const text = await output(["sh", "-c", "wc -c < /proc/uptime; ls /proc/tty | wc -l; (echo 1 > /proc/sys/kernel/hostname) 2>&1; (touch /proc/tty/x) 2>&1; (echo x > /etc/ro) 2>&1; true"], (spec) => {
      spec.linux!.maskedPaths = ["/proc/uptime", "/proc/tty", "/no/such/path"];
      spec.linux!.readonlyPaths = ["/proc/sys", "/etc", "/no/such/path"];
    });
    assert.match(text, /^0\n0\n/);
    for (const path of ["/proc/sys/kernel/hostname", "/proc/tty/x", "/etc/ro"]) assert.match(text, new RegExp(`${path}: Read-only file system`));
  });

  test("masks hold when the image brings its own /dev/null (CVE-2025-31133)", async () => {
    const evil = bench.request(["sh", "-c", "wc -c < /proc/kcore; ls -l /dev/null"]);
    const overlay = evil.rootfs[0];
    assert.ok(overlay?.type === "overlay");
    mkdirSync(join(overlay.upper, "dev"));
    symlinkSync("/proc/sysrq-trigger", join(overlay.upper, "dev/null"));
    evil.spec.mounts = evil.spec.mounts!.filter(({ destination }) => !destination.startsWith("/dev"));
    const result = await bench.runtime.create(evil).then(
      async (task) => {
        const { code } = await task.exited;
        await task.release();
        return String(code);
      },
      (error: Error) => error.message,
    );
    assert.match(result, /^0$|mknod/);
  });

  test("a read-only root, writable mounts on it", async () => {
    const text = await output(["sh", "-c", "(touch /x) 2>&1; touch /dev/shm/y && echo shm; touch /scratch/z && echo scratch"], (spec) => {
      spec.root!.readonly = true;
      spec.mounts!.push({ destination: "/scratch", type: "tmpfs", source: "tmpfs", options: ["size=1m"] });
    });
    assert.equal(text, "touch: /x: Read-only file system\nshm\nscratch\n");
  });

  test("bind mounts: read-only, recursive read-only, nosuid; files and folders", async () => {
    const source = join(bench.folder, "bound");
    mkdirSync(source);
    writeFileSync(join(source, "f"), "content");
    const text = await output(["sh", "-c", "cat /b/f /f; (touch /b/x) 2>&1; grep -E ' /b ' /proc/self/mountinfo | cut -d' ' -f6"], (spec) => {
      spec.mounts!.push({ destination: "/b", type: "bind", source, options: ["rbind", "ro", "nosuid", "nodev"] }, { destination: "/f", type: "bind", source: join(source, "f"), options: ["bind"] });
    });
    assert.match(text, /^contentcontenttouch: \/b\/x: Read-only file system\nro,nosuid,nodev/);
  });

  test("mounts do not travel between container and host", async () => {
    const mounts = (): string[] => readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((line) => line.includes(bench.folder));
    const before = mounts();
    const task = await bench.runtime.create(bench.request(["sleep", "1000"]));
    assert.deepEqual(mounts(), before);
    await task.signal(9);
    await task.exited;
    await task.release();
  });

  test("users and groups by Docker's rules", async () => {
    const id = async (username: string, additionalGroups: string[] = []): Promise<string> => {
      try {
        return (await output(["sh", "-c", "id; echo $HOME"], (spec) => (spec.process!.user = { uid: 0, gid: 0, username, additionalGroups }))).trim().replace("\n", " ");
      } catch (error) {
        return (error as Error).message;
      }
    };
    assert.equal(await id("web"), "uid=1000(web) gid=1001(webgroup) groups=1001(webgroup),2000(extra) /home/web");
    assert.equal(await id("1000"), "uid=1000(web) gid=1001(webgroup) groups=1001(webgroup),2000(extra) /home/web");
    assert.equal(await id("web:other"), "uid=1000(web) gid=2001(other) groups=2001(other) /home/web");
    assert.equal(await id("1234:4321"), "uid=1234 gid=4321 groups=4321 /");
    assert.equal(await id("1234", ["extra", "77"]), "uid=1234 gid=0(root) groups=0(root),77,2000(extra) /");
    assert.equal(await id("nobody"), "unable to find user nobody: no matching entries in passwd file");
    assert.equal(await id("web:nogroup"), "unable to find group nogroup: no matching entries in group file");
    assert.equal(await id("web", ["nogroup"]), "unable to find group nogroup: no matching entries in group file");
    assert.equal(await id("broken"), "unable to find user broken: no matching entries in passwd file");
    for (const bad of ["2147483648", "4294967296", "-1", "1000:2147483648"]) assert.equal(await id(bad), "uids and gids must be in range 0-2147483647");
    for (const bad of ["0x0", "1e3", " 0"]) assert.equal(await id(bad), `unable to find user ${bad}: no matching entries in passwd file`);
  });

  test("a user database that is a trap is an error at once (CVE-2024-9676)", async () => {
    const path = join(bench.rootfs, "etc/passwd");
    const kept = readFileSync(path);
    const run = (): Promise<string> => bench.run(["true"], (spec) => (spec.process!.user = { uid: 0, gid: 0, username: "web" })).then(() => "ran", (error: Error) => error.message);
    const traps: [string, () => void, RegExp][] = [
      ["fifo", () => execFileSync("mkfifo", [path]), /not a regular file/],
      ["device", () => execFileSync("mknod", [path, "c", "1", "5"]), /not a regular file/],
      ["huge", () => (writeFileSync(path, ""), truncateSync(path, 10 * 2 ** 30)), /file too large/],
      ["magic link", () => symlinkSync("/proc/self/fd/0", path), /unable to/],
    ];
    try {
      for (const [, trap, message] of traps) {
        unlinkSync(path);
        trap();
        const began = Date.now();
        assert.match(await run(), message);
        assert.ok(Date.now() - began < 120_000);
      }
    } finally {
      rmSync(path, { force: true });
      writeFileSync(path, kept);
    }
  });

  test("capabilities, no_new_privs and seccomp are in force", async () => {
    const text = await output(["sh", "-c", "grep -E 'Cap(Eff|Bnd|Prm|Inh|Amb)|NoNewPrivs|Seccomp:' /proc/self/status; (mount -t tmpfs x /tmp) 2>&1; true"], (spec) => {
      const caps = ["CAP_CHOWN", "CAP_KILL"];
      spec.process!.capabilities = { bounding: caps, effective: caps, permitted: caps };
      spec.process!.noNewPrivileges = true;
    });
    assert.match(text, /CapInh:\t0{16}\nCapPrm:\t0{14}21\nCapEff:\t0{14}21\nCapBnd:\t0{14}21\nCapAmb:\t0{16}\nNoNewPrivs:\t1\nSeccomp:\t2\n/);
    assert.match(text, /mount: (permission denied|mounting x on \/tmp failed: Operation not permitted)/);
  });

  test("rlimits; a hard limit beyond ours falls back", async () => {
    const text = await output(["sh", "-c", "ulimit -n; ulimit -Hn"], (spec) => (spec.process!.rlimits = [{ type: "RLIMIT_NOFILE", soft: 123, hard: 456 }, { type: "RLIMIT_NPROC", soft: 2 ** 40, hard: 2 ** 40 }]));
    assert.equal(text, "123\n456\n");
  });

  test("sysctls, hostname, oom score, umask", async () => {
    const text = await output(["sh", "-c", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax /proc/self/oom_score_adj; hostname; umask"], (spec) => {
      spec.linux!.sysctl = { "net.ipv4.ip_unprivileged_port_start": "0", "kernel.msgmax": "9000" };
      spec.process!.oomScoreAdj = 321;
      spec.process!.user.umask = 0o27;
      spec.hostname = "name";
    });
    assert.equal(text, "0\n9000\n321\nname\n0027\n");
  });

  test("all capabilities, devices and no seccomp: a privileged container", async () => {
    const status = readFileSync("/proc/self/status", "utf8");
    const bounding = BigInt(`0x${/CapBnd:\t(\w+)/.exec(status)![1]}`);
    const text = await output(["sh", "-c", "grep CapEff /proc/self/status; mount -t tmpfs x /tmp && echo mounted"], (spec) => {
      seccompOff(spec);
      const names = ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"].map((name) => `CAP_${name}`);
      spec.process!.capabilities = { bounding: names, effective: names, permitted: names };
      spec.linux!.resources = { devices: [{ allow: true, access: "rwm" }] };
      spec.linux!.maskedPaths = spec.linux!.readonlyPaths = [];
    });
    assert.match(text, new RegExp(`CapEff:\\t${bounding.toString(16).padStart(16, "0")}\\nmounted\\n`));
  });

  test("a user namespace: mapped ids, working devices and streams, exec", async () => {
    const request = bench.request(["sh", "-c", "id -u; cat /proc/self/uid_map; echo x > /dev/null && echo null; touch /made; ls -ln /made | cut -c1-40; mount | grep -c ' /proc '; echo again > /dev/stderr; sleep 1000"], (spec) => {
      spec.linux!.namespaces!.push({ type: "user" });
      spec.linux!.uidMappings = spec.linux!.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
    });
    const overlay = request.rootfs[0];
    assert.ok(overlay?.type === "overlay");
    for (const dir of [overlay.upper, overlay.work]) chownSync(dir, 100000, 100000);
    const task = await bench.runtime.create(request);
    const path = request.log.kind === "json-file" ? request.log.path : "";
    await until("all is printed", () => readFileSync(path, "utf8").includes("again"));
    const text = readFileSync(path, "utf8").split("\n").filter(Boolean).map((line) => (JSON.parse(line) as { log: string }).log).join("");
    assert.match(text, /^0\n +0 +100000 +65536\nnull\n-rw-r--r--    1 0        0 .*\n1\nagain\n/s);
    assert.equal(statSync(join(overlay.upper, "made")).uid, 100000);
    assert.notEqual(readlinkOf(task.pid, "user"), readlinkSync("/proc/self/ns/user"));
    const exec = await task.exec({ id: "e", process: specOf("x", ["sh", "-c", "[ $(id -u) = 0 ] && [ -r /proc/1/environ ] && exit 5"]).process!, stdio: stdio() });
    assert.equal((await exec.exited).code, 5);
    await task.signal(9);
    await task.exited;
    await task.release();
    assert.deepEqual(bench.leftCgroups(), []);
  });

  test("namespaces of another container, and of the host", async () => {
    const other = await bench.runtime.create(bench.request(["sleep", "1000"], (spec) => (spec.hostname = "first")));
    const join_ = (spec: OciSpec, types: string[]): void => {
      for (const namespace of spec.linux!.namespaces!) if (types.includes(namespace.type)) namespace.path = `/proc/${other.pid}/ns/${{ network: "net", pid: "pid", ipc: "ipc", uts: "uts" }[namespace.type as "network"]}`;
      delete spec.hostname;
    };
    const ns = (name: string): string => readlinkOf(other.pid, name);
    const text = await output(["sh", "-c", "hostname; for n in net ipc pid; do readlink /proc/self/ns/$n; done; cat /proc/1/comm"], (spec) => join_(spec, ["network", "ipc", "uts", "pid"]));
    assert.match(text, new RegExp(`^first\n${[ns("net"), ns("ipc"), ns("pid")].map((name) => name.replace(/[[\]]/g, "\\$&")).join("\n")}\nsleep\n`));
    const hostNet = await output(["readlink", "/proc/self/ns/net"], (spec) => {
      spec.linux!.namespaces = spec.linux!.namespaces!.filter(({ type }) => type !== "network");
      spec.mounts = spec.mounts!.map((mount) => (mount.type === "sysfs" ? { ...mount, type: "bind", source: "/sys", options: ["rbind", "ro"] } : mount)).filter(({ type }) => type !== "cgroup");
    });
    assert.equal(hostNet.trim(), readlinkSync("/proc/self/ns/net"));
    await other.signal(9);
    await other.exited;
    await other.release();
  });

  test("an open network namespace is joined by its fd", async () => {
    const name = `shimtest${process.pid}`;
    execFileSync("sh", ["-c", `mkdir -p ${bench.folder}/ns && touch ${bench.folder}/ns/${name} && unshare --net=${bench.folder}/ns/${name} true`]);
    const fd = openSync(join(bench.folder, "ns", name), "r");
    try {
      const text = await output(["readlink", "/proc/self/ns/net"], (_, request) => (request.netnsFd = fd));
      assert.equal(text.trim(), `net:[${statSync(join(bench.folder, "ns", name)).ino}]`);
    } finally {
      closeSync(fd);
      execFileSync("umount", [join(bench.folder, "ns", name)]);
    }
  });

  test("a time namespace with offsets", async () => {
    const text = await output(["cat", "/proc/uptime"], (spec) => {
      spec.linux!.namespaces!.push({ type: "time" });
      spec.linux!.timeOffsets = { boottime: { secs: 1_000_000 } };
    });
    assert.ok(Number(text.split(" ")[0]) > 1_000_000);
  });

  test("devices that are not allowed cannot be opened", async () => {
    const text = await output(["sh", "-c", "mknod /dev/loop-x b 7 0; (head -c 1 /dev/loop-x) 2>&1; head -c 1 /dev/zero | wc -c"], (spec) => {
      const deny = { allow: false, access: "rwm" };
      const allowed = [[1, 3], [1, 5], [1, 7], [1, 8], [1, 9], [5, 0]].map(([major, minor]) => ({ allow: true, type: "c", major: major!, minor: minor!, access: "rwm" }));
      spec.linux!.resources = { devices: [deny, ...allowed, { allow: true, type: "b", access: "m" }] };
    });
    assert.match(text, /Operation not permitted\n1\n$/);
  });

  test("layers with odd names and long paths", async () => {
    const odd = join(bench.folder, `odd,name:with\\chars ${"x".repeat(200)}`, "y".repeat(100));
    mkdirSync(join(odd, "etc"), { recursive: true });
    writeFileSync(join(odd, "etc/odd"), "odd\n");
    const text = await output(["cat", "/etc/odd"], (_, request) => {
      const overlay = request.rootfs[0];
      if (overlay?.type === "overlay") overlay.lower = [odd, ...overlay.lower];
    });
    assert.equal(text, "odd\n");
  });

  test("a bind as the root", async () => {
    assert.equal(await output(["echo", "from the folder itself"], (_, request) => (request.rootfs = [{ type: "bind", source: bench.rootfs, readonly: true }])), "from the folder itself\n");
  });
});
