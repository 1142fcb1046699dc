/** The options of the record that is kept here of a log that is sent on: "cache-...", as Docker's, and how much waits for the server. */
import { parseBool } from "../../../lib/strconv.ts";
import { parseRamSize } from "../../../lib/units.ts";

type Options = Readonly<Record<string, string>>;

const DEFAULT_BUFFER = "1m";

/** In the words of the driver "local", whose limits hold. */
export function cacheOptions(options: Options): { "max-size": string; "max-file": string; compress: string } {
  const files = options["cache-max-file"] ?? "5";
  return { "max-size": options["cache-max-size"] ?? "20m", "max-file": files, compress: options["cache-compress"] ?? (files === "1" ? "false" : "true") };
}

/** Whether `logs` has something to read. */
export function keepsRecord(options: Options): boolean {
  const disabled = options["cache-disabled"] ?? "";
  return disabled === "" || !parseBool(disabled);
}

export function waitingOf(options: Options): "all" | number {
  return options["mode"] === "non-blocking" ? parseRamSize(options["max-buffer-size"] ?? DEFAULT_BUFFER) : "all";
}
