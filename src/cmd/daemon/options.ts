/**
 * Every option of dockerd 29, by its flag and its key in daemon.json, and what gantryd makes of it:
 *
 *   done      has its effect
 *   implied   gantryd always works as its value says; any other value is refused
 *   moot      of a part that gantryd does without: accepted, so that command lines of dockerd work, with a warning in the log
 *   refused   not supported yet: naming it is an error, unless with the value that it has anyway
 *
 * Help, the grammar of the command line and the checks of the file all follow from this table.
 */
import { checkRuntime, DEFAULT_RUNTIME } from "./runtimes.ts";
import { bool, duration, int, int64, list, map, string, type FlagType } from "../../lib/flags.ts";
import { checkAddress, checkBytes, checkFeature, checkHost, checkKeyValue, checkLabel, checkMark, checkMetricsAddress, checkNetworkOption, checkPool, checkRemap, checkScopedSocket, checkSearchDomain, checkUlimit } from "./option-values.ts";

export interface DaemonOption {
  /** Without dashes; "" when only the file has it. */
  flag: string;
  shorthand?: string;
  /** In daemon.json; "" when only the command line has it. */
  key: string;
  type: FlagType;
  default?: string | string[];
  support: "done" | "implied" | "moot" | "refused";
  help: string;
  deprecated?: string;
}

const ip: FlagType = { word: "ip", check: checkAddress, default: "" };
const bytes: FlagType = { word: "bytes", check: checkBytes, default: "0" };
const checked = (word: string, check: (value: string) => unknown): FlagType => ({ word, check, repeated: true });
const hosts = checked("list", checkHost);
const addresses = checked("ip", checkAddress);

type Extra = Partial<Pick<DaemonOption, "shorthand" | "default" | "key" | "deprecated">>;
const row =
  (support: DaemonOption["support"]) =>
  (flag: string, type: FlagType, help: string, extra: Extra = {}): DaemonOption => ({ flag, key: flag, type, support, help, ...extra });
const done = row("done");
const implied = row("implied");
const moot = row("moot");
const refused = row("refused");
/** Flags that are given many times are plural in the file. */
const plural = (flag: string): Extra => ({ key: `${flag}s` });
const ON: Extra = { default: "true" };
const COMMAND_LINE: Extra = { key: "" };

export const DEFAULT_DATA_ROOT = "/var/lib/gantry";
export const DEFAULT_EXEC_ROOT = "/run/gantry";
export const DEFAULT_CONFIG_FILE = "/etc/gantry/daemon.json";
export const DEFAULT_HOST = "unix:///run/gantry/gantry.sock";

