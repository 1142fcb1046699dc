/** Linux.resources as ordered writes to a container's groups; one controller per file in v1/ and v2/. */
import { invalidParameter } from "../../lib/errors.ts";
import type { OciResources } from "../../lib/oci-spec.ts";
import type { Controller, ControllerContext } from "./controller.ts";
import { asksFor, unsupported } from "./controller.ts";
import { deviceProgram } from "./device-program.ts";
import { deviceChanges, deviceRules, deviceWrites } from "./device-rules.ts";
import type { CgroupGroup } from "./groups.ts";
import { groupOf } from "./groups.ts";
import * as v1Blkio from "./v1/blkio.ts";
import * as v1Cpu from "./v1/cpu.ts";
import * as v1Cpuset from "./v1/cpuset.ts";
import * as v1Hugetlb from "./v1/hugetlb.ts";
import * as v1Memory from "./v1/memory.ts";
import * as v1Network from "./v1/network.ts";
import { pids } from "./v1/pids.ts";
import { rdma } from "./v1/rdma.ts";
import * as v2Cpu from "./v2/cpu.ts";
import * as v2Cpuset from "./v2/cpuset.ts";
import * as v2Hugetlb from "./v2/hugetlb.ts";
import * as v2Io from "./v2/io.ts";
import * as v2Memory from "./v2/memory.ts";

const v1: Controller[] = [v1Memory.memory, v1Cpuset.cpuset, v1Cpu.cpu, pids, v1Blkio.blkio, v1Hugetlb.hugetlb, v1Network.netCls, v1Network.netPrio, rdma];
const v2: Controller[] = [v2Memory.memory, v2Cpuset.cpuset, v2Cpu.cpu, pids, v2Io.io, v2Hugetlb.hugetlb, rdma];

export type GroupWrite =
  | { kind: "write"; path: string; data: string; optional?: string[] }
  | { kind: "deviceProgram"; path: string; program: Uint8Array };

/** Which controller a field needs, by version, for the message when the machine lacks it. */
const controllersOfField: Record<Exclude<keyof OciResources, "devices" | "unified" | "cpu">, string[]> = {
  memory: ["memory"],
  pids: ["pids"],
  blockIO: ["blkio", "io"],
  hugepageLimits: ["hugetlb"],
  network: ["net_cls", "net_prio"],
  rdma: ["rdma"],
};

/** The writes for a new container's groups. Device rules are written even when none are asked for: the default is to deny. */
export function newGroupWrites(groups: CgroupGroup[], resources: OciResources, files: ReadonlySet<string>): GroupWrite[] {
  checkControllers(groups, resources);
  return [...controllerWrites(groups, resources, () => ({ files })), ...unifiedWrites(groups, resources), ...deviceRuleWrites(groups, resources)];
}

/** The writes that change a running container's limits; `read` gives an interface file's text, undefined when it is not there. */
export function updateWrites(groups: CgroupGroup[], resources: OciResources, options: { files: ReadonlySet<string>; read: (path: string) => string | undefined }): GroupWrite[] {
  checkControllers(groups, resources);
  const contextOf = (group: CgroupGroup): ControllerContext => ({ files: options.files, current: (file) => options.read(`${group.path}/${file}`) });
  const devices = resources.devices === undefined ? [] : deviceRuleWrites(groups, resources, options.read);
  return [...controllerWrites(groups, resources, contextOf), ...unifiedWrites(groups, resources), ...devices];
}

function controllerWrites(groups: CgroupGroup[], resources: OciResources, contextOf: (group: CgroupGroup) => ControllerContext): GroupWrite[] {
  return groups.flatMap((group) => {
    const table = group.hierarchy.version === 1 ? v1 : v2;
    return table
      .filter(({ name, field }) => group.hierarchy.controllers.includes(name) && resources[field] !== undefined)
      .flatMap((controller) => controller.writes(resources, contextOf(group)))
      .map(({ file, ...rest }) => ({ kind: "write" as const, path: `${group.path}/${file}`, ...rest }));
  });
}

function checkControllers(groups: CgroupGroup[], resources: OciResources): void {
  for (const [field, names] of Object.entries(controllersOfField)) {
    if (asksFor(resources[field as keyof OciResources]) && !names.some((name) => groupOf(groups, name)))
      unsupported(field, `this machine has no ${names.join(" or ")} cgroup controller`);
  }
  const { cpus, mems, ...bandwidth } = resources.cpu ?? {};
  if (asksFor([cpus, mems].filter(Boolean)) && !groupOf(groups, "cpuset")) unsupported(cpus ? "cpu.cpus" : "cpu.mems", "this machine has no cpuset cgroup controller");
  if (asksFor(bandwidth) && !groupOf(groups, "cpu")) unsupported("cpu", "this machine has no cpu cgroup controller");
}

/** Linux.resources.unified: any file of the v2 group. */
function unifiedWrites(groups: CgroupGroup[], { unified = {} }: OciResources): GroupWrite[] {
  const group = groups.find(({ hierarchy }) => hierarchy.version === 2);
  return Object.entries(unified).map(([file, data]) => {
    if (!/^[a-z0-9_]+(\.[A-Za-z0-9_]+)+$/.test(file)) throw invalidParameter(`linux.resources.unified: ${JSON.stringify(file)} is not the name of a cgroup file`);
    if (group === undefined) return unsupported("unified", "this machine has no cgroup v2");
    return { kind: "write", path: `${group.path}/${file}`, data };
  });
}

/** `read`: of a group that is in use. */
function deviceRuleWrites(groups: CgroupGroup[], { devices = [] }: OciResources, read?: (path: string) => string | undefined): GroupWrite[] {
  const rules = deviceRules(devices);
  const v1Group = groupOf(groups, "devices");
  const listed = v1Group && read?.(`${v1Group.path}/devices.list`);
  if (v1Group !== undefined) return (listed === undefined ? deviceWrites(rules) : deviceChanges(rules, listed)).map(({ file, data }) => ({ kind: "write", path: `${v1Group.path}/${file}`, data }));
  const v2Group = groups.find(({ hierarchy }) => hierarchy.version === 2);
  if (v2Group !== undefined) return [{ kind: "deviceProgram", path: v2Group.path, program: deviceProgram(rules) }];
  return [];
}
