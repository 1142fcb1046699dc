/** Every member of an OCI configuration for Linux: what gantry-runtime makes of it, and the test that shows it. docs/runtime-spec.md is this table. */

export interface Row {
  /** Members of the schema, with all below them; [] is an item of a list, {} the value of a name. */
  members: string[];
  answer: "done" | "in part" | "refused" | "no meaning";
  note: string;
  /** File and title of a test. */
  proof: [file: string, title: string];
}

const done = (members: string, file: string, title: string, note = ""): Row => ({ members: members.split(" "), answer: "done", note, proof: [file, title] });
const row = (answer: Row["answer"], members: string, note: string, ...proof: Row["proof"]): Row => ({ members: members.split(" "), answer, note, proof });

const compile = "src/oci/compile/compile.test.ts";
const container = "test/runtime/container.test.ts";
const configuration = "test/runtime/configuration.test.ts";
const lifecycle = "test/runtime/lifecycle.test.ts";
const resources = "src/oci/cgroups/resources.test.ts";
const plans = "src/oci/runtime.plans.test.ts";
const seccomp = "src/oci/seccomp/compile.test.ts";
const refusals = "what is unknown or unfinished is refused with its field, before anything is done";
const limits = "v1: every limit has its file";
const cannot = "what the machine or the version cannot do is refused with the field's name";

export const rows: readonly Row[] = [
  done("ociVersion", compile, refusals, "1.x; others are refused"),
  done("root", container, "masked and read-only paths, read-only root"),
  done("hostname domainname", container, "hostname, domain name and sysctls"),
  done("annotations", lifecycle, "create, start, kill, delete, with the specification's states", "in the state; none changes what is done, but those of systemd's properties"),
  done("hooks", plans, "hooks run at their stages, with the state", "all six stages"),
  done("hooks.prestart[].timeout hooks.createRuntime[].timeout hooks.createContainer[].timeout hooks.startContainer[].timeout hooks.poststart[].timeout hooks.poststop[].timeout", plans, "a hook that fails or takes too long fails the start"),
  done("mounts", container, "mounts: binds with their options, tmpfs read-only when filled, files and folders made", "`features` lists the options; `remount` and `iversion` are refused"),
  done("mounts[].uidMappings mounts[].gidMappings", "test/vm/confinement.vm.ts", "idmapped mounts: files have other owners inside, and what is made has the host's; below as well with ridmap", "binds, where the file system can (idmap, ridmap)"),
  done("process process.args process.cwd process.env", lifecycle, "exec runs beside the container's program, with its own user, directory, environment and code"),
  row("no meaning", "process.commandLine process.user.username", "of Windows", "src/oci/validate/config.test.ts", "null is absent, what nobody knows is ignored, 64-bit values survive"),
  done("process.terminal process.consoleSize", compile, "a terminal has a console of the size asked for"),
  done("process.user process.noNewPrivileges process.rlimits process.oomScoreAdj process.capabilities", container, "capabilities, no-new-privs, user, groups, umask, limits"),
  done("process.capabilities.ambient process.scheduler process.ioPriority linux.personality", configuration, "scheduling, I/O priority, personality and ambient capabilities are the process's own"),
  row("refused", "linux.personality.flags", "the specification names none", compile, refusals),
  done("process.execCPUAffinity", "test/runtime/commands.test.ts", "a container may use every CPU of its cpuset, whatever its caller may; an exec those of execCPUAffinity"),
  done("process.apparmorProfile", "test/vm/confinement.vm.ts", "AppArmor: the process runs under its profile; exec under its own or another one; an unknown one fails", "refused where the kernel has none"),
  row("in part", "process.selinuxLabel", "written before the program is executed; refused without SELinux. No machine of the tests has it", compile, refusals),
  row("refused", "linux.mountLabel", "mounts keep the labels that SELinux gives them", compile, refusals),
  done("linux linux.namespaces", configuration, "every namespace of another container is joined by its path, the user namespace with its ids", "new or joined by path, all eight"),
  done("linux.uidMappings linux.gidMappings", container, "a user namespace maps ids, and the container's root owns what it makes as the mapped one"),
  done("linux.timeOffsets", "src/oci/runtime.isolation.test.ts", "a time namespace with offsets"),
  done("linux.devices", container, "devices: the standard ones work, others neither by node nor by making one"),
  done("linux.netDevices", configuration, "network devices move into the container with their addresses", "by gantry-runtime; gantryd refuses them"),
  done("linux.cgroupsPath", "src/oci/cgroups/layout.test.ts", "an absolute cgroupsPath starts at the mount point, a relative one at the own group, none is the id"),
  done("linux.resources", resources, limits, "where the machine has the controller, else refused"),
  done("linux.resources.devices", "src/oci/cgroups/device-rules.test.ts", "v1 writes never grant what the rules deny", "v2: an eBPF program"),
  done("linux.resources.unified", "test/vm/cgroup2.vm.ts", "unified: what the kernel does not take, and what is no file of a group", "v2; refused on v1"),
  row("refused", "linux.resources.memory.kernel", "kernels have no such limit any more", resources, cannot),
  row("in part", "linux.resources.memory.kernelTCP linux.resources.memory.swappiness linux.resources.memory.disableOOMKiller linux.resources.cpu.realtimePeriod linux.resources.cpu.realtimeRuntime linux.resources.network linux.resources.blockIO.leafWeight linux.resources.blockIO.weightDevice[].leafWeight", "v1 alone; refused on v2, and leaf weights where the kernel has none", resources, cannot),
  row("in part", "linux.resources.memory.useHierarchy", "false is refused: kernels always account hierarchically", resources, cannot),
  done("linux.resources.memory.checkBeforeUpdate", resources, "checkBeforeUpdate refuses a limit below what is in use", "v2; on v1 the kernel itself refuses"),
  done("linux.rootfsPropagation", configuration, "the root's own propagation"),
  done("linux.seccomp", seccomp, "an allow-list allows its calls by each architecture's numbers, and nothing else"),
  done("linux.seccomp.flags", seccomp, "flags: none listed allows speculation, listed ones are the kernel's"),
  done("linux.seccomp.architectures", seccomp, "an architecture that the profile does not list is killed; the native one is always there", "x86_64 with i386, aarch64 with arm; names of others are accepted, as this machine runs none of their programs"),
  done("linux.seccomp.listenerPath linux.seccomp.listenerMetadata", configuration, "a seccomp listener gets the state, and decides"),
  done("linux.seccomp.defaultAction linux.seccomp.defaultErrnoRet linux.seccomp.syscalls[].action linux.seccomp.syscalls[].errnoRet", seccomp, "actions carry their errno, and unknown ones are refused by name"),
  done("linux.seccomp.syscalls[].args", seccomp, "comparisons are of 64 bits, for every operator and several conditions"),
  done("linux.sysctl", compile, "sysctls of the container's own namespaces are paths, others are refused by name"),
  done("linux.maskedPaths linux.readonlyPaths", container, "masked and read-only paths, read-only root"),
  row("refused", "linux.intelRdt", "no resctrl", compile, refusals),
  done("linux.memoryPolicy", configuration, "memory policies"),
];

export function table(): string {
  const lines = rows.map(({ members, answer, note, proof: [file, title] }) => `| ${members.map((member) => `\`${member}\``).join(", ")} | ${answer} | ${note} | ${file}: ${title} |`);
  return ["| members | | | shown by |", "| --- | --- | --- | --- |", ...lines].join("\n");
}
