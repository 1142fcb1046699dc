/** Mount points as inspect and list show them. */
import type { MountPoint } from "../../../core/container.ts";

export function shownMounts(points: readonly MountPoint[]): Record<string, unknown>[] {
  return points.map((point) => ({
    Type: point.type,
    ...(point.name && { Name: point.name }),
    Source: point.source,
    Destination: point.destination,
    ...(point.driver && { Driver: point.driver }),
    Mode: point.mode,
    RW: point.rw,
    Propagation: point.propagation,
  }));
}
