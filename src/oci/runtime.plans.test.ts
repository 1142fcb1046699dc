/** What plans can say beyond what usual containers ask for, each executed for real. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TaskRequest } from "../core/runtime.ts";
import { until } from "../lib/eventually.testing.ts";
import { deviceProgram } from "./cgroups/device-program.ts";
import { compile } from "./compile/compile.ts";
import type { Plan } from "./plan/types.ts";
import { cannotRun, host, TestBench } from "./runtime.testing.ts";

const plain = { set: 0n, clear: 0n, recursiveSet: 0n, recursiveClear: 0n };
const v2 = host.cgroups.hierarchies.find(({ version }) => version === 2);

describe("runtime: plans", { skip: cannotRun }, () => {
  let bench: TestBench;
  let change: (plan: Plan) => void = () => {};
  before(() => {
    const made = (request: TaskRequest): Plan => {
      const plan = compile(request.spec, { id: request.id, host, rootfs: request.rootfs, bundle: bench.folder });
      change(plan);
      return plan;
    };
    bench = new TestBench({ compile: made });
  });
  after(() => bench[Symbol.asyncDispose]());

  const run = async (args: string[], edit: (plan: Plan) => void, more?: Parameters<TestBench["run"]>[1]): Promise<{ code: number; stdout: string; stderr: string }> => {
    change = edit;
    try {
      return await bench.run(args, more);
    } finally {
      change = () => {};
    }
  };

  test("an eBPF device program on a v2 group", { skip: v2 ? false : "no cgroup2 mount" }, async () => {
    const rules = [{ allow: false, type: "a", access: "rwm" }, { allow: true, type: "c", major: 1, minor: 3, access: "rwm" }, { allow: true, type: "c", major: 1, minor: 5, access: "m" }] as never;
    const { stdout } = await run(["sh", "-c", "(head -c 1 /dev/zero) 2>&1; echo x > /dev/null && echo null"], (plan) => {
      const group = plan.teardown.map((op) => (op.op === "cgroupRemove" ? op.path : "")).find((path) => path.startsWith(`${v2!.mountpoint}/`))!;
      // Beside v1 every access passes both.
      plan.host.push({ op: "cgroupDeviceProgram", path: group, program: deviceProgram(rules) });
      plan.child = plan.child.filter((op) => op.op !== "mknod" || op.target === "/dev/null");
    }, (spec) => (spec.process!.args = ["sh", "-c", "(head -c 1 /dev/zero) 2>&1; mknod /dev/z c 1 5 && (head -c 1 /dev/z) 2>&1; echo x > /dev/null && echo null"]));
    assert.match(stdout, /z: Operation not permitted\n/);
    assert.match(stdout, /null\n$/);
  });

  test("the unified hierarchy as the container's only one", { skip: v2 ? false : "no cgroup2 mount" }, async () => {
    const { stdout, stderr } = await run(["sh", "-c", "cat /sys/fs/cgroup/cgroup.procs; grep ' /sys/fs/cgroup ' /proc/self/mountinfo"], (plan) => {
      plan.child = plan.child.map((op) => (op.op === "cgroupMount" ? { ...op, hierarchies: [{ name: "unified", controllers: "", links: [], hostPath: "" }], unified: true, readonly: true, attributes: { ...plain, set: 1n } } : op));
    });
    assert.match(stdout, /^1\n/, stderr);
    assert.match(stdout, / ro,.* - cgroup2 /);
  });

  test("moving the mount instead of pivot_root", async () => {
    const { stdout } = await run(["ls", "/"], (plan) => {
      plan.child = plan.child.map((op) => (op.op === "pivotRoot" ? { op: "pivotRoot", mode: "moveMount" } : op));
    });
    assert.match(stdout, /^bin\ndev\netc\n/);
  });

  const [major = 0, minor = 0] = host.kernelRelease.split(".").map(Number);
  test("an id-mapped bind shows other owners", { skip: major > 6 || (major === 6 && minor >= 3) ? false : "tmpfs takes id maps from Linux 6.3 on" }, async () => {
    const source = join(bench.folder, "idmapped");
    mkdirSync(source);
    writeFileSync(join(source, "f"), "");
    const { stdout, stderr } = await run(["stat", "-c", "%u:%g", "/m/f"], (plan) => {
      const pivot = plan.child.findIndex((op) => op.op === "pivotRoot");
      plan.child.splice(pivot, 0, { op: "bind", source, target: "/m", recursive: false, attributes: plain, create: "like-source", idmap: { uid: "0 5000 1\n", gid: "0 6000 1\n", recursive: false } });
    });
    assert.equal(stdout, "5000:6000\n", stderr);
  });

  test("shared propagation reaches the host only below the shared mount", async () => {
    const shared = join(bench.folder, "sharedmount");
    mkdirSync(shared);
    execFileSync("sh", ["-c", `mount -t tmpfs gantry-test ${shared} && mount --make-shared ${shared} && mkdir ${shared}/inside`]);
    try {
      const name = `made-${process.pid}`;
      const below = (): string[] => readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((line) => line.includes(` ${shared}`));
      const request = bench.request(["sh", "-c", `mount -t tmpfs ${name} /s/inside && sleep 1000`], (spec) => {
        const caps = [...spec.process!.capabilities!.bounding!, "CAP_SYS_ADMIN"];
        spec.process!.capabilities = { bounding: caps, effective: caps, permitted: caps };
        delete spec.linux!.seccomp;
        spec.linux!.rootfsPropagation = "shared";
        spec.mounts!.push({ destination: "/s", type: "bind", source: shared, options: ["rbind", "rshared"] });
      });
      const task = await bench.runtime.create(request);
      await until("the mount is on the host", () => below().length > 1);
      const [, ...inside] = below();
      const others = readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((line) => line.includes(` - tmpfs ${name} `));
      await task.signal(9);
      await task.exited;
      await task.release();
      assert.equal(inside.length, 1);
      assert.match(inside[0]!, new RegExp(` ${shared}/inside .* - tmpfs ${name} `));
      assert.deepEqual(others, inside, "and nowhere else");
    } finally {
      execFileSync("umount", ["-l", shared]);
    }
  });

  test("hooks run at their stages, with the state", async () => {
    const folder = join(bench.folder, "hooks");
    mkdirSync(folder);
    const script = join(folder, "hook");
    writeFileSync(script, `#!/bin/sh\ncat > ${folder}/$1.json; readlink /proc/self/ns/uts > ${folder}/$1.ns\n`);
    chmodSync(script, 0o755);
    writeFileSync(join(bench.rootfs, "inner"), "#!/bin/sh\ncat > /tmp/state; echo started-by $1 > /tmp/inner\n", { mode: 0o755 });
    const hook = (name: string): { path: string; args: string[] } => ({ path: script, args: ["hook", name] });
    const { stdout, stderr } = await run(["cat", "/tmp/inner"], () => {}, (spec, request) => {
      spec.hooks = { prestart: [hook("prestart")], createRuntime: [hook("createRuntime")], createContainer: [hook("createContainer")], startContainer: [{ path: "/inner", args: ["inner", "startContainer"] }], poststart: [hook("poststart")], poststop: [hook("poststop")] };
      request.autostart = true;
    });
    assert.equal(stdout, "started-by startContainer\n", stderr);
    const hostUts = execFileSync("readlink", ["/proc/self/ns/uts"]).toString();
    const ns = (name: string): string => readFileSync(join(folder, `${name}.ns`), "utf8");
    for (const name of ["prestart", "createRuntime", "poststart", "poststop"]) assert.equal(ns(name), hostUts, name);
    assert.notEqual(ns("createContainer"), hostUts);
    const state = JSON.parse(readFileSync(join(folder, "createRuntime.json"), "utf8")) as { pid: number; status: string };
    assert.ok(state.pid > 1);
    assert.ok(existsSync(join(folder, "poststop.json")));
  });

  test("a hook that fails or takes too long fails the start", async () => {
    const failing = (path: string, args: string[], timeout?: number): Promise<string> =>
      run(["true"], () => {}, (spec) => (spec.hooks = { createRuntime: [{ path, args, ...(timeout !== undefined && { timeout }) }] })).then(() => "started", (error: Error) => error.message);
    assert.match(await failing("/bin/false", ["false"]), /error running hook \/bin\/false: exit status 1/);
    assert.match(await failing("/bin/sleep", ["sleep", "1000"], 1), /error running hook \/bin\/sleep: timed out/);
    assert.deepEqual(bench.leftCgroups(), []);
  });

  test("a seccomp listener that is not there fails the start", async () => {
    await assert.rejects(
      run(["true"], (plan) => {
        plan.exec.seccomp = { ...plan.exec.seccomp!, listenerPath: "/no/listener.sock", listenerState: "{}" };
      }),
      { message: /failed to connect with seccomp agent .*"\/no\/listener.sock"\): no such file or directory/ },
    );
  });

  test("large plans travel in a memory file", async () => {
    const big = "x".repeat(100_000);
    const { stdout } = await run(["sh", "-c", "echo ${#BIG}"], () => {}, (spec) => spec.process!.env!.push(`BIG=${big}`));
    assert.equal(stdout, "100000\n");
  });

  test("the init program: reaps, forwards, ends with the program's code", async () => {
    const init = join(import.meta.dirname, "../../build/native/gantry-init");
    const withInit = (args: string[]): Parameters<TestBench["run"]>[1] => (spec) => {
      spec.process!.args = ["/sbin/init", "--", ...args];
      spec.mounts!.push({ destination: "/sbin/init", type: "bind", source: init, options: ["bind", "ro"] });
    };
    assert.equal((await run([], () => {}, withInit(["sh", "-c", "exit 23"]))).code, 23);
    assert.equal((await run([], () => {}, withInit(["nosuch"]))).code, 127);
    assert.equal((await run([], () => {}, withInit(["sh", "-c", "kill -9 $$"]))).code, 137);
    const left = "grep -lsE '^(State:.Z|Name:.sleep)' /proc/[0-9]*/status";
    const reaped = await run([], () => {}, withInit(["sh", "-c", `(sleep 0.05 &); (sleep 0.05 &); for i in $(seq 600); do [ -n "$(${left})" ] || break; sleep 0.05; done; ${left}; cat /proc/1/comm`]));
    assert.equal(reaped.stdout, "init\n");
    const request = bench.request(["/sbin/init", "--", "sh", "-c", "trap 'exit 9' TERM; : > /tmp/up; while :; do sleep 0.05; done"], (spec) => withInit(spec.process!.args.slice(2))!(spec, {} as TaskRequest));
    const task = await bench.runtime.create(request);
    const [overlay] = request.rootfs;
    await until("the trap is set", () => overlay?.type === "overlay" && existsSync(join(overlay.upper, "tmp/up")));
    await task.signal(15);
    assert.equal((await task.exited).code, 9);
    await task.release();
    assert.ok(statSync(init).size > 0);
  });
});
