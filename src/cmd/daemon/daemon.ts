/**
 * The life of a daemon:
 *
 *   lock the roots ─▶ listen ─▶ engine (recovers what runs) ─▶ ready ─▶ serve ─▶ (signal | idle) ─▶ stop listening ─▶ close
 *                       └─▶ answers pings; other requests wait for the engine
 *
 * Containers are not its children: they run on when it ends, however it ends.
 */
import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import type { AuthorizationChain } from "../../api/authorization/chain.ts";
import { ApiServer } from "../../api/server.ts";
import { Connections, limitsFor } from "../../api/connections.ts";
import type { Route } from "../../api/route.ts";
import { pingRoutes } from "../../api/system/routes.ts";
import { MAX_API_VERSION } from "../../api/versions.ts";
import { Metrics, type MetricSources } from "../../engine/system/metrics.ts";
import { SystemService } from "../../engine/system/service.ts";
import { messageOf, systemError } from "../../lib/errors.ts";
import type { FlagValues } from "../../lib/flags.ts";
import { type ProxySettings, withoutCredentials } from "../../lib/proxy.ts";
import { build } from "./build-info.ts";
import { callerOf, hasReceivedAll } from "./caller.ts";
import { CalmWatch } from "./calm.ts";
import { type DaemonConfig, loadConfig } from "./config.ts";
import type { Engine } from "./engine.ts";
import { engineId } from "./identity.ts";
import { IdleWatch } from "./idle.ts";
import { openListeners } from "./listeners.ts";
import { DaemonLogger } from "./logger.ts";
import { ipv4Forwarding, machine, maxOpenFiles, openFiles } from "./machine.ts";
import { actionOf, type MetricsServer, serveMetrics } from "./metrics.ts";
import { notify } from "./notify.ts";
import { writePidfile } from "./pidfile.ts";
import { lockRoot } from "./root-lock.ts";
import { runtimesFor, shownRuntimes } from "./runtimes.ts";
import { systemSettings } from "./system-settings.ts";

/** How long an end waits for work that followed the start. */
const AFTER_START_MILLISECONDS = 5_000;

