import assert from "node:assert/strict";
import { test } from "node:test";
import { createContainer, planContainer } from "./create.ts";
import type { CreateOptions } from "./create.ts";
import { fakeContext, fullKernel, imageOf, request } from "./testing/context.ts";
import type { FakeContext } from "./testing/context.ts";

async function create(options: CreateOptions, context: FakeContext = fakeContext()) {
  const { id, warnings } = await createContainer(context, options);
  return { record: context.store.find(id), warnings, context };
}
const refused = (options: CreateOptions, code: string, message: string, context?: FakeContext) => assert.rejects(create(options, context), { code, message });

test("a container takes what it does not say from its image", async () => {
  const context = fakeContext({ Cmd: ["cmd"], Entrypoint: ["entry"], Env: ["A=image", "B=image"], Labels: { a: "image", b: "image" }, User: "u", WorkingDir: "/w", StopSignal: "SIGINT", ExposedPorts: { "80/tcp": {} } });
  const { record } = await create(request({ Env: ["A=own", "C"], Labels: { a: "own" }, ExposedPorts: { "81/tcp": {} } }), context);
  assert.deepEqual(record.config.Env, ["A=own", "C", "B=image"]);
  assert.deepEqual(record.config.Labels, { a: "own", b: "image" });
  assert.deepEqual([record.config.Entrypoint, record.config.Cmd, record.config.User, record.config.WorkingDir, record.config.StopSignal], [["entry"], ["cmd"], "u", "/w", "SIGINT"]);
  assert.deepEqual(Object.keys(record.config.ExposedPorts ?? {}).sort(), ["80/tcp", "81/tcp"]);
  assert.equal(record.config.Hostname, record.id.slice(0, 12));
  assert.deepEqual(context.emitted.map(({ action, actor }) => [action, actor.id]), [["create", record.id]]);
});

test("an entrypoint of its own drops the image's command, an empty one the entrypoint", async () => {
  const image = { Cmd: ["cmd"], Entrypoint: ["entry"] };
  const own = await create(request({ Entrypoint: ["own"] }), fakeContext(image));
  assert.deepEqual([own.record.config.Entrypoint, own.record.config.Cmd], [["own"], null]);
  const none = await create(request({ Entrypoint: [""], Cmd: ["a"] }), fakeContext(image));
  assert.deepEqual([none.record.config.Entrypoint, none.record.config.Cmd], [null, ["a"]]);
  await refused(request(), "invalid-parameter", "no command specified", fakeContext({}));
});

test("names: invented, checked, unique", async () => {
  const { record, context } = await create(request());
  assert.match(record.name, /^[a-z]+_[a-z]+[0-9]?$/);
  await create({ ...request(), name: "/given" }, context);
  await assert.rejects(create({ ...request(), name: "given" }, context), { code: "conflict", message: /^Conflict\. The container name "\/given" is already in use by container "[0-9a-f]{64}"\. You have to remove/ });
  await refused({ ...request(), name: "a b" }, "invalid-parameter", "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
});

test("a failure leaves nothing", async () => {
  const context = fakeContext();
  context.layers.open = async () => {
    throw new Error("disk full");
  };
  await assert.rejects(create(request({ WorkingDir: "/w" }), context), /disk full/);
  assert.equal(context.store.size, 0);
  assert.equal(context.removedLayers.length, 1);
});

test("limits that the kernel has not are taken out with a warning", async () => {
  const { record, warnings } = await create(request({}, { BlkioWeight: 300, MemorySwappiness: 10 }), fakeContext({ Cmd: ["sh"] }, { ...fullKernel, blkioWeight: false, memorySwappiness: false }));
  assert.equal(record.hostConfig.BlkioWeight, 0);
  assert.equal(record.hostConfig.MemorySwappiness, null);
  assert.deepEqual(warnings, [
    "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
  ]);
});

test("an image for another machine is a warning", async () => {
  const context = fakeContext();
  context.images.known.set("image", { ...imageOf("1", { Cmd: ["sh"] }), platform: { os: "linux", architecture: "s390x" } });
  const { warnings } = await create(request(), context);
  assert.deepEqual(warnings, ["The requested image's platform (linux/s390x) does not match the detected host platform (linux/amd64) and no specific platform was requested"]);
});

test("shared namespaces are kept by id, and end the separation by labels", async () => {
  const context = fakeContext();
  const { record: first } = await create({ ...request(), name: "first" }, context);
  const { record } = await create(request({}, { PidMode: "container:first", IpcMode: "host" }), context);
  assert.equal(record.hostConfig.PidMode, `container:${first.id}`);
  assert.deepEqual(record.hostConfig.SecurityOpt, ["label=disable"]);
  await refused(request({}, { PidMode: "container:none" }), "invalid-parameter", "No such container: none", context);
});

test("ports are published at the start, and discarded in the host's network", async () => {
  await create(request({}, { PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "8080" }], "80/xyz": [] } }));
  await create(request({}, { NetworkMode: "host", PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "8080" }] } }));
});

