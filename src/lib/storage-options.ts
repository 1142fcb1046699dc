/** Options of storage drivers, for the daemon (`--storage-opt overlay2.size=10G`) and for a container (`--storage-opt size=1G`), with Docker's messages. */
import { invalidParameter } from "./errors.ts";
import { parseRamSize } from "./units.ts";

/** "key=value" each, keys in lower case. */
export function parseStorageOptions(options: readonly string[]): [key: string, value: string][] {
  return options.map((option) => {
    const equals = option.indexOf("=");
    if (equals < 0) throw invalidParameter(`unable to parse storage-opt key/value: ${option}`);
    return [option.slice(0, equals).trim().toLowerCase(), option.slice(equals + 1).trim()];
  });
}

/** What a container may take, of its storage options; 0 and none are no limit. Throws for an option that is no size. */
export function sizeAsked(options: Readonly<Record<string, string>>): number | undefined {
  let bytes: number | undefined;
  for (const [key, value] of Object.entries(options)) {
    if (key.toLowerCase() !== "size") throw invalidParameter(`Unknown option ${key}`);
    bytes = parseRamSize(value);
  }
  return bytes;
}