export class Daemon {
  #config: DaemonConfig;
  readonly #flags: FlagValues;
  readonly #log: DaemonLogger;
  readonly #held: Disposable[] = [];
  readonly #idle: IdleWatch;
  readonly #calm = new CalmWatch(() => this.#rest());
  #giveBackMemory = (): void => {};
  readonly #metrics = new Metrics();
  readonly #connections = new Connections(limitsFor(maxOpenFiles()));
  #engine: Engine | undefined;
  #metricsServer: MetricsServer | undefined;
  #authorization: AuthorizationChain | undefined;
  #reloading: Promise<void> = Promise.resolve();
  #api: ApiServer | undefined;
  #afterStart: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  constructor(config: DaemonConfig, flags: FlagValues) {
    this.#config = config;
    this.#flags = flags;
    this.#log = new DaemonLogger(config.log);
    this.#idle = new IdleWatch(config.idleExitSeconds, () => {
      if (this.#engine?.isIdle() !== true) return false;
      this.#log.info(`Nothing runs and nothing was asked for ${config.idleExitSeconds} seconds: ending`);
      void this.stop();
      return true;
    });
  }

  get log(): DaemonLogger {
    return this.#log;
  }

  /** Resolves when the API answers; pings it answers before. On failure everything is let go. */
  async start(): Promise<void> {
    const config = this.#config;
    this.#log.info("Starting up");
    for (const warning of config.warnings) this.#log.warn(warning);
    if (process.geteuid?.() !== 0) throw systemError("gantryd needs to be started with root privileges");
    const routes = Promise.withResolvers<Route[]>();
    // Nobody may wait for them yet.
    routes.promise.catch(() => {});
    try {
      makeRoots(config);
      this.#held.push(lockRoot(config.dataRoot), lockRoot(config.execRoot));
      this.#held.push(writePidfile(config.pidfile, { ours: !config.pidfileChosen }));
      await this.#authorizeBy(config.authorizationPlugins);
      // What is bound to fail answers no ping before.
      if (!["", "none"].includes(config.network.bridge)) await (await import("../networks.ts")).requireBridge(config.network.bridge);
      this.#api = this.#createApi(routes.promise);
      const opened = await openListeners(this.#api, config, this.#log);
      this.#held.push(...opened);
      // Here and below: a client that has waited for the socket gets its ping answered between the long steps.
      await nextTurn();
      const { allRoutes, giveBackMemory, openEngine } = await import("./opening.ts");
      await nextTurn();
      this.#giveBackMemory = giveBackMemory;
      await this.#checkAuthorization(config.authorizationPlugins);
      this.#engine = await openEngine(config, this.#log, (succeeded) => this.#metrics.probed(succeeded));
      this.#metricsServer = await this.#serveMetrics(this.#engine);
      routes.resolve(allRoutes(this.#engine, this.#createSystem(this.#engine)));
      for (const { address } of opened) this.#log.info(`API listen on ${address}`);
    } catch (error) {
      routes.reject(systemError(`failed to start daemon: ${messageOf(error)}`, error));
      await this.#release();
      throw error;
    }
    this.#log.info("Daemon has completed initialization");
    notify("READY=1");
    this.#idle.begin();
    this.#afterStart = this.#engine.afterStart().catch((error: unknown) => this.#log.error(`after the start: ${messageOf(error)}`));
    this.#calm.begin();
  }

  /** Applies what may change while running, as SIGHUP asks. A wrong file changes nothing. */
  reload(): void {
    this.#reloading = this.#reloading.then(() => this.#reload());
  }

  async #reload(): Promise<void> {
    notify(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    try {
      const next = loadConfig(this.#flags, process.env);
      const { runtime, runtimes, shmSize } = next.containers;
      await this.#checkAuthorization(next.authorizationPlugins);
      this.#engine?.reconfigure({ containers: { runtimes: runtimesFor(next.containers), shmSize }, registries: next.registries });
      await this.#authorizeBy(next.authorizationPlugins);
      const { labels, debug, log, minimumApiVersion, shutdownTimeoutSeconds, liveRestore, features, builderVersion, authorizationPlugins } = next;
      const network = this.#switchFirewall(next.network.firewall);
      const registries = { ...next.registries, proxies: this.#config.registries.proxies };
      this.#config = { ...this.#config, labels, debug, log, minimumApiVersion, shutdownTimeoutSeconds, liveRestore, features, builderVersion, authorizationPlugins, network, registries, containers: { ...this.#config.containers, runtime, runtimes, shmSize } };
      this.#log.configure(log);
      this.#log.info(`Reloaded configuration: ${JSON.stringify({ ...this.#attributes(), ...shownProxies(registries.proxies), "min-api-version": minimumApiVersion, firewall: network.firewall })}`);
      this.#engine?.events.emit({ type: "daemon", action: "reload", actor: { id: this.#id(), attributes: this.#attributes() } });
    } catch (error) {
      this.#log.error(`Error reconfiguring the daemon: ${messageOf(error)}`);
    }
    notify("READY=1");
  }

  /** Its programs need not be there yet. Nothing is loaded where there are none. */
  async #authorizeBy(names: readonly string[]): Promise<void> {
    if (names.length > 0) this.#authorization ??= (await import("./authorization.ts")).createAuthorization();
    this.#authorization?.use(names);
  }

  /** Throws for a plugin that cannot be asked. */
  async #checkAuthorization(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    const chain = this.#authorization ?? (await import("./authorization.ts")).createAuthorization();
    try {
      await chain.check(names);
    } catch (cause) {
      throw systemError(`failed to validate authorization plugin: ${messageOf(cause)}`, cause);
    }
  }

  /** Whether rules are made at all is decided at the start. */
  #switchFirewall(firewall: DaemonConfig["network"]["firewall"]): DaemonConfig["network"] {
    const { network } = this.#config;
    if (firewall === network.firewall) return network;
    if (firewall === "none" || network.firewall === "none") {
      this.#log.warn("iptables is changed by the next start of the daemon only");
      return network;
    }
    void this.#engine?.setFirewall(firewall).catch((error: unknown) => this.#log.error(`firewall ${firewall}: ${messageOf(error)}`));
    return { ...network, firewall };
  }

  #rest(): void {
    try {
      this.#engine?.rest();
    } catch (error) {
      this.#log.error(`while at rest: ${messageOf(error)}`);
    }
    this.#giveBackMemory();
  }

  /** Ends serving and lets go; the process can then exit. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Resolves when stop has finished, whoever asked for it. */
  async stopped(): Promise<void> {
    await this.#ended.promise;
  }
  readonly #ended = Promise.withResolvers<void>();

  async #stop(): Promise<void> {
    notify("STOPPING=1");
    this.#idle.end();
    this.#calm.end();
    await this.#release({ stopContainers: !this.#config.liveRestore });
    this.#log.info("Daemon shutdown complete");
    this.#ended.resolve();
  }

  async #release({ stopContainers = false } = {}): Promise<void> {
    const steps: (() => Promise<void> | void | undefined)[] = [
      () => this.#api?.close(this.#config.shutdownTimeoutSeconds * 1000),
      () => this.#metricsServer?.[Symbol.asyncDispose](),
      () => Promise.race([this.#afterStart, delay(AFTER_START_MILLISECONDS, undefined, { ref: false })]),
      () => (stopContainers ? this.#engine?.stopContainers() : undefined),
      () => this.#engine?.close(),
      ...this.#held.splice(0).reverse().map((held) => () => held[Symbol.dispose]()),
    ];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        this.#log.error(`while ending: ${messageOf(error)}`);
      }
    }
  }

  #createApi(laterRoutes: Promise<Route[]>): ApiServer {
    return new ApiServer({
      routes: pingRoutes(() => this.#config.builderVersion),
      laterRoutes,
      connections: this.#connections,
      log: this.#log,
      serverVersion: build.dockerVersion,
      experimental: this.#config.experimental,
      minimumVersion: () => this.#config.minimumApiVersion,
      callerOf,
      hasReceivedAll,
      authorization: () => this.#authorization,
      ...(this.#config.metricsAddress !== "" && { onHandled: (route, seconds) => this.#acted(route, seconds) }),
      onRequest: () => this.#requestBegins(),
      settled: () => this.#engine?.settled(),
    });
  }

  #acted(route: Route, seconds: number): void {
    const action = actionOf(route);
    if (action) this.#metrics.acted(...action, seconds);
  }

  async #serveMetrics(engine: Engine): Promise<MetricsServer | undefined> {
    const { metricsAddress } = this.#config;
    if (metricsAddress === "") return undefined;
    const server = await serveMetrics(metricsAddress, () => this.#metrics.text(this.#metricSources(engine)));
    this.#log.info(`Metrics at ${server.url}`);
    return server;
  }

  #metricSources(engine: Engine): MetricSources {
    const { containers, storage } = engine.conditions();
    const { architecture, cpus, kernelVersion, memoryBytes, operatingSystem } = machine();
    return {
      info: { architecture, commit: build.gitCommit, id: this.#id(), driver: storage.driver, kernel: kernelVersion, os: operatingSystem, version: build.dockerVersion },
      cpus,
      memoryBytes,
      containers,
      events: engine.events.count,
      eventListeners: engine.events.listeners,
      openFiles: openFiles(),
      maxOpenFiles: maxOpenFiles(),
    };
  }

  #requestBegins(): () => void {
    const ended = this.#idle.busy();
    this.#calm.use();
    return () => {
      this.#calm.use();
      ended();
    };
  }

  #createSystem(engine: Engine): SystemService {
    const { dataRoot } = this.#config;
    return new SystemService({
      id: this.#id(),
      build,
      apiVersion: MAX_API_VERSION,
      machine,
      hostName: hostname,
      settings: () => ({ ...systemSettings(this.#config, dataRoot, engine.drivers()), registries: engine.registries.settings(), remapsUsers: engine.remapsUsers }),
      versionSettings: () => this.#config,
      discoverDevices: () => engine.discoverDevices(),
      conditions: () => ({ ...engine.conditions(), openFiles: openFiles(), activeResources: process.getActiveResourcesInfo().length + this.#connections.streams, eventListeners: engine.events.listeners, ipv4Forwarding: ipv4Forwarding() }),
    });
  }

  #cachedId: string | undefined;
  #id(): string {
    this.#cachedId ??= engineId(this.#config.dataRoot);
    return this.#cachedId;
  }

  #attributes(): Record<string, string> {
    const { debug, labels, containers, shutdownTimeoutSeconds, liveRestore, features } = this.#config;
    const { hosts, concurrentDownloads, concurrentUploads, downloadAttempts } = this.#config.registries;
    return {
      name: hostname(),
      debug: String(debug),
      "default-runtime": containers.runtime,
      "default-shm-size": String(containers.shmSize),
      features: JSON.stringify(features),
      "insecure-registries": JSON.stringify(hosts.insecureRegistries),
      labels: JSON.stringify(labels),
      "live-restore": String(liveRestore),
      "max-concurrent-downloads": String(concurrentDownloads),
      "max-concurrent-uploads": String(concurrentUploads),
      "max-download-attempts": String(downloadAttempts),
      "registry-mirrors": JSON.stringify(hosts.mirrors),
      runtimes: JSON.stringify(shownRuntimes(containers)),
      "shutdown-timeout": String(shutdownTimeoutSeconds),
    };
  }
}

const shownProxies = ({ httpProxy, httpsProxy, noProxy }: ProxySettings): Record<string, string> => ({ "http-proxy": withoutCredentials(httpProxy), "https-proxy": withoutCredentials(httpsProxy), "no-proxy": noProxy });

function makeRoots({ dataRoot, execRoot }: DaemonConfig): void {
  try {
    mkdirSync(dataRoot, { recursive: true, mode: 0o710 });
    mkdirSync(execRoot, { recursive: true, mode: 0o711 });
  } catch (cause) {
    throw systemError(`cannot make the daemon's folders: ${messageOf(cause)}`, cause);
  }
}
