import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeContext } from "../../engine/containers/testing/context.ts";
import type { FakeContext } from "../../engine/containers/testing/context.ts";
import { serve } from "../testing/harness.ts";
import { containerRoutes } from "./routes.ts";

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

async function post(context: FakeContext, path: string, body: string, type = "application/json"): Promise<Answer> {
  await using server = await serve(containerRoutes(context));
  const text = await server.request(`POST ${path} HTTP/1.1\nHost: x\nContent-Type: ${type}\nContent-Length: ${Buffer.byteLength(body)}`, body);
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), body: JSON.parse(text.slice(text.indexOf("\r\n\r\n")).trim() || "{}") as Record<string, unknown> };
}
const create = (version: string, body: object, query = "", context = fakeContext()): Promise<Answer> => post(context, `/v${version}/containers/create${query}`, JSON.stringify({ Image: "image", ...body }));

test("bodies that are none are refused", async () => {
  for (const [body, type, message] of [
    ["", "application/json", "invalid JSON: EOF"],
    ["{}", "text/plain", "unsupported Content-Type header (text/plain): must be 'application/json'"],
    ["{}", "application/json", "config cannot be empty in order to create a container"],
    ['{"HostConfig":{}}', "application/json", "config cannot be empty in order to create a container"],
    ["{} {}", "application/json", "unexpected content after JSON"],
  ] as const) {
    assert.deepEqual(await post(fakeContext(), "/containers/create", body, type), { status: 400, body: { message } });
  }
});

test("a body beyond the budget is refused", async () => {
  const { status, body } = await post(fakeContext(), "/containers/create", `"${"x".repeat(17 << 20)}"`);
  assert.equal(status, 400);
  assert.match(String(body["message"]), /larger than the 16777216 bytes/);
});

test("old versions: defaults and fields that moved", async () => {
  const context = fakeContext();
  const { body } = await create("1.39", { MacAddress: "02:42:00:00:00:09", HostConfig: { PidsLimit: -1, ConsoleSize: [1, 2], Annotations: { a: "b" } } }, "", context);
  const { hostConfig, networkingConfig } = context.store.find(String(body["Id"]));
  assert.deepEqual([hostConfig.IpcMode, hostConfig.CgroupnsMode, hostConfig.PidsLimit, hostConfig.ConsoleSize, hostConfig.Annotations], ["shareable", "host", -1, [0, 0], null]);
  assert.equal(networkingConfig.EndpointsConfig?.["bridge"]?.MacAddress, "02:42:00:00:00:09");
});

test("the container-wide hardware address: warned about from 1.44 on, unknown from 1.52 on", async () => {
  const warning = "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.";
  const mac = { MacAddress: "02:42:00:00:00:09" };
  assert.deepEqual((await create("1.44", mac)).body["Warnings"], [warning]);
  assert.deepEqual((await create("1.52", mac)).body["Warnings"], []);
  assert.match(String((await create("1.43", { ...mac, HostConfig: { NetworkMode: "host" } })).body["message"]), /conflicting options: mac-address and the network mode/);
});

test("what needs a newer version says so", async () => {
  const mount = (fields: object) => ({ HostConfig: { Mounts: [{ Type: "bind", Source: "/etc", Target: "/x", ...fields }] } });
  for (const [version, body, message] of [
    ["1.43", mount({ BindOptions: { ReadOnlyForceRecursive: true } }), "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer"],
    ["1.44", mount({ Type: "volume", VolumeOptions: { Subpath: "a" } }), "VolumeOptions.Subpath needs API v1.45 or newer"],
    ["1.47", mount({ Type: "image" }), 'Mount type "Image" needs API v1.48 or newer'],
    ["1.43", { NetworkingConfig: { EndpointsConfig: { a: {}, b: {} } } }, "Container cannot be created with multiple network endpoints: a, b"],
    ["1.56", mount({ VolumeOptions: {} }), 'VolumeOptions must not be specified on mount type "bind"'],
  ] as const) {
    assert.deepEqual(await create(version, body), { status: 400, body: { message } });
  }
  assert.equal((await create("1.41", mount({ VolumeOptions: {} }))).status, 201);
});

test("sysctls of an interface move to its endpoint up to 1.47", async () => {
  const context = fakeContext();
  const sysctls = { HostConfig: { Sysctls: { "net.ipv4.conf.eth0.log_martians": "1", "net.core.somaxconn": "9" } } };
  const { body } = await create("1.47", sysctls, "", context);
  const { hostConfig, networkingConfig } = context.store.find(String(body["Id"]));
  assert.deepEqual(hostConfig.Sysctls, { "net.core.somaxconn": "9" });
  assert.equal(networkingConfig.EndpointsConfig?.["bridge"]?.DriverOpts?.["com.docker.network.endpoint.sysctls"], "net.ipv4.conf.IFNAME.log_martians=1");
  assert.equal((await create("1.48", sysctls)).status, 500);
});

test("platforms", async () => {
  assert.deepEqual(await create("1.56", {}, "?platform=nosuch"), { status: 400, body: { message: '"nosuch": unknown operating system or architecture: invalid argument' } });
  assert.deepEqual((await create("1.56", {}, "?platform=a/b/c/d")).body, { message: '"a/b/c/d": cannot parse platform specifier: invalid argument' });
  assert.equal((await create("1.56", {}, "?platform=linux/amd64")).status, 201);
});

test("the network default is the bridge, also as the name of an endpoint", async () => {
  const context = fakeContext();
  const { body } = await create("1.56", { HostConfig: { NetworkMode: "default" }, NetworkingConfig: { EndpointsConfig: { default: { MacAddress: "02:42:00:00:00:09" } } } }, "", context);
  const { hostConfig, networkingConfig } = context.store.find(String(body["Id"]));
  assert.equal(hostConfig.NetworkMode, "bridge");
  assert.deepEqual(Object.keys(networkingConfig.EndpointsConfig ?? {}), ["bridge"]);
});
