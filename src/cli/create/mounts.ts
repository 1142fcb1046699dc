/** --mount, --volume and --tmpfs. */
import path from "node:path";
import { parseRamSize } from "../../lib/units.ts";
import { parseCsv } from "../parse/csv.ts";

export interface Mount {
  Type: string;
  Source?: string;
  Target?: string;
  ReadOnly?: boolean;
  Consistency?: string;
  BindOptions?: { Propagation?: string; NonRecursive?: boolean; CreateMountpoint?: boolean; ReadOnlyNonRecursive?: boolean; ReadOnlyForceRecursive?: boolean };
  VolumeOptions?: { NoCopy?: boolean; Labels?: Record<string, string>; DriverConfig?: { Name?: string; Options?: Record<string, string> }; Subpath?: string };
  ImageOptions?: { Subpath?: string };
  TmpfsOptions?: { SizeBytes?: number; Mode?: number };
}

const SWITCHES = new Set(["readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"]);

/** Throws an Error with Docker's words. */
export function parseMount(text: string): Mount {
  const value = text.trim();
  if (value === "") throw new Error("value is empty");
  const mount: Mount = { Type: "volume" };
  for (const field of parseCsv(value)) setField(mount, splitField(field));
  validate(mount);
  return mount;
}

interface Field {
  key: string;
  value: string;
  given: boolean;
  text: string;
}

function splitField(text: string): Field {
  const equals = text.indexOf("=");
  const given = equals >= 0;
  const key = given ? text.slice(0, equals) : text;
  const value = given ? text.slice(equals + 1) : "";
  if (key.trim() !== key) throw new Error(`invalid option '${key.trim()}' in '${text}': option should not have whitespace`);
  if (given && value.trim() === "") throw new Error(`invalid value for '${key}': value is empty`);
  if (given && value.trim() !== value) throw new Error(`invalid value for '${key}' in '${text}': value should not have whitespace`);
  const name = key.toLowerCase();
  if (!given && !SWITCHES.has(name)) throw new Error(`invalid field '${text}' must be a key=value pair`);
  return { key: name, value, given, text };
}

function setField(mount: Mount, field: Field): void {
  const { key, value } = field;
  const bind = (): NonNullable<Mount["BindOptions"]> => (mount.BindOptions ??= {});
  const volume = (): NonNullable<Mount["VolumeOptions"]> => (mount.VolumeOptions ??= {});
  const driver = (): { Name?: string; Options?: Record<string, string> } => (volume().DriverConfig ??= {});
  switch (key) {
    case "type":
      mount.Type = value.toLowerCase();
      return;
    case "source":
    case "src":
      mount.Source = value.startsWith(".") ? path.resolve(value) : value;
      return;
    case "target":
    case "dst":
    case "destination":
      mount.Target = value;
      return;
    case "readonly":
    case "ro":
      mount.ReadOnly = flag(field);
      return;
    case "consistency":
      mount.Consistency = value.toLowerCase();
      return;
    case "bind-propagation":
      bind().Propagation = value.toLowerCase();
      return;
    case "bind-nonrecursive":
      throw new Error("bind-nonrecursive is deprecated, use bind-recursive=disabled instead");
    case "bind-recursive":
      return setRecursion(mount, field);
    case "bind-create-src":
      bind().CreateMountpoint = flag(field);
      return;
    case "volume-subpath":
      volume().Subpath = value;
      return;
    case "volume-nocopy":
      volume().NoCopy = flag(field);
      return;
    case "volume-label":
      volume().Labels = withEntry(volume().Labels, value);
      return;
    case "volume-driver":
      driver().Name = value;
      return;
    case "volume-opt":
      driver().Options = withEntry(driver().Options, value);
      return;
    case "image-subpath":
      (mount.ImageOptions ??= {}).Subpath = value;
      return;
    case "tmpfs-size":
      (mount.TmpfsOptions ??= {}).SizeBytes = size(field);
      return;
    case "tmpfs-mode":
      if (!/^[0-7]+$/.test(value) || Number.parseInt(value, 8) >= 2 ** 32) throw new Error(`invalid value for ${key}: ${value}`);
      (mount.TmpfsOptions ??= {}).Mode = Number.parseInt(value, 8);
      return;
    default:
      throw new Error(`unknown option '${key}' in '${field.text}'`);
  }
}

