/**
 * Device drivers: what gives a container the devices that it asks for by HostConfig.DeviceRequests.
 *
 *   engine ──inject──▶ driver     at each start, on the configuration that is about to be compiled
 */
import type { OciSpec } from "../lib/oci-spec.ts";

export interface DeviceDriver {
  /** As DeviceRequest.Driver names it. */
  readonly id: string;
  /** Edits the configuration so that the container has these devices. Throws "invalid-parameter" for a name that is unknown or malformed, "system" for a device that the host has not. */
  inject(spec: OciSpec, names: readonly string[]): Promise<void>;
  /** The names of all devices that may be asked for, sorted, and what is wrong with their descriptions. */
  list(): Promise<{ names: string[]; warnings: string[] }>;
}
