/** The daemon's options of this driver, with Docker's messages. */
import { invalidParameter } from "../../lib/errors.ts";
import { parseStorageOptions } from "../../lib/storage-options.ts";
import { parseRamSize } from "../../lib/units.ts";

/** What every container may take; 0 without a limit. */
export function standardSize(options: readonly string[]): number {
  let size = 0;
  for (const [key, value] of parseStorageOptions(options)) {
    if (key === "overlay2.size") size = parseRamSize(value);
    // Of older versions of Docker: whether overlay works is tried, whatever the kernel's version says.
    else if (key !== "overlay2.override_kernel_check") throw invalidParameter(`overlay2: unknown option ${key}`);
  }
  return size;
}
