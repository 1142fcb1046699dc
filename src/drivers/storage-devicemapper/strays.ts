/** Devices that nothing has: active ones, and ones in the pool, which is asked for each number up to the largest that is known. */
import type { Stray } from "../../core/snapshotter.ts";
import { command } from "../../sys/device-mapper.ts";
import { SECTOR } from "./pool-status.ts";
import type { ThinDevices } from "./thin-devices.ts";

/** Beyond the largest: what was made last has gone. */
const BEYOND = 16;

export function strayDevices(devices: ThinDevices): Stray[] {
  const active = devices.activeNames().filter((name) => !devices.isKnown(Number(name.slice(devices.pool.prefix.length + 1))));
  const numbers = Array.from({ length: devices.largest + BEYOND }, (_, at) => at + 1).filter((device) => !devices.isKnown(device));
  return [
    ...active.map((name): Stray => ({ id: name, problem: "it is active and belongs to no layer", repair: async () => void (await devices.pool.dm.remove(name, { deferred: true })) })),
    ...numbers.filter((device) => isInPool(devices, device)).map((device): Stray => ({ id: devices.nameOf(device), problem: `device ${device} of the pool belongs to no layer`, repair: () => devices.delete([{ device, bytes: SECTOR }], () => undefined) })),
  ];
}

/** A device that the pool has not cannot be a table's. */
function isInPool(devices: ThinDevices, device: number): boolean {
  const { dm, prefix } = devices.pool;
  const name = `${prefix}-probe`;
  dm.callNow(command.create, { name });
  try {
    dm.callNow(command.load, { name, target: devices.target(device, SECTOR) });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENODATA") return false;
    throw error;
  } finally {
    dm.callNow(command.remove, { name });
  }
}
