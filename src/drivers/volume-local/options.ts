/** The options of local volumes: type, device and o as of mount(8), size for a quota. Checked as Docker checks them. */
import { invalidParameter } from "../../lib/errors.ts";
import { quote } from "../../lib/strconv.ts";
import { parseRamSize } from "../../lib/units.ts";

export type Options = Readonly<Record<string, string>>;

const KNOWN = ["type", "o", "device", "size"];
const NEEDS: readonly (readonly [option: string, needed: readonly string[]])[] = [
  ["device", ["type"]],
  ["type", ["device"]],
  ["o", ["device", "type"]],
];

/** Throws Docker's refusals. */
export function validateOptions(options: Options, { quotas }: { quotas: boolean }): void {
  for (const option of Object.keys(options)) if (!KNOWN.includes(option)) throw invalidParameter(`invalid option: ${quote(option)}`);
  if (options["type"] === "cifs" && hasPort(options["device"] ?? "")) throw invalidParameter("port not allowed in CIFS device URL, include 'port' in 'o='");
  if (sizeOf(options) > 0 && !quotas) throw invalidParameter("quota size requested but no quota support");
  for (const [option, needed] of NEEDS) {
    if (options[option] === undefined) continue;
    const missing = needed.find((other) => options[other] === undefined);
    if (missing !== undefined) throw invalidParameter(`missing required option: ${quote(missing)}`);
  }
}

/** In bytes; 0 without a limit. */
export const sizeOf = (options: Options): number => (options["size"] === undefined ? 0 : parseRamSize(options["size"]));

export const needsMount = (options: Options): boolean => Boolean(options["device"]) || Boolean(options["type"]);

const hasPort = (device: string): boolean => /^[a-z]*:?\/\/[^/]*:\d+(\/|$)/i.test(device);

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
/** NAME_MAX of Linux. */
const LONGEST_NAME = 255;

export const isName = (name: string): boolean => NAME.test(name) && name.length <= LONGEST_NAME;

/** Throws Docker's refusals. The name becomes a folder's. */
export function validateName(name: string): void {
  if (name.length === 1) throw invalidParameter("volume name is too short, names should be at least two alphanumeric characters");
  if (!NAME.test(name)) throw invalidParameter(`${quote(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`);
  if (name.length > LONGEST_NAME) throw invalidParameter(`volume name is too long: it has ${name.length} characters, at most ${LONGEST_NAME} are allowed`);
}
