/** The daemon's settings as `info` and `version` show them. */
import { LOG_DRIVERS } from "../../core/log.ts";
import type { SystemSettings } from "../../engine/system/types.ts";
import { DOCKER_POOLS } from "../../drivers/ipam-default/ipam.ts";
import { formatPrefix } from "../../lib/ip.ts";
import type { DaemonConfig } from "./config.ts";
import { machine } from "./machine.ts";
import { shownRuntimes } from "./runtimes.ts";

export function systemSettings(config: DaemonConfig, dataRoot: string, drivers: Pick<SystemSettings["plugins"], "network" | "volume">): Omit<SystemSettings, "registries" | "remapsUsers"> {
  const { containers, network, tls } = config;
  const { httpProxy, httpsProxy, noProxy } = config.registries.proxies;
  const openAddresses = config.hosts
    .filter((host) => host.kind === "tcp")
    .filter(() => tls?.verifyClients !== true)
    .map(({ host, port }) => ({ address: `${host}:${port}`, encrypted: tls !== undefined }));
  return {
    dataRoot,
    labels: config.labels,
    debug: config.debug,
    experimental: config.experimental,
    cdiSpecDirs: containers.cdiSpecDirs,
    liveRestore: config.liveRestore,
    defaultRuntime: containers.runtime,
    runtimes: shownRuntimes(containers),
    loggingDriver: containers.log.driver,
    seccompProfile: containers.seccompProfile,
    noNewPrivileges: containers.noNewPrivileges,
    cgroupnsMode: containers.cgroupnsMode ?? (machine().cgroups.version === "2" ? "private" : "host"),
    cgroupDriver: containers.cgroupDriver,
    initPath: containers.initPath || "gantry-init",
    addressPools: network.defaultAddressPools.length > 0 ? network.defaultAddressPools : DOCKER_POOLS.map(({ base, size }) => ({ base: formatPrefix(base), size })),
    proxies: { http: httpProxy, https: httpsProxy, no: noProxy },
    minimumApiVersion: config.minimumApiVersion,
    openAddresses,
    plugins: { ...drivers, authorization: config.authorizationPlugins, log: [...LOG_DRIVERS] },
  };
}
