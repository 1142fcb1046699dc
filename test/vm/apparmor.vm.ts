/** The AppArmor profile of containers that name none. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { type Api, demultiplex } from "../harness/api.ts";
import { withDaemon } from "./daemon.ts";

before(() => {
  if (!readFileSync("/proc/mounts", "utf8").includes(" /sys/kernel/security ")) spawnSync("mount", ["-t", "securityfs", "securityfs", "/sys/kernel/security"]);
});

const CURRENT = "cat /proc/self/attr/current";

async function run(api: Api, script: string, hostConfig: object = {}): Promise<string> {
  const { Id } = await api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sh", "-c", script], HostConfig: { NetworkMode: "none", ...hostConfig } } });
  await api.json("POST", `/containers/${Id}/start`);
  await api.json("POST", `/containers/${Id}/wait`);
  const { stdout, stderr } = demultiplex((await api.send("GET", `/containers/${Id}/logs?stdout=1&stderr=1`)).body);
  await api.json("DELETE", `/containers/${Id}`);
  return `${stdout}${stderr}`.trim();
}

test("containers run under docker-default, unless they say otherwise or are privileged; it is loaded again", async () => {
  await withDaemon([], async (api) => {
    assert.equal(await run(api, CURRENT), "docker-default (enforce)");
    assert.equal(await run(api, CURRENT, { SecurityOpt: ["apparmor=unconfined"] }), "unconfined");
    assert.equal(await run(api, CURRENT, { Privileged: true }), "unconfined");
    assert.equal(spawnSync("apparmor_parser", ["--remove"], { input: "profile docker-default {}" }).status, 0);
    assert.equal(await run(api, CURRENT), "docker-default (enforce)");
  });
});

test("what programs do in containers is allowed; mounting and settings of the kernel are not, whatever else is", async () => {
  await withDaemon([], async (api) => {
    const usual = "touch /file && echo 500 >/proc/self/oom_score_adj && ls /sys/class >/dev/null && { sleep 100 & kill $!; wait $! 2>/dev/null; echo $?; } 2>/dev/null && ln -s a /b && cat /proc/1/status | grep -c Name";
    assert.equal(await run(api, usual), "143\n1");
    const free = { CapAdd: ["SYS_ADMIN"], SecurityOpt: ["seccomp=unconfined"], MaskedPaths: [], ReadonlyPaths: [] };
    const wrong = "mkdir /m; mount -t tmpfs none /m 2>/dev/null && echo mounted; cat /proc/sys/vm/swappiness >/tmp/s; (cat /tmp/s >/proc/sys/vm/swappiness) 2>/dev/null && echo written; true";
    assert.equal(await run(api, wrong, free), "");
    assert.equal(await run(api, wrong, { ...free, SecurityOpt: [...free.SecurityOpt, "apparmor=unconfined"] }), "mounted\nwritten", "control");
    const { Id } = await api.json("POST", "/containers/create", { json: { Image: "busybox", Cmd: ["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 1; done"], HostConfig: { NetworkMode: "none" } } });
    await api.json("POST", `/containers/${Id}/start`);
    assert.equal((await api.json("GET", `/containers/${Id}/json`)).AppArmorProfile, "docker-default");
    await api.json("POST", `/containers/${Id}/stop`);
    assert.equal((await api.json("GET", `/containers/${Id}/json`)).State.ExitCode, 7, "signals of the daemon arrive");
    await api.json("DELETE", `/containers/${Id}`);
  });
});
