/** `features`: what this runtime knows, whether the machine offers it or not (runtime-spec, "Features Structure"). */
import { capabilityNames, ociVersion } from "../../core/oci-defaults.ts";
import { knownMountOptions } from "../compile/mount-options.ts";
import { memoryPolicyFlags, memoryPolicyModes } from "../compile/memory-policy.ts";
import { filterFlags } from "../seccomp/compile.ts";
import { knownArchitectures } from "../seccomp/architectures.ts";
import { seccompActions } from "../seccomp/rules.ts";
import type { Command } from "./command.ts";

export const features: Command = {
  name: "features",
  resident: true,
  usage: "",
  about: "Print what gantry-runtime knows, as JSON",
  flags: [],
  arguments: [0, 0],
  run({ print }) {
    print(`${JSON.stringify(known(), undefined, 4)}\n`);
    return 0;
  },
};

const enabled = { enabled: true };

function known(): unknown {
  const flags = Object.keys(filterFlags).toSorted();
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: ociVersion,
    hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    mountOptions: knownMountOptions(),
    linux: {
      namespaces: ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
      capabilities: capabilityNames,
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true },
      seccomp: {
        ...enabled,
        actions: Object.keys(seccompActions).toSorted(),
        operators: ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"],
        archs: knownArchitectures,
        knownFlags: flags,
        supportedFlags: flags,
      },
      apparmor: enabled,
      selinux: enabled,
      intelRdt: { enabled: false, schemata: false, monitoring: false },
      memoryPolicy: { modes: Object.keys(memoryPolicyModes).toSorted(), flags: Object.keys(memoryPolicyFlags).toSorted() },
      mountExtensions: { idmap: enabled },
      netDevices: enabled,
    },
    annotations: {},
    potentiallyUnsafeConfigAnnotations: ["bundle"],
  };
}
