/** One mount as it was asked for (HostConfig.Mounts, .Binds), checked by Docker's rules for Linux. */
import { existsSync } from "node:fs";
import type { Mount } from "../../../core/container-config.ts";
import { invalidParameter, systemError } from "../../../lib/errors.ts";
import { quote } from "../../../lib/strconv.ts";
import { cleanPath } from "../validate/config.ts";

export const PROPAGATIONS: ReadonlySet<string> = new Set(["private", "rprivate", "slave", "rslave", "shared", "rshared"]);
const CONSISTENCIES = new Set(["consistent", "cached", "delegated"]);
const MODE_GROUPS: readonly ReadonlySet<string>[] = [new Set(["rw", "ro"]), new Set(["z", "Z"]), PROPAGATIONS, new Set(["nocopy"]), CONSISTENCIES];

/** The message for a mount; the caller decides what kind of error it is. */
class MountError extends Error {}

/** Checks an entry of HostConfig.Mounts. */
export function validateMount(mount: Mount): void {
  try {
    checkMount(mount, true);
  } catch (error) {
    if (error instanceof MountError) throw invalidParameter(error.message);
    throw error;
  }
}

function checkMount(mount: Mount, sourceMustExist: boolean): void {
  const fail = (reason: string): never => {
    throw new MountError(`invalid mount config for type ${quote(mount.Type)}: ${reason}`);
  };
  for (const [type, field] of OWN_OPTIONS) if (mount.Type !== type && mount[field] !== null) fail(`field ${field} must not be specified`);
  if (mount.Target === "") fail("field Target must not be empty");
  const target = destinationProblem(mount.Target);
  if (target !== undefined) fail(target);
  if (!Object.hasOwn(TYPE_CHECKS, mount.Type)) fail("mount type unknown");
  const problem = TYPE_CHECKS[mount.Type]?.(mount, sourceMustExist);
  if (problem !== undefined) fail(problem);
}

const OWN_OPTIONS = [
  ["bind", "BindOptions"],
  ["volume", "VolumeOptions"],
  ["image", "ImageOptions"],
  ["tmpfs", "TmpfsOptions"],
  ["cluster", "ClusterOptions"],
] as const;

const TYPE_CHECKS: Record<string, (mount: Mount, sourceMustExist: boolean) => string | undefined> = {
  bind(mount, sourceMustExist) {
    if (mount.Source === "") return "field Source must not be empty";
    const propagation = mount.BindOptions?.Propagation ?? "";
    if (propagation !== "" && !PROPAGATIONS.has(propagation)) return `invalid propagation mode: ${propagation}`;
    if (!mount.Source.startsWith("/")) return notAbsolute(mount.Source);
    const makesSource = mount.BindOptions?.CreateMountpoint ?? false;
    if (sourceMustExist && !makesSource && !existsSync(mount.Source)) return `bind source path does not exist: ${mount.Source}`;
    return undefined;
  },
  volume(mount) {
    const subpath = mount.VolumeOptions?.Subpath ?? "";
    if (subpath === "") return undefined;
    return mount.Source === "" ? "must not set Subpath when using anonymous volumes" : subpathProblem(subpath);
  },
  tmpfs(mount) {
    if (mount.Source !== "") return "field Source must not be specified";
    for (const option of mount.TmpfsOptions?.Options ?? []) {
      if (option === null || option.length < 1 || option.length > 2) return "invalid option array length";
      if (option[0] !== "exec" && option[0] !== "noexec") return `invalid option: ${option[0]}`;
    }
    return undefined;
  },
  image(mount) {
    if (mount.Source === "") return "field Source must not be empty";
    const subpath = mount.ImageOptions?.Subpath ?? "";
    return subpath === "" ? undefined : subpathProblem(subpath);
  },
};

function subpathProblem(subpath: string): string | undefined {
  const clean = cleanPath(subpath);
  return subpath.startsWith("/") || clean === ".." || clean.startsWith("../") ? "subpath must be a relative path within the volume" : undefined;
}

const notAbsolute = (path: string): string => `invalid mount path: '${path}' mount path must be absolute`;

function destinationProblem(target: string): string | undefined {
  const path = target.replaceAll("\\", "/");
  if (cleanPath(path) === "/") return "invalid specification: destination can't be '/'";
  return path.startsWith("/") ? undefined : notAbsolute(target);
}

