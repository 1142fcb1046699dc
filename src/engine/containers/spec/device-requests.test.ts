import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostConfig } from "../../../core/container-config.ts";
import type { DeviceDriver } from "../../../core/devices.ts";
import { injectDevices } from "./device-requests.ts";

type Request = NonNullable<HostConfig["DeviceRequests"]>[number];

async function injected(request: Partial<Request>, names: readonly string[] = [], present = true): Promise<string[]> {
  const asked: string[] = [];
  const driver: DeviceDriver = { id: "cdi", inject: async (_spec, wanted) => void asked.push(...wanted), list: async () => ({ names: [...names], warnings: [] }) };
  const full: Request = { Driver: "", Count: 0, DeviceIDs: null, Capabilities: null, Options: null, ...request };
  await injectDevices({ ociVersion: "1.3.0" }, { DeviceRequests: [full] } as HostConfig, present ? driver : undefined);
  return asked;
}

test("devices by their names", async () => {
  assert.deepEqual(await injected({ Driver: "cdi", DeviceIDs: ["a.com/b=c", "a.com/b=d"] }), ["a.com/b=c", "a.com/b=d"]);
  await assert.rejects(injected({ Driver: "cdi", Count: 1 }), { code: "system", message: "unexpected count in CDI device request" });
  await assert.rejects(injected({ Driver: "cdi", Options: { a: "b" } }), { message: "unexpected options in CDI device request" });
});

test("GPUs of whichever maker's devices are described", async () => {
  const gpu = { Capabilities: [["gpu"]] };
  assert.deepEqual(await injected({ ...gpu, Count: -1 }, ["amd.com/gpu=all"]), ["amd.com/gpu=all"]);
  assert.deepEqual(await injected({ ...gpu, Count: 2 }, ["amd.com/gpu=0", "nvidia.com/gpu=0"]), ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]);
  assert.deepEqual(await injected({ Capabilities: [["gpu", "amd"]], Count: 1 }, ["amd.com/gpu=0", "nvidia.com/gpu=0"]), ["amd.com/gpu=0"]);
  assert.deepEqual(await injected({ Driver: "nvidia", DeviceIDs: ["1", "other.com/gpu=x"] }, ["nvidia.com/gpu=1"]), ["nvidia.com/gpu=1", "other.com/gpu=x"]);
  await assert.rejects(injected({ ...gpu, Count: 1, Options: { a: "b" } }, ["amd.com/gpu=0"]), { message: "unexpected options in CDI device request" });
  await assert.rejects(injected({ ...gpu, Count: 1, DeviceIDs: ["0"] }, ["amd.com/gpu=0"]), { message: "cannot set both Count and DeviceIDs on device request" });
});

test("what nobody has is refused in Docker's words", async () => {
  const refused = { code: "system", message: "failed to discover GPU vendor from CDI: no known GPU vendor found" };
  await assert.rejects(injected({ Capabilities: [["gpu"]], Count: -1 }, ["other.com/gpu=0"]), refused);
  await assert.rejects(injected({ Capabilities: [["gpu"]], Count: -1 }, ["amd.com/gpu=0"], false), { code: "system", message: 'could not select device driver "" with capabilities: [[gpu]]' });
  await assert.rejects(injected({ Driver: "tpu" }, ["amd.com/gpu=0"]), { message: 'could not select device driver "tpu" with capabilities: []' });
});