test("volumes are made, held and filled", async () => {
  const context = fakeContext({ Cmd: ["sh"], Volumes: { "/image/data/": {}, "/none": {} } });
  const { record } = await create(request({}, { Binds: ["named:/image/named", "other:/image/other:nocopy"] }), context);
  const [data, named, other, none] = record.mounts;
  assert.match(data!.name!, /^[0-9a-f]{64}$/);
  assert.deepEqual([data!.driver, data!.source, data!.mode, data!.volume], ["local", `/volumes/${data!.name}`, "", { anonymous: true, subpath: "" }]);
  assert.deepEqual([named!.name, named!.source, named!.mode, other!.name, none!.destination], ["named", "/volumes/named", "z", "other", "/none"]);
  assert.deepEqual(context.filled.sort(), [`/image/data /volumes/${data!.name}`, "/image/named /volumes/named"]);
  assert.deepEqual(context.volumes.usersOf("named"), [record.id]);
  assert.deepEqual(context.emitted.map(({ type, action }) => `${type} ${action}`), [...Array<string>(4).fill("volume create"), "container create"]);
  await create({ ...request({}, { Binds: ["named:/image/named"] }), name: "second" }, context);
  assert.equal(context.volumes.usersOf("named").length, 2);
});

test("a creation that fails leaves neither volumes nor references", async () => {
  const context = fakeContext({ Cmd: ["sh"], Volumes: { "/image-file": {} } });
  await context.volumes.create({ name: "kept", driver: "", labels: null, options: null });
  await refused(request({}, { Binds: ["kept:/a", "fresh:/b"] }), "system", "cannot mount volume over existing file, file exists /image-file", context);
  assert.deepEqual([context.volumes.known().map(({ name }) => name), context.volumes.usersOf("kept")], [["kept"], []]);
  const broken = { Type: "volume", Source: "broken", Target: "/image/x", ReadOnly: false, Consistency: "", BindOptions: null, ImageOptions: null, TmpfsOptions: null, ClusterOptions: null };
  const options = { NoCopy: false, Labels: null, Subpath: "", DriverConfig: { Name: "local", Options: { type: "broken" } } };
  await refused(request({}, { Mounts: [{ ...broken, VolumeOptions: options }], Binds: ["fresh:/b"] }), "system", "failed to populate volume: error while mounting volume '/volumes/broken': no such device", fakeContext());
  assert.equal(context.removedLayers.length, 1);
});

test("endpoint settings are checked against the network", async () => {
  const endpoint = { IPAMConfig: { IPv4Address: "10.9.9.9", IPv6Address: "", LinkLocalIPs: null } };
  const options = { ...request(), networkingConfig: { EndpointsConfig: { bridge: { ...zeroEndpoint(), ...endpoint } } } };
  await refused(options, "invalid-parameter", "invalid config for network bridge: invalid endpoint settings:\n* user-specified IP address is supported on user-defined networks only\n* no configured subnet contains IP address 10.9.9.9");
});

const zeroEndpoint = () => ({
  IPAMConfig: null,
  Links: null,
  Aliases: null,
  DriverOpts: null,
  GwPriority: 0,
  NetworkID: "",
  EndpointID: "",
  Gateway: "",
  IPAddress: "",
  MacAddress: "",
  IPPrefixLen: 0,
  IPv6Gateway: "",
  GlobalIPv6Address: "",
  GlobalIPv6PrefixLen: 0,
  DNSNames: null,
});

test("planning checks as creating does, and makes nothing", async () => {
  const context = fakeContext();
  assert.equal(await planContainer(context, { ...request(), name: "planned" }), "plan of planned");
  assert.equal(context.store.size, 0);
  await assert.rejects(planContainer(context, { ...request(), name: "-" }), { code: "invalid-parameter" });
});
