/** `spec`: a configuration to start from. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultMaskedPaths, defaultMounts, defaultNamespaces, defaultReadonlyPaths, ociVersion } from "../../core/oci-defaults.ts";
import { conflict } from "../../lib/errors.ts";
import { bool, string } from "../../lib/flags.ts";
import type { OciSpec } from "../../lib/oci-spec.ts";
import type { CgroupLayout } from "../cgroups/layout.ts";
import { detectLayout } from "../cgroups/layout.ts";
import type { Command } from "./command.ts";

export const spec: Command = {
  name: "spec",
  usage: "",
  about: "Write a configuration to start from into config.json",
  flags: [{ name: "rootless", type: bool }, { name: "bundle", shorthand: "b", type: string, default: "." }],
  arguments: [0, 0],
  run({ flags }) {
    const path = join(flags.string("bundle"), "config.json");
    if (existsSync(path)) throw conflict(`File ${path} exists. Remove it first`);
    const example = exampleSpec(detectLayout().mode);
    writeFileSync(path, `${JSON.stringify(flags.bool("rootless") ? rootless(example) : example, undefined, "\t")}\n`);
    return 0;
  },
};

const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/** A shell on a terminal with a read-only root and few rights. On v1, tools that read a process's groups expect the host's paths. */
export function exampleSpec(cgroups: CgroupLayout["mode"]): OciSpec {
  return {
    ociVersion,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "gantry",
    mounts: defaultMounts.map((mount) => (mount.destination === "/sys/fs/cgroup" ? { ...mount, options: [...(mount.options ?? []), "relatime"] } : mount)),
    linux: {
      resources: { devices: [{ allow: false, access: "rwm" }] },
      namespaces: [...defaultNamespaces, ...(cgroups === "v2" ? ["cgroup" as const] : [])].map((type) => ({ type })),
      maskedPaths: [...defaultMaskedPaths],
      readonlyPaths: [...defaultReadonlyPaths],
    },
  };
}

/** What an ordinary user may do: a user namespace with that user as its root, the host's network, no cgroups. */
export function rootless(spec: OciSpec, [uid, gid] = [process.geteuid!(), process.getegid!()]): OciSpec {
  const { resources: _, namespaces = [], ...linux } = spec.linux ?? {};
  const withoutIds = (options: string[] = []): string[] => options.filter((option) => !/^[ug]id=/.test(option));
  return {
    ...spec,
    mounts: (spec.mounts ?? []).map((mount) => (mount.destination === "/sys" ? { destination: "/sys", type: "none", source: "/sys", options: ["rbind", "nosuid", "noexec", "nodev", "ro"] } : { ...mount, options: withoutIds(mount.options) })),
    linux: {
      ...linux,
      namespaces: [...namespaces.filter(({ type }) => type !== "network" && type !== "user"), { type: "user" }],
      uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
    },
  };
}
