/** The engine as the daemon runs it: services behind the API, and what the daemon asks of them. */
import type { RegistryConfig } from "./config.ts";
import type { OpenRegistries } from "../../registry/registries.ts";
import type { Route } from "../../api/route.ts";
import type { Runtimes } from "../../engine/containers/runtimes.ts";
import type { EventBus } from "../../engine/events/bus.ts";
import type { Conditions, DiscoveredDevices, SystemSettings } from "../../engine/system/types.ts";

export interface Engine {
  routes: Route[];
  events: EventBus;
  registries: OpenRegistries;
  /** --userns-remap is in effect. */
  remapsUsers: boolean;
  /** Other ways with other programs' firewalls, from now on. */
  setFirewall(mode: "docker" | "own-table" | "honour-host"): Promise<void>;
  /** Other runtimes and other ways to registries, from now on. Throws "invalid-parameter", and then changes nothing. */
  reconfigure(next: { containers: { runtimes: Runtimes; shmSize: number }; registries: Omit<RegistryConfig, "proxies"> }): void;
  /** Throws Docker's not-found. */
  requireContainer(ref: string): void;
  conditions(): Pick<Conditions, "containers" | "images" | "storage">;
  /** The kinds of networks and volumes that there are, with those of plugins in use. */
  drivers(): Pick<SystemSettings["plugins"], "network" | "volume">;
  /** What containers may ask for by name; undefined where nothing finds devices. */
  discoverDevices(): Promise<DiscoveredDevices | undefined>;
  /** Nothing runs that the daemon must watch. */
  isIdle(): boolean;
  /** Work that can wait until the API answers: what was left behind, what is prepared ahead. */
  afterStart(): Promise<void>;
  /** Resolves when all that was answered survives a loss of power; undefined: it does. */
  settled(): Promise<void> | undefined;
  /** What can wait for a moment in which nothing is asked. */
  rest(): void;
  /** Stops all containers, each within its own time; what policies want is started again with the next daemon. */
  stopContainers(): Promise<void>;
  /** Lets go of everything; containers go on. */
  close(): Promise<void>;
}
