/** Small pools in files for tests, and what is missing for them on this machine. */
import { messageOf } from "../../lib/errors.ts";
import { openDeviceMapper } from "./open-pool.ts";

export const missing = missingHere();

function missingHere(): string | undefined {
  try {
    openDeviceMapper().close();
    return undefined;
  } catch (error) {
    return `thin pools of the device mapper: ${messageOf(error)}`;
  }
}

export const small = (...more: string[]): string[] => ["dm.loopdatasize=1G", "dm.loopmetadatasize=32M", "dm.basesize=64M", "dm.fs=ext4", ...more];
