import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { messageOf } from "../../lib/errors.ts";
import { type DaemonConfig, loadConfig, parseCommandLine } from "./config.ts";
import { helpText } from "./help.ts";
import { DAEMON_OPTIONS } from "./options.ts";

/** The configuration of a command line and the text of its file. */
function load(args: string[], file?: string | Buffer, environment: NodeJS.ProcessEnv = {}): DaemonConfig {
  const folder = mkdtempSync(join(tmpdir(), "gantry-config-"));
  try {
    const path = join(folder, "daemon.json");
    if (file !== undefined) writeFileSync(path, file);
    const named = file === undefined ? ["--config-file="] : ["--config-file", path];
    return loadConfig(parseCommandLine([...named, ...args]).flags, environment);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function refusal(args: string[], file?: string, environment?: NodeJS.ProcessEnv): string {
  try {
    load(args, file, environment);
  } catch (error) {
    return messageOf(error).replace(/with file \S+:/, "with file F:");
  }
  return "";
}

test("defaults", () => {
  const config = load([]);
  assert.deepEqual(config.hosts, [{ kind: "unix", path: "/run/gantry/gantry.sock" }]);
  assert.equal(config.dataRoot, "/var/lib/gantry");
  assert.equal(config.execRoot, "/run/gantry");
  assert.equal(config.pidfile, "/run/gantry/gantryd.pid");
  assert.equal(config.minimumApiVersion, "1.24");
  assert.equal(config.containers.shmSize, 64 << 20);
  assert.deepEqual(config.log, { level: "info", format: "text" });
});

test("another data root has an exec root of its own", () => {
  assert.match(load(["--data-root", "/srv/gantry"]).execRoot, /^\/run\/gantry-[0-9a-f]{12}$/);
  assert.equal(load(["--data-root", "/srv/gantry", "--exec-root=/run/x"]).pidfile, "/run/x/gantryd.pid");
});

test("flags and file make one configuration", () => {
  const config = load(
    ["-H", "unix:///a.sock", "-H", "tcp://0.0.0.0", "-D", "--label", "a=b", "--default-address-pool", "base=10.0.0.0/8,size=24", "--default-ulimit", "nofile=10:20", "--default-shm-size", "1g"],
    JSON.stringify({ "data-root": "/d", "dns": ["1.1.1.1"], "log-opts": { "max-size": "10m" }, "icc": false, "mtu": 1400, "min-api-version": "1.40", "default-ipc-mode": "shareable" }),
  );
  assert.deepEqual(config.hosts, [{ kind: "tcp", host: "0.0.0.0", port: 2375 }, { kind: "unix", path: "/a.sock" }]);
  assert.equal(config.dataRoot, "/d");
  assert.equal(config.log.level, "debug");
  assert.deepEqual(config.labels, ["a=b"]);
  assert.deepEqual(config.network.defaultAddressPools, [{ base: "10.0.0.0/8", size: 24 }]);
  assert.deepEqual(config.network.dns.servers, ["1.1.1.1"]);
  assert.equal(config.network.icc, false);
  assert.equal(config.network.mtu, 1400);
  assert.equal(config.minimumApiVersion, "1.40");
  assert.deepEqual(config.containers.log, { driver: "json-file", options: { "max-size": "10m" } });
  assert.deepEqual(config.containers.ulimits, [{ name: "nofile", soft: 10, hard: 20 }]);
  assert.equal(config.containers.shmSize, 1 << 30);
  assert.equal(config.containers.ipcMode, "shareable");
});

test("plugins that are asked, the init of --init, real time", () => {
  const config = load(["--authorization-plugin=a", "--authorization-plugin=b", "--authorization-plugin=a", "--init-path=/x/tini", "--cpu-rt-runtime=950000"], JSON.stringify({ "cpu-rt-period": 1000000 }));
  assert.deepEqual([config.authorizationPlugins, config.containers.initPath, config.containers.realtime], [["a", "b"], "/x/tini", { period: 1_000_000, runtime: 950_000 }]);
});

test("the file's structured values", () => {
  const config = load([], JSON.stringify({ "default-address-pools": [{ base: "10.1.0.0/16", size: 24 }], "default-ulimits": { nofile: { Name: "nofile", Soft: 5, Hard: -1 } }, "hosts": ["tcp://[::1]:99"], tls: false }));
  assert.deepEqual(config.network.defaultAddressPools, [{ base: "10.1.0.0/16", size: 24 }]);
  assert.deepEqual(config.containers.ulimits, [{ name: "nofile", soft: 5, hard: -1 }]);
  assert.deepEqual(config.hosts, [{ kind: "tcp", host: "::1", port: 99 }]);
  assert.ok(config.tlsRefused);
});

test("keys of old versions and of parts that are not there", () => {
  assert.deepEqual(load([], '{"host-gateway-ip":"1.2.3.4"}').network.hostGatewayIps, ["1.2.3.4"]);
  assert.match(refusal([], '{"host-gateway-ip":"1.2.3.4","host-gateway-ips":["1.2.3.5"]}'), /both as an old and as a new key: host-gateway-ip/);
  const { warnings } = load([], '{"builder":{"gc":{"enabled":true}},"deprecated-key-path":"/k","allow-nondistributable-artifacts":["a","b"]}');
  assert.deepEqual(warnings.map((warning) => warning.split(" has ")[0]), ['builder={"gc":{"enabled":true}}', "deprecated-key-path=/k", "allow-nondistributable-artifacts=a,b"]);
});

test("a byte order mark is no part of the file", () => {
  assert.equal(load([], Buffer.from('\ufeff{"debug":true}')).debug, true);
  assert.equal(load([], Buffer.from('\ufeff{"debug":true}', "utf16le")).debug, true);
  assert.equal(load([], "  \n").debug, false);
});

test("what contradicts itself or is unknown is refused in dockerd's words", () => {
  const prefix = "unable to configure the Docker daemon with file F: ";
  assert.equal(refusal(["-D", "--label=a=b"], '{"debug":false,"labels":["c=d","e=f"]}'), `${prefix}the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: false), labels: (from flag: [a=b], from file: [c=d e=f])`);
  assert.equal(refusal([], '{"nosuch":1,"debug":true,"other":{"deep":2}}'), `${prefix}the following directives don't match any configuration option: nosuch, deep`);
  assert.equal(refusal([], '{"debug":"yes"}'), `${prefix}invalid JSON: json: cannot unmarshal string into Go struct field Config.debug of type bool`);
  assert.equal(refusal([], '{"labels":"a=b"}'), `${prefix}invalid JSON: json: cannot unmarshal string into Go struct field Config.labels of type []string`);
  assert.match(refusal([], "{"), /^unable to configure the Docker daemon with file F: invalid JSON: /);
  assert.match(refusal(["--config-file=/nosuch/daemon.json"]), /open \/nosuch\/daemon.json: no such file or directory$/);
  assert.equal(refusal(["--label=a=b", "--label=a=c"]), "conflict labels for a=c and a=b");
  assert.match(refusal(["--label=x"]), /^invalid argument "x" for "--label" flag: bad attribute format: x$/);
  assert.match(refusal(["-H", "ftp://x"]), /^invalid argument "ftp:\/\/x" for "-H, --host" flag: invalid bind address/);
  assert.equal(refusal(["--nosuch"]), "unknown flag: --nosuch");
  assert.equal(refusal(["-Z"]), "unknown shorthand flag: 'Z' in -Z");
  assert.equal(refusal(["extra"]), '"gantryd" accepts no argument(s).');
  assert.equal(refusal(["--log-level=loud"]), "invalid logging level: loud");
  assert.equal(refusal(["--log-driver=nosuch"]), 'the log driver "nosuch" is not supported yet: there are awslogs, fluentd, gcplogs, gelf, journald, json-file, local, splunk, syslog, none');
  assert.equal(refusal(["--log-opt=nosuch=1"]), "unknown log opt 'nosuch' for json-file log driver");
  assert.match(refusal(["--bip=10.0.0.1"]), /--bip/);
  assert.equal(refusal(["--bridge=br0", "--bip=10.0.0.1/24"]), "You specified -b & --bip, mutually exclusive options. Please specify only one");
  assert.equal(refusal(["--exec-opt=native.cgroupdriver=other"]), "invalid exec-opt (native.cgroupdriver=other): native.cgroupdriver option other not supported");
  assert.equal(refusal(["--exec-opt=native.cgroupdriver=systemd", "--cgroup-parent=/gantry"]), 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
});

test("the lowest API version may be raised, within what is served", () => {
  assert.equal(load([], undefined, { DOCKER_MIN_API_VERSION: "1.44" }).minimumApiVersion, "1.44");
  assert.equal(load([], '{"min-api-version":"1.30"}', { DOCKER_MIN_API_VERSION: "1.44" }).minimumApiVersion, "1.30");
  assert.equal(refusal([], undefined, { DOCKER_MIN_API_VERSION: "v1.44" }), 'invalid DOCKER_MIN_API_VERSION: API version must be provided without "v" prefix');
  assert.equal(refusal([], '{"min-api-version":"1.12"}'), "invalid min-api-version: minimum supported API version is 1.24: 1.12");
  assert.equal(refusal([], '{"min-api-version":"1.99"}'), "invalid min-api-version: maximum supported API version is 1.56: 1.99");
});

test("every option that is not supported is refused by name, by flag and in the file, unless it says what is so anyway", () => {
  const samples: Record<string, [flag: string, file: unknown]> = { bool: ["=true", true], list: ["=a=b", ["a"]], map: ["=a=b", { a: "b" }], string: ["=x", "x"], int: ["=7", 7], ip: ["=1.2.3.4", "1.2.3.4"], duration: ["=1s", "1s"] };
  for (const { flag, key, type, support, default: initial } of DAEMON_OPTIONS) {
    if (support !== "refused") continue;
    const kind = type.bare === "true" ? "bool" : type.word;
    const [forFlag, forFile] = samples[kind] ?? assert.fail(kind);
    const isOn = kind === "bool" && initial === "true";
    if (flag !== "") assert.equal(refusal([`--${flag}${isOn ? "=false" : forFlag}`]), `--${flag} is not supported yet`);
    const inFile = key === "host-gateway-ips" ? ["1.2.3.4"] : isOn ? false : forFile;
    if (key !== "") assert.match(refusal([], JSON.stringify({ [key]: inFile })), / is not supported yet$/, key);
    if (typeof initial === "string" && flag !== "") assert.equal(refusal([`--${flag}=${initial}`]), "");
  }
  assert.match(refusal(["--restart=false"]), /^--restart=false is not supported: it is always true$/);
  assert.deepEqual([load(["--ip6tables=false"]).network.firewall6, load([]).network.firewall6], [false, true]);
  assert.equal(load(["--iptables=false", "--ip6tables=false"]).network.firewall, "none");
  assert.deepEqual([load([]).network.firewall, load(["--firewall=own-table"]).network.firewall, load(["--firewall=honour-host"]).network.firewall], ["docker", "own-table", "honour-host"]);
  assert.match(refusal(["--firewall=x"]), /there are docker, own-table, honour-host/);
});

test("networks: options by driver, routers, marks, and what contradicts itself", () => {
  const { network } = load(["--default-network-opt=bridge=com.docker.network.driver.mtu=1450", "--default-network-opt=bridge=a=b=c", "--bip=10.1.0.1/24", "--default-gateway=10.1.0.9", "--bridge-accept-fwmark=0x2/3", "--allow-direct-routing", "--userland-proxy=false"]);
  assert.deepEqual(network.networkOptions, { bridge: { "com.docker.network.driver.mtu": "1450", a: "b=c" } });
  assert.deepEqual([network.defaultGateway, network.acceptMark, network.directRouting, network.relay], ["10.1.0.9", { value: 2, mask: 3 }, true, false]);
  assert.deepEqual(load([], JSON.stringify({ "default-network-opts": { bridge: { x: "1" }, macvlan: { y: "2" } } })).network.networkOptions, { bridge: { x: "1" }, macvlan: { y: "2" } });
  assert.deepEqual(load(["--bridge-accept-fwmark=7"]).network.acceptMark, { value: 7, mask: 0xffff_ffff });
  assert.match(refusal(["--default-network-opt=bridge=mtu"]), /invalid value "bridge=mtu" for map option, should be root-key=key=value/);
  assert.match(refusal(["--bridge-accept-fwmark=x"]), /invalid firewall mark "x"/);
  assert.match(refusal(["--bip=10.1.0.1/24", "--default-gateway=10.2.0.1"]), /not inside the default bridge's subnet 10\.1\.0\.1\/24/);
  assert.match(refusal(["--default-gateway=fd00::1"]), /it is no IPv4 address/);
  assert.match(refusal(["--icc=false", "--iptables=false"]), /You specified --iptables=false with --icc=false/);
  assert.match(refusal(["--bridge=br0", "--bip6=fd00::1/64"]), /You specified -b & --bip6/);
});

test("folders of device specifications: usual ones, others, none", () => {
  const dirs = (args: string[], file?: string): string[] => load(args, file).containers.cdiSpecDirs;
  assert.deepEqual(dirs([]), ["/etc/cdi", "/var/run/cdi"]);
  assert.deepEqual(dirs(["--cdi-spec-dir=/a", "--cdi-spec-dir=/b"]), ["/a", "/b"]);
  assert.deepEqual(dirs(["--cdi-spec-dir="]), []);
  assert.deepEqual(dirs([], '{"cdi-spec-dirs":[]}'), []);
  assert.deepEqual(dirs(["--cdi-spec-dir=/a"], '{"features":{"cdi":false}}'), []);
  assert.match(refusal(["--feature=nothing"]), /the feature "nothing" is not supported/);
});

test("what dockerd's parts are told is accepted, with a warning", () => {
  assert.deepEqual(load(["--containerd=/x", "--containerd-namespace=moby", "--firewall-backend=iptables"]).warnings, [
    "--containerd=/x has no effect: gantryd works without",
    "--firewall-backend=iptables has no effect: gantryd works without",
  ]);
  assert.deepEqual(load([]).warnings, []);
});

test("TLS is on when verification is named, and has the usual files", () => {
  assert.equal(load([]).tls, undefined);
  const chosen = load(["--tlsverify", "--tlscacert=/ca", "--tlscert=/c", "--tlskey=/k"]);
  assert.deepEqual(chosen.tls, { ca: "/ca", cert: "/c", key: "/k", verifyClients: true });
  assert.deepEqual(chosen.hosts, [{ kind: "tcp", host: "127.0.0.1", port: 2376 }]);
  assert.equal(load(["--tls", "--tlsverify=false"]).tls?.verifyClients, false);
  assert.equal(load([], undefined, { DOCKER_TLS_VERIFY: "1" }).tls?.verifyClients, true);
});

test("help names every supported flag once, and what is not supported yet", () => {
  const text = helpText();
  for (const { flag, support } of DAEMON_OPTIONS) {
    if (flag === "" || support === "implied") continue;
    assert.equal(text.split("\n").filter((line) => new RegExp(`(^|[ ,])--${flag}( |$)`).test(line)).length > 0, true, flag);
  }
});

test("registries: mirrors and insecure ones are checked, proxies come from the file before the environment", () => {
  const file = JSON.stringify({ "registry-mirrors": ["https://m.example"], "insecure-registries": ["10.0.0.0/8", "r.example:5000"], "max-concurrent-uploads": 9, "max-download-attempts": 2, proxies: { "http-proxy": "http://p:1", "no-proxy": "x" } });
  const { hosts, proxies, ...numbers } = load([], file, { HTTP_PROXY: "http://e:1", HTTPS_PROXY: "http://e:2" }).registries;
  assert.deepEqual([hosts.mirrors, hosts.insecureRegistries, hosts.certsFolders[1]], [["https://m.example/"], ["10.0.0.0/8", "r.example:5000"], "/etc/docker/certs.d"]);
  assert.match(hosts.certsFolders[0] ?? "", /gantry-config-.*\/certs\.d$/);
  assert.deepEqual(proxies, { httpProxy: "http://p:1", httpsProxy: "http://e:2", noProxy: "x" });
  assert.deepEqual(numbers, { concurrentDownloads: 3, concurrentUploads: 9, downloadAttempts: 2 });
  assert.match(refusal(["--registry-mirror", "m.example"]), /invalid mirror: no scheme specified for "m.example"/);
  assert.match(refusal(["--insecure-registry", "a b"]), /insecure registry a b is not valid: invalid host "a b"/);
  assert.match(refusal(["--max-concurrent-downloads", "-1"]), /invalid max concurrent downloads: -1/);
  assert.match(refusal(["--https-proxy", "socks4://p"]), /the proxy scheme "socks4" is not supported/);
});

test("runtimes: by flag and in the file, what contradicts itself, and the default", () => {
  const runtimes = (args: string[], file?: object) => {
    const { containers } = load(args, file && JSON.stringify(file));
    return [containers.runtime, ...[...containers.runtimes].map(([name, { program, shown }]) => [name, program, shown])];
  };
  const inFile = (entry: unknown, name = "x") => refusal([], JSON.stringify({ runtimes: { [name]: entry } })).replace(/^.*: (?=runtime )/, "");
  assert.deepEqual(runtimes([]), ["gantry-runtime"]);
  assert.deepEqual(runtimes(["--add-runtime=Real = /usr/sbin/runc", "--default-runtime=real"]), ["real", ["real", { path: "/usr/sbin/runc", args: [] }, { path: "/usr/sbin/runc" }]]);
  assert.deepEqual(runtimes([], { runtimes: { a: { path: "crun", runtimeArgs: ["--debug"] } }, "default-runtime": "runc" }), ["runc", ["a", { path: "crun", args: ["--debug"] }, { path: "crun", runtimeArgs: ["--debug"] }]]);
  const shim = { runtimeType: "io.containerd.runc.v2", options: { BinaryName: "/b/crun", Root: "/run/x", SystemdCgroup: false } };
  assert.deepEqual(runtimes([], { runtimes: { s: shim, t: { runtimeType: "io.containerd.runc.v2" } } }).slice(1), [["s", { path: "/b/crun", args: [], root: "/run/x" }, shim], ["t", { path: "runc", args: [] }, { runtimeType: "io.containerd.runc.v2" }]]);
  for (const text of ["x", "=/x", "x=", " = "]) assert.equal(refusal([`--add-runtime=${text}`]), `invalid argument ${JSON.stringify(text)} for "--add-runtime" flag: invalid runtime argument: ${text}`);
  assert.match(refusal(["--add-runtime=runc=/x"]), /runtime name 'runc' is reserved$/);
  assert.equal(inFile({ path: "/x" }, "gantry-runtime"), "runtime name 'gantry-runtime' is reserved");
  assert.match(refusal(["--add-runtime=a=/x", "--add-runtime=A=/y"]), /runtime 'a' was already defined$/);
  assert.equal(refusal(["--default-runtime=none"]), "specified default runtime 'none' does not exist");
  assert.equal(inFile({}), "runtime x: either a runtimeType or a path must be configured");
  assert.equal(inFile({ path: "/x", runtimeType: "io.containerd.runc.v2" }), "runtime x: cannot configure both path and runtimeType for the same runtime");
  assert.equal(inFile({ path: "/x", options: { Root: "/y" } }), "runtime x: options cannot be used with a path runtime");
  assert.equal(inFile({ runtimeType: "io.containerd.runc.v2", runtimeArgs: ["-d"] }), "runtime x: args cannot be used with a runtimeType runtime");
  assert.match(inFile({ runtimeType: "io.containerd.kata.v2" }), /^runtime x: runtimeType io\.containerd\.kata\.v2 is not supported/);
  assert.match(inFile({ runtimeType: "io.containerd.runc.v2", options: { SystemdCgroup: true } }), /option SystemdCgroup is said by --exec-opt/);
  assert.match(inFile({ runtimeType: "io.containerd.runc.v2", options: { CriuPath: "/c" } }), /^runtime x: option CriuPath is not supported/);
  assert.match(inFile({ path: "/x", runtimeArgs: ["--systemd-cgroup"] }), /^runtime x: --systemd-cgroup is said by --exec-opt/);
  assert.equal(inFile({ path: "/x", nosuch: 1 }), 'runtime x: unknown field "nosuch"');
  assert.equal(inFile({ path: 1 }), "runtime x: path must be a string");
});
