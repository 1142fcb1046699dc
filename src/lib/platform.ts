/** Platforms as "linux/amd64" or "linux/arm/v7": the rules and messages of containerd's platforms package. */
import { invalidParameter } from "./errors.ts";
import { quote } from "./strconv.ts";

export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
  "os.version"?: string;
}

const SYSTEMS = new Set("aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos".split(" "));
const ARCHITECTURES = new Set("386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm".split(" "));
const ARCHITECTURE_ALIASES: Record<string, [architecture: string, variant?: string]> = {
  i386: ["386"],
  x86_64: ["amd64"],
  "x86-64": ["amd64"],
  aarch64: ["arm64"],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};

const SYSTEM_FORM = "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)((?:\\+[A-Za-z0-9_.%-]+)*)\\))?$";

/** The platform of a specifier; parts that it leaves out are this machine's. */
export function parsePlatform(specifier: string, host: Platform = hostPlatform()): Platform {
  const fail = (reason: string): never => {
    throw invalidParameter(`${quote(specifier)}: ${reason}: invalid argument`);
  };
  if (specifier.includes("*")) fail("wildcards not yet supported");
  const parts = specifier.split("/");
  const system = parts[0] ?? "";
  if (!new RegExp(SYSTEM_FORM).test(system)) throw invalidParameter(`${quote(system)} is an invalid OS component of ${quote(specifier)}: OSAndVersion specifier component must match ${quote(SYSTEM_FORM)}: invalid argument`);
  for (const part of parts.slice(1)) {
    if (!/^[A-Za-z0-9_.-]+$/.test(part)) throw invalidParameter(`${quote(part)} is an invalid component of ${quote(specifier)}: platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument`);
  }
  const [first = "", second = "", third] = parts;
  if (parts.length > 3) fail("cannot parse platform specifier");
  if (parts.length === 3) return { os: systemOf(first), ...named(architectureOf(second, third)) };
  if (parts.length === 2) return { os: systemOf(first), ...architectureOf(second) };
  if (SYSTEMS.has(systemOf(first))) return { ...host, os: systemOf(first) };
  const known = architectureOf(first);
  return ARCHITECTURES.has(known.architecture) ? { os: host.os, ...known } : fail("unknown operating system or architecture");
}

/** A platform of three parts keeps its third, also where it is the usual one. */
const named = (platform: { architecture: string; variant?: string }): { architecture: string; variant?: string } =>
  platform.architecture === "arm64" && platform.variant === undefined ? { ...platform, variant: "v8" } : platform;

const systemOf = (name: string): string => (name.toLowerCase() === "macos" ? "darwin" : name.toLowerCase());

function architectureOf(name: string, variant?: string): { architecture: string; variant?: string } {
  const lower = name.toLowerCase();
  const [architecture, implied] = (Object.hasOwn(ARCHITECTURE_ALIASES, lower) ? ARCHITECTURE_ALIASES[lower] : undefined) ?? [lower];
  const asked = variant?.toLowerCase() ?? implied ?? (architecture === "arm" ? "v7" : undefined);
  const isBaseline = (architecture === "arm64" && (asked === "v8" || asked === "8")) || (architecture === "amd64" && asked === "v1");
  return asked === undefined || isBaseline ? { architecture } : { architecture, variant: asked };
}

export const formatPlatform = ({ os, architecture, variant }: Platform): string => [os, architecture, ...(variant === undefined || variant === "" ? [] : [variant])].join("/");

/** This machine. */
export const hostPlatform = (): Platform => ({ os: "linux", ...architectureOf(process.arch === "x64" ? "amd64" : process.arch === "ia32" ? "386" : process.arch) });

/** How well an image of one platform serves another: 0 is exact, less is better, undefined is not at all. Machines run their older variants and their 32-bit predecessors. */
export function platformDistance(asked: Platform, image: Platform): number | undefined {
  if (asked.os !== image.os) return undefined;
  const [own, other] = [generationOf(asked), generationOf(image)];
  if (own === undefined || other === undefined) return asked.architecture === image.architecture && (asked.variant ?? "") === (image.variant ?? "") ? 0 : undefined;
  return own.family === other.family && other.generation <= own.generation ? own.generation - other.generation : undefined;
}

/** x86: 386 before amd64 v1 to v4; Arm: v5 to v7 before arm64. */
function generationOf({ architecture, variant }: Platform): { family: string; generation: number } | undefined {
  const number = Number(/^v?(\d+)/.exec(variant ?? "")?.[1] ?? Number.NaN);
  switch (architecture) {
    case "386":
      return { family: "x86", generation: 0 };
    case "amd64":
      return { family: "x86", generation: Number.isNaN(number) ? 1 : number };
    case "arm":
      return { family: "arm", generation: Number.isNaN(number) ? 7 : number };
    case "arm64":
      return { family: "arm", generation: Number.isNaN(number) ? 8 : number };
    default:
      return undefined;
  }
}
