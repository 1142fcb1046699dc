/** Devices of the Container Device Interface, over the API. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { demultiplex } from "../harness/api.ts";
import { withEngine } from "../harness/engine.ts";

test("a container gets the device, its variables, mounts and hooks; what is not there fails at the start", () =>
  withEngine(async (engine) => {
    const folder = join(engine.machine.folder, "cdi");
    mkdirSync(folder);
    const edits = {
      env: ["INJECTED=yes"],
      deviceNodes: [{ path: "/dev/made", hostPath: "/dev/null" }],
      mounts: [{ hostPath: folder, containerPath: "/described", options: ["ro", "rbind"] }],
      hooks: [{ hookName: "createRuntime", path: "/bin/sh", args: ["sh", "-c", `cat > ${folder}/hooked`] }],
    };
    writeFileSync(join(folder, "test.json"), JSON.stringify({ cdiVersion: "0.6.0", kind: "example.com/device", devices: [{ name: "one", containerEdits: edits }] }));
    await engine.stop();
    await engine.start({ flags: ["--cdi-spec-dir", folder] });
    const info = await engine.api.json("GET", "/info");
    assert.deepEqual([info.CDISpecDirs, info.DiscoveredDevices], [[folder], [{ Source: "cdi", ID: "example.com/device=one" }]]);

    const create = (id: string, name: string) => engine.api.json("POST", `/containers/create?name=${name}`, { json: { Image: "busybox", Cmd: ["sh", "-c", "echo $INJECTED; echo x > /dev/made && [ -c /dev/made ] && ls /described; touch /described/x"], HostConfig: { DeviceRequests: [{ Driver: "cdi", DeviceIDs: [id] }] } } });
    await create("example.com/device=one", "has");
    await engine.api.json("POST", "/containers/has/start");
    await engine.api.json("POST", "/containers/has/wait");
    const { stdout, stderr } = demultiplex((await engine.api.send("GET", "/containers/has/logs?stdout=1&stderr=1")).body);
    assert.equal(stdout, "yes\nhooked\ntest.json\n");
    assert.match(stderr, /Read-only file system/);
    await create("example.com/device=two", "lacks");
    const failed = await engine.api.send("POST", "/containers/lacks/start");
    assert.equal(failed.status, 500);
    assert.match(failed.body.toString(), /unresolvable CDI devices example\.com\/device=two/);
    for (const name of ["has", "lacks"]) await engine.api.json("DELETE", `/containers/${name}`);
  }));
