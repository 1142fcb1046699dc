import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyHostConfig, type HostConfig } from "../core/container-config.ts";
import { codeOf } from "../lib/errors.ts";
import type { Route } from "./route.ts";
import { Confinement, SCOPE_NAMES } from "./scopes.ts";

const routes: Pick<Route, "method" | "path">[] = ["GET /containers/json", "GET /containers/{name}/json", "GET /containers/{name}/logs", "POST /containers/{name}/start", "POST /containers/create", "DELETE /containers/{id}", "POST /containers/{name}/exec", "GET /images/{name...}/json", "GET /containers/{name}/archive", "PUT /containers/{name}/archive", "POST /volumes/create", "POST /containers/{name}/update", "GET /images/{name...}/get", "GET /networks/"].map((text) => {
  const [method = "", path = ""] = text.split(" ");
  return { method: method as Route["method"], path };
});

function allowed(...scopes: (typeof SCOPE_NAMES)[number][]): string[] {
  const confinement = new Confinement(scopes);
  return routes.filter((route) => tries(() => confinement.check(route))).map(({ method, path }) => `${method} ${path}`);
}

function tries(run: () => void): boolean {
  try {
    run();
    return true;
  } catch (error) {
    assert.equal(codeOf(error), "forbidden");
    return false;
  }
}

test("a socket may what its scopes have, and nothing else", () => {
  assert.deepEqual(allowed("logs"), ["GET /containers/{name}/logs"]);
  assert.deepEqual(allowed("list", "lifecycle"), ["GET /containers/json", "GET /containers/{name}/json", "POST /containers/{name}/start", "GET /images/{name...}/json", "GET /networks/"]);
  const ever = ["GET /containers/{name}/archive", "PUT /containers/{name}/archive", "POST /volumes/create", "POST /containers/{name}/update", "GET /images/{name...}/get"];
  assert.deepEqual(allowed(...SCOPE_NAMES), routes.map(({ method, path }) => `${method} ${path}`).filter((text) => !ever.includes(text)), "these would reach the host, whatever the scope");
});

const names: Record<string, string> = { "0123": "host", "4567": "web" };
const create = (change: Partial<HostConfig>, endpoints: string[] = []): void => new Confinement(["create"]).checkCreate({ hostConfig: { ...emptyHostConfig(), NetworkMode: "bridge", ...change }, networkingConfig: { EndpointsConfig: Object.fromEntries(endpoints.map((name) => [name, null])) } }, (network) => names[network]);
const mount = (more: object): HostConfig["Mounts"] => [{ Type: "volume", Source: "v", Target: "/t", ReadOnly: false, Consistency: "", BindOptions: null, VolumeOptions: null, ImageOptions: null, TmpfsOptions: null, ClusterOptions: null, ...more }] as HostConfig["Mounts"];

test("what is made through such a socket does not reach the host or other containers", () => {
  const confinement = new Confinement(["create"]);
  const ordinary: Partial<HostConfig>[] = [{}, { Binds: ["data:/data:ro"] }, { Mounts: mount({}) }, { CapDrop: ["ALL"] }, { SecurityOpt: ["no-new-privileges"] }, { IpcMode: "private" }, { LogConfig: { Type: "", Config: { "max-size": "1m" } } }, { LogConfig: { Type: "json-file", Config: null } }, { NetworkMode: "none" }, { NetworkMode: "web" }, { NetworkMode: "4567" }];
  for (const change of ordinary) create(change);
  const reaching: Partial<HostConfig>[] = [
    { LogConfig: { Type: "syslog", Config: null } }, { LogConfig: { Type: "", Config: { "gcp-project": "other" } } }, { LogConfig: { Type: "", Config: { "syslog-address": "unix:///run/host.sock" } } },
    { Binds: ["/:/host"] }, { Mounts: mount({ Type: "bind", Source: "/" }) }, { Mounts: mount({ Type: "image" }) },
    { Mounts: mount({ VolumeOptions: { NoCopy: false, Labels: null, Subpath: "", DriverConfig: { Name: "local", Options: { type: "none", o: "bind", device: "/" } } } }) },
    { VolumesFrom: ["other"] }, { Privileged: true }, { CapAdd: ["SYS_ADMIN"] }, { Devices: [{ PathOnHost: "/dev/sda", PathInContainer: "/dev/sda", CgroupPermissions: "rwm" }] }, { DeviceCgroupRules: ["a *:* rwm"] },
    { SecurityOpt: ["seccomp=unconfined"] }, { SecurityOpt: ["no-new-privileges=false"] }, { SecurityOpt: ["systempaths=unconfined"] }, { MaskedPaths: [] }, { ReadonlyPaths: [] },
    { PidMode: "host" }, { PidMode: "container:x" }, { IpcMode: "host" }, { IpcMode: "container:x" }, { UTSMode: "host" }, { UsernsMode: "host" }, { CgroupnsMode: "host" }, { NetworkMode: "host" }, { NetworkMode: "container:x" }, { NetworkMode: "0123" },
    { CgroupParent: "/" }, { Runtime: "other" }, { OomScoreAdj: -1000 }, { VolumeDriver: "plugin" },
  ];
  for (const change of reaching) assert.ok(!tries(() => create(change)), JSON.stringify(change));
  create({}, ["web"]);
  for (const network of ["host", "0123"]) assert.ok(!tries(() => create({}, [network])), network);
  confinement.checkExec({ Privileged: false });
  assert.ok(!tries(() => confinement.checkExec({ Privileged: true })));
});