function flag({ key, value, given }: Field): boolean {
  if (!given || value === "1" || value === "true") return true;
  if (value === "0" || value === "false") return false;
  throw new Error(`invalid value for '${key}': invalid boolean value (${JSON.stringify(value)}): must be one of "true", "1", "false", or "0" (default "true")`);
}

function size({ key, value }: Field): number {
  try {
    return parseRamSize(value);
  } catch {
    throw new Error(`invalid value for ${key}: ${value}`);
  }
}

function setRecursion(mount: Mount, { key, value }: Field): void {
  const option = { disabled: "NonRecursive", writable: "ReadOnlyNonRecursive", readonly: "ReadOnlyForceRecursive" } as const;
  if (value === "enabled") return;
  if (!Object.hasOwn(option, value)) throw new Error(`invalid value for ${key}: ${value} (must be "enabled", "disabled", "writable", or "readonly")`);
  (mount.BindOptions ??= {})[option[value as keyof typeof option]] = true;
}

function withEntry(map: Record<string, string> | undefined, text: string): Record<string, string> {
  const equals = text.indexOf("=");
  const key = equals < 0 ? text : text.slice(0, equals);
  return key === "" ? (map ?? {}) : { ...map, [key]: equals < 0 ? "" : text.slice(equals + 1) };
}

function validate(mount: Mount): void {
  const { Type: type, BindOptions: bind } = mount;
  const options: [string, unknown][] = [["bind", bind], ["volume", mount.VolumeOptions], ["image", mount.ImageOptions], ["tmpfs", mount.TmpfsOptions]];
  for (const [name, given] of options) if (given !== undefined && type !== name) throw new Error(`cannot mix '${name}-*' options with mount type '${type}'`);
  if (bind?.ReadOnlyNonRecursive && !mount.ReadOnly) throw new Error("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
  if (!bind?.ReadOnlyForceRecursive) return;
  if (!mount.ReadOnly) throw new Error("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
  if (bind.Propagation !== "rprivate") throw new Error("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction");
}

/** --volume flags: what is bound or named (`binds`), and container paths alone (`volumes`). A relative host path is made absolute. */
export function splitVolumes(values: string[]): { binds: string[]; volumes: Record<string, object> } {
  const binds: string[] = [];
  const volumes: Record<string, object> = {};
  for (const value of new Set(values)) {
    const source = volumeSource(value);
    if (source === undefined) volumes[value] = {};
    else binds.push(source.startsWith(".") ? path.resolve(source) + value.slice(value.indexOf(":")) : value);
  }
  return { binds, volumes };
}

/** What stands before the container's path; undefined for that path alone. */
function volumeSource(spec: string): string | undefined {
  if (spec === "") throw new Error("invalid empty volume spec");
  if (spec.length <= 2) return undefined;
  const parts = splitColons(spec);
  if (parts.includes("")) throw new Error(`invalid spec: ${spec}: empty section between colons`);
  return parts.length === 1 ? undefined : parts[0];
}

/** A colon behind a single letter belongs to a drive of Windows. */
function splitColons(spec: string): string[] {
  const parts = [""];
  for (const char of spec) {
    const last = parts.at(-1) as string;
    if (char === ":" && !/^\p{L}$/u.test(last)) parts.push("");
    else parts[parts.length - 1] = last + char;
  }
  return parts;
}

export function tmpfsMap(values: string[]): Record<string, string> {
  return Object.fromEntries(values.map((value) => {
    const colon = value.indexOf(":");
    return colon < 0 ? [value, ""] : [value.slice(0, colon), value.slice(colon + 1)];
  }));
}