/** A key of HostConfig.Tmpfs. */
export function validateTmpfsDestination(target: string): void {
  const problem = destinationProblem(target);
  if (problem !== undefined) throw invalidParameter(problem);
}

/** An entry of HostConfig.Binds as a Mount with its mode words. Docker answers 500 to malformed ones. */
export function parseBind(bind: string, volumeDriver: string): { mount: Mount; mode: string } {
  const { source, target, mode } = splitBind(bind);
  if (!isValidMode(mode)) throw systemError(`invalid mode: ${mode}`);
  const words = mode.split(",");
  const isBind = source.startsWith("/");
  const propagation = words.find((word) => PROPAGATIONS.has(word));
  const noCopy = words.includes("nocopy");
  const mount: Mount = {
    ...emptyMount(),
    Type: isBind ? "bind" : "volume",
    Source: source,
    Target: target,
    ReadOnly: words.includes("ro"),
    BindOptions: propagation === undefined ? null : { ...emptyBindOptions(), Propagation: propagation },
    VolumeOptions: noCopy || (volumeDriver !== "" && !isBind) ? { NoCopy: noCopy, Labels: null, Subpath: "", DriverConfig: volumeDriver !== "" && !isBind ? { Name: volumeDriver, Options: null } : null } : null,
  };
  try {
    checkMount(mount, false);
  } catch (error) {
    if (error instanceof MountError) throw systemError(`invalid volume specification: '${bind}': ${error.message}`);
    throw error;
  }
  return { mount, mode };
}

function splitBind(bind: string): { source: string; target: string; mode: string } {
  const parts = bind.split(":");
  const [first = "", second = "", third = ""] = parts;
  if (first === "" || parts.length > 3 || (parts.length === 2 && isValidMode(second))) throw systemError(`invalid volume specification: '${bind}'`);
  return parts.length === 1 ? { source: "", target: first, mode: "" } : { source: first, target: second, mode: third };
}

/** Words with commas, at most one of each group. */
function isValidMode(mode: string): boolean {
  if (mode === "") return true;
  const words = mode.split(",");
  const known = words.every((word) => MODE_GROUPS.some((group) => group.has(word)));
  return known && MODE_GROUPS.every((group) => words.filter((word) => group.has(word)).length <= 1);
}

/** "CONTAINER[:MODE]" of HostConfig.VolumesFrom. */
export function parseVolumesFrom(spec: string): { container: string; readonly: boolean } {
  if (spec === "") throw invalidParameter("volumes-from specification cannot be an empty string");
  const at = spec.indexOf(":");
  const mode = at < 0 ? "" : spec.slice(at + 1);
  const words = mode.split(",");
  if (!isValidMode(mode) || words.some((word) => PROPAGATIONS.has(word) || word === "nocopy")) throw invalidParameter(`invalid mode: ${mode}`);
  return { container: at < 0 ? spec : spec.slice(0, at), readonly: words.includes("ro") };
}

export const emptyBindOptions = (): NonNullable<Mount["BindOptions"]> => ({ Propagation: "", NonRecursive: false, CreateMountpoint: false, ReadOnlyNonRecursive: false, ReadOnlyForceRecursive: false });

const emptyMount = (): Mount => ({
  Type: "",
  Source: "",
  Target: "",
  ReadOnly: false,
  Consistency: "",
  BindOptions: null,
  VolumeOptions: null,
  ImageOptions: null,
  TmpfsOptions: null,
  ClusterOptions: null,
});

/** The options of a tmpfs mount as the kernel takes them, with commas. */
export function tmpfsOptions(mount: Mount): string {
  const { SizeBytes: size = 0, Mode: mode = 0, Options: options = null } = mount.TmpfsOptions ?? {};
  const result = mount.ReadOnly ? ["ro"] : [];
  if (mode !== 0) result.push(`mode=${mode.toString(8)}`);
  if (size !== 0) result.push(`size=${sizeWithUnit(size)}`);
  return [...result, ...(options ?? []).map((option) => (option ?? []).join("="))].join(",");
}

function sizeWithUnit(size: number): string {
  for (const [unit, bytes] of [["g", 2 ** 30], ["m", 2 ** 20], ["k", 2 ** 10]] as const) if (size % bytes === 0) return `${size / bytes}${unit}`;
  return String(size);
}
