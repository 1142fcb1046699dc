/** The daemon about itself: `info` and `version`. */
import { nowNanoseconds } from "../../lib/clock.ts";
import { info, type Info } from "./info.ts";
import type { Build, Conditions, DiscoveredDevices, Machine, SystemSettings } from "./types.ts";
import { version } from "./version.ts";

export interface SystemContext {
  /** Lasting: the same as long as the data root lives. */
  id: string;
  build: Build;
  apiVersion: string;
  machine: () => Machine;
  hostName: () => string;
  settings: () => SystemSettings;
  versionSettings: () => Pick<SystemSettings, "experimental" | "minimumApiVersion">;
  conditions: () => Conditions;
  discoverDevices: () => Promise<DiscoveredDevices | undefined>;
}

export class SystemService {
  readonly #context: SystemContext;
  #version: { experimental: boolean; minimum: string; text: string } | undefined;

  constructor(context: SystemContext) {
    this.#context = context;
  }

  async info(): Promise<Info> {
    const { id, build, machine, hostName, settings, conditions, discoverDevices } = this.#context;
    const devices = await discoverDevices();
    return info({ devices, id, build, machine: machine(), hostName: hostName(), settings: settings(), conditions: conditions(), time: localTime() });
  }

  /** What GET /version answers, printed; it changes with the settings alone. */
  version(): string {
    const { build, machine, versionSettings, apiVersion } = this.#context;
    const settings = versionSettings();
    if (this.#version?.experimental !== settings.experimental || this.#version.minimum !== settings.minimumApiVersion) {
      const text = `${JSON.stringify(version({ build, machine: machine(), settings, apiVersion }))}\n`;
      this.#version = { experimental: settings.experimental, minimum: settings.minimumApiVersion, text };
    }
    return this.#version.text;
  }
}

/** Now, in RFC 3339 with nanoseconds. */
function localTime(): string {
  const now = nowNanoseconds();
  const seconds = new Date(Number(now / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(now % 1_000_000_000n).padStart(9, "0")}Z`;
}