export const DAEMON_OPTIONS: readonly DaemonOption[] = [
  done("add-runtime", checked("runtime", checkRuntime), "Further OCI runtime that containers can ask for, as NAME=PATH", { key: "runtimes" }),
  done("allow-direct-routing", bool, "Let other machines reach containers by their own addresses, at published ports"),
  done("allowed-host", checked("list", () => undefined), "Host name that requests over TCP without TLS may use (all: *)", plural("allowed-host")),
  done("authorization-plugin", list, "Plugin that is asked about every request to the API, in this order", plural("authorization-plugin")),
  done("bip", string, "IPv4 address and prefix of the default bridge"),
  done("bip6", string, "IPv6 address of the default bridge"),
  done("bridge", string, "Bridge that containers are connected to by default (none: no default network)", { shorthand: "b" }),
  done("bridge-accept-fwmark", { ...string, check: checkMark }, "Let packets with this mark, or MARK/MASK, reach containers by their own addresses"),
  done("cgroup-parent", string, "Parent of all containers' cgroups"),
  done("cdi-spec-dir", list, "Folder of device specifications (CDI); \"\" switches them off (default /etc/cdi, /var/run/cdi)", plural("cdi-spec-dir")),
  done("config-file", string, "File with further options", { ...COMMAND_LINE, default: DEFAULT_CONFIG_FILE }),
  done("cpu-rt-period", int64, "Period of the real-time runtime of all containers, in microseconds (cgroup v1)"),
  done("cpu-rt-runtime", int64, "Real-time runtime that all containers may be given of, in microseconds (cgroup v1)"),
  done("data-root", string, "Folder of what lasts: images, containers, state", { default: DEFAULT_DATA_ROOT }),
  done("debug", bool, "Log more, and more verbosely", { shorthand: "D" }),
  done("default-address-pool", checked("pool-options", checkPool), "Address pool for networks, as base=10.0.0.0/8,size=24", plural("default-address-pool")),
  done("default-cgroupns-mode", string, 'Containers\' cgroup namespace by default ("host" | "private")'),
  done("default-gateway", ip, "Router of the default bridge's containers, if it is not the bridge"),
  done("default-gateway-v6", ip, "IPv6 router of the default bridge's containers"),
  done("default-ipc-mode", string, 'Containers\' IPC namespace by default ("shareable" | "private")', { default: "private" }),
  done("default-network-opt", { ...map, check: checkNetworkOption }, "Option of new networks, as DRIVER=OPTION=VALUE", plural("default-network-opt")),
  done("default-runtime", string, "Runtime of containers that name none", { default: DEFAULT_RUNTIME }),
  done("default-shm-size", bytes, "Size of containers' /dev/shm by default", { default: "67108864" }),
  done("default-stop-timeout", int, "Seconds that a container gets to stop by default", { default: "10" }),
  done("default-ulimit", checked("ulimit", checkUlimit), "Resource limit of containers by default", plural("default-ulimit")),
  done("dns", addresses, "DNS server for containers"),
  done("dns-opt", list, "DNS option for containers", plural("dns-opt")),
  done("dns-search", checked("list", checkSearchDomain), "DNS search domain for containers"),
  done("events-max-age", duration, "How long events are kept (0: no longer than the daemon runs)", { default: "720h" }),
  done("events-max-size", bytes, "About how many bytes of events are kept on the disk", { default: "16777216" }),
  done("exec-opt", checked("list", checkKeyValue), "Option of the runtime (native.cgroupdriver=cgroupfs or systemd)", plural("exec-opt")),
  done("exec-root", string, "Folder of what lasts until the next boot (default " + DEFAULT_EXEC_ROOT + ", or one for the data root)"),
  done("experimental", bool, "Turn experimental features on: checkpoints"),
  done("feature", { ...map, check: checkFeature }, "Switch a feature on or off: cdi, buildkit", plural("feature")),
  done("firewall", string, "Other programs' firewalls: passed (docker), left alone (own-table), or asked about published ports (honour-host)", { default: "docker" }),
  done("fixed-cidr", string, "Range of the default bridge's addresses that containers get"),
  done("fixed-cidr-v6", string, "IPv6 range of the default bridge"),
  done("group", string, "Group that may use the unix sockets", { shorthand: "G", default: "docker" }),
  done("help", bool, "Show this text", { ...COMMAND_LINE, shorthand: "h" }),
  done("host", hosts, "Address to listen on: unix://PATH, tcp://HOST:PORT, fd://", { shorthand: "H", key: "hosts" }),
  done("host-gateway-ip", addresses, "What host-gateway in --add-host means", plural("host-gateway-ip")),
  done("http-proxy", string, "Proxy for HTTP"),
  done("https-proxy", string, "Proxy for HTTPS"),
  done("icc", bool, "Let containers on the default bridge reach each other", ON),
  done("idle-exit", int, "End after so many seconds with nothing running and no request (0: never)", { ...COMMAND_LINE, default: "0" }),
  done("init", bool, "Run an init in containers that signals and reaps"),
  done("init-path", string, "Program that --init runs, as tini; best a static one (default our own)"),
  done("insecure-registry", list, "Registry that is used without TLS or with any certificate", { key: "insecure-registries" }),
  done("ip", ip, "Address that ports are published on by default", { default: "0.0.0.0" }),
  done("ip-forward", bool, "Switch IP forwarding on", ON),
  done("ip6tables", bool, "Make IPv6 firewall rules; without them no port is published at IPv6 addresses", ON),
  done("iptables", bool, "Make firewall rules (in nftables); without them published ports are relayed by a program", ON),
  done("ip-masq", bool, "Hide containers on the default bridge behind the machine's address", ON),
  done("ipv6", bool, "IPv6 on the default bridge"),
  done("label", checked("list", checkLabel), "Label of the daemon, as key=value", plural("label")),
  done("live-restore", bool, "Containers run on when the daemon is ended; false stops them", ON),
  done("log-driver", string, "Log driver of containers that name none", { default: "json-file" }),
  done("log-format", string, 'Form of the daemon\'s own log ("text" | "json")', { default: "text" }),
  done("log-level", string, 'What the daemon logs ("debug" | "info" | "warn" | "error" | "fatal")', { shorthand: "l", default: "info" }),
  done("default-pids-limit", int, "Processes and threads of a container that says nothing of them and is not privileged (0: any number)", { default: "16384" }),
  done("log-limit", bytes, "About how many bytes a container's log takes that has no max-size (0: any number)", { default: "1073741824" }),
  done("log-opt", { ...map, check: checkKeyValue }, "Option of the log driver", plural("log-opt")),
  done("max-concurrent-downloads", int, "Layers of a pull at once", { default: "3" }),
  done("max-concurrent-uploads", int, "Layers of a push at once", { default: "5" }),
  done("max-download-attempts", int, "Tries for each layer of a pull", { default: "5" }),
  done("metrics-addr", { word: "string", check: checkMetricsAddress, default: "" }, "Address to serve metrics for Prometheus on, as 127.0.0.1:9323"),
  done("mtu", int, "MTU of the default bridge", { default: "1500" }),
  done("no-new-privileges", bool, "Containers cannot gain privileges by default"),
  done("no-proxy", string, "What is reached without a proxy"),
  done("pidfile", string, "File for the daemon's process id (default gantryd.pid in the exec root)", { shorthand: "p" }),
  done("raw-logs", bool, "Logs without colours (they never have any)"),
  done("registry-mirror", list, "Registry to ask before Docker Hub", plural("registry-mirror")),
  done("seccomp-profile", string, 'Seccomp profile of containers by default: a file, "builtin" or "unconfined"', { default: "builtin" }),
  done("shutdown-timeout", int, "Seconds that requests under way get when the daemon ends", { default: "15" }),
  done("socket", checked("list", checkScopedSocket), "Further unix socket with fewer rights: PATH,allow=list+logs+events[,group=NAME]", plural("socket")),
  done("storage-driver", string, "Storage driver (overlay2, which is overlayfs | fuse-overlayfs | btrfs | zfs | vfs | devicemapper)", { shorthand: "s" }),
  done("storage-opt", list, "Option of the storage driver", plural("storage-opt")),
  done("tls", bool, "Serve TCP with TLS; --tlsverify implies it"),
  done("tlscacert", string, "Certificates that sign clients"),
  done("tlscert", string, "The server's certificate"),
  done("tlskey", string, "The key of the server's certificate"),
  done("tlsverify", bool, "Serve TCP with TLS to clients with a certificate"),
  done("userland-proxy", bool, "Serve published ports also at addresses of the family that the container has not", ON),
  done("userns-remap", { ...string, check: checkRemap }, "User whose subordinate ids containers have: USER[:GROUP], UID[:GID] or default"),
  done("validate", bool, "Check the configuration and end", COMMAND_LINE),
  done("version", bool, "Show the version", { ...COMMAND_LINE, shorthand: "v" }),
  done("", string, "Lowest API version to serve", { key: "min-api-version" }),

  implied("restart", bool, "Start containers again by their policies", { ...COMMAND_LINE, ...ON, shorthand: "r", deprecated: "Please use a restart policy on docker run" }),

  moot("containerd", string, "containerd's address"),
  moot("containerd-namespace", string, "containerd's namespace for containers", { default: "moby" }),
  moot("containerd-plugins-namespace", string, "containerd's namespace for plugins", { default: "plugins.moby", key: "containerd-plugin-namespace" }),
  moot("firewall-backend", string, "What firewall rules are made with: always nftables", { default: "nftables" }),
  moot("network-control-plane-mtu", int, "MTU of the control plane of a swarm's networks", { default: "1500" }),
  moot("ip-forward-no-drop", bool, "Leave the policy of forwarded packets alone: it always is"),
  moot("userland-proxy-path", string, "The proxy of published ports"),
  moot("", string, "Storage of the builder, and who may use it", { key: "builder" }),
  moot("", string, "Key of old versions", { key: "deprecated-key-path" }),
  moot("", list, "Registries for foreign layers", { key: "allow-nondistributable-artifacts" }),

  refused("cri-containerd", bool, "Start containerd with CRI"),
  refused("network-diagnostic-port", int, "Port of the networks' diagnosis"),
  refused("node-generic-resource", list, "Resources of the node", plural("node-generic-resource")),
  refused("nri-opts", map, "Node Resource Interface"),
  refused("rootless", bool, "Run without root's rights"),
  refused("selinux-enabled", bool, "SELinux labels"),
  refused("swarm-default-advertise-addr", string, "Address that a swarm is told"),
  refused("", int, "Ticks of a swarm's elections", { key: "swarm-raft-election-tick" }),
  refused("", int, "Ticks of a swarm's heartbeats", { key: "swarm-raft-heartbeat-tick" }),
];
