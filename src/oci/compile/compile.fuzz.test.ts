/** Any change to a configuration gives a plan or an error of ours that says what is wrong: never a crash. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as defaults from "../../core/oci-defaults.ts";
import { GantryError } from "../../lib/errors.ts";
import { fc } from "../../lib/fast-check.testing.ts";
import { exampleSpec } from "../cli/spec.ts";
import { fullHost as host } from "../host.fixture.ts";
import { encodePlan } from "../plan/encode.ts";
import { parseConfig } from "../validate/config.ts";
import { compile } from "./compile.ts";

/** A configuration in which every member is there, so that every one gets changed. */
const full = {
  ...exampleSpec("v2"),
  hostname: "h",
  domainname: "d",
  annotations: { a: "b" },
  hooks: { prestart: [{ path: "/x", args: ["x"], env: ["A=b"], timeout: 5 }] },
  process: {
    ...exampleSpec("v2").process,
    consoleSize: { width: 1, height: 2 },
    user: { uid: 1, gid: 2, umask: 18, additionalGids: [3] },
    apparmorProfile: "p",
    selinuxLabel: "l",
    oomScoreAdj: 1,
    scheduler: { policy: "SCHED_OTHER", nice: 1, flags: ["SCHED_FLAG_RECLAIM"] },
    ioPriority: { class: "IOPRIO_CLASS_BE", priority: 1 },
  },
  linux: {
    ...exampleSpec("v2").linux,
    devices: [{ path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 438, uid: 0, gid: 0 }],
    resources: {
      devices: [...defaults.defaultDeviceRules],
      memory: { limit: 1, swap: 2, reservation: 1 },
      cpu: { shares: 1, quota: 1, period: 1, mems: "0" },
      pids: { limit: 1 },
      blockIO: { weight: 10, weightDevice: [{ major: 1, minor: 1, weight: 10 }], throttleReadBpsDevice: [{ major: 1, minor: 1, rate: 1 }] },
      hugepageLimits: [{ pageSize: "2MB", limit: 1 }],
      rdma: { a: { hcaHandles: 1 } },
      unified: { "memory.high": "1" },
    },
    sysctl: { "net.a": "1" },
    seccomp: { defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86"], flags: [], listenerPath: "/l", listenerMetadata: "m", syscalls: [{ names: ["read"], action: "SCMP_ACT_ERRNO", errnoRet: 1, args: [{ index: 0, value: 1, valueTwo: 2, op: "SCMP_CMP_EQ" }] }] },
    rootfsPropagation: "slave",
    personality: { domain: "LINUX", flags: [] },
    memoryPolicy: { mode: "MPOL_BIND", nodes: "0-3,5", flags: ["MPOL_F_STATIC_NODES"] },
    netDevices: { eth0: { name: "ctr0" } },
    timeOffsets: { boottime: { secs: 1, nanosecs: 2 } },
    namespaces: [...defaults.defaultNamespaces, "user" as const, "time" as const].map((type) => ({ type })),
    uidMappings: [{ containerID: 0, hostID: 1000, size: 10 }],
    gidMappings: [{ containerID: 0, hostID: 1000, size: 10 }],
  },
};

type Path = (string | number)[];
const paths = (value: unknown, path: Path = []): Path[] => [
  ...(path.length > 0 ? [path] : []),
  ...(typeof value === "object" && value !== null ? Object.entries(value).flatMap(([key, one]) => paths(one, [...path, Array.isArray(value) ? Number(key) : key])) : []),
];

function changed(path: Path, value: unknown): string {
  const copy = JSON.parse(JSON.stringify(full)) as Record<string | number, unknown>;
  const parent = path.slice(0, -1).reduce<Record<string | number, unknown>>((at, key) => at[key] as Record<string | number, unknown>, copy);
  parent[path.at(-1)!] = value;
  return JSON.stringify(copy);
}

const odd = fc.oneof(
  fc.constantFrom(null, "", "\0", "/", "..", "constructor", "__proto__", "a=b", "rbind,ro", -1, 0, 1.5, 2 ** 32, 2 ** 53, 1e300, true, [], {}, [null], [[]], [{}], { a: {} }),
  fc.string(),
  fc.integer(),
  fc.jsonValue(),
);

/** The member that was changed, or one that contradicts it, is said: at least its part of the configuration. */
const namesField = (message: string, [part]: Path): boolean => message.includes(String(part)) || /\b(process|linux|mounts|hooks|root|hostname|domainname)\b/.test(message);

test("every member with any value: a plan, or an error of ours", () => {
  fc.assert(
    fc.property(fc.constantFrom(...paths(full)), odd, (path, value) => {
      try {
        encodePlan(compile(parseConfig(changed(path, value)), { id: "c", host, bundle: "/b", outerHooks: true }));
      } catch (error) {
        if (!(error instanceof GantryError)) throw error;
        assert.ok(namesField(error.message, path), `${path.join(".")}: ${error.message}`);
      }
    }),
    { numRuns: 3000 },
  );
});

test("the configuration itself gives a plan", () => {
  encodePlan(compile(parseConfig(JSON.stringify(full)), { id: "c", host, bundle: "/b", outerHooks: true }));
});
