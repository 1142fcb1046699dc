/**
 * What `inspect --format` works on. Docker tries the template on its typed value first, then on the raw JSON. Typed values
 * tell nil lists, maps and pointers apart, know fields that the JSON leaves out when they are empty, and call some fields
 * by Go's spelling (ID, DNS, CPUShares).
 */
import { formatDuration } from "../../lib/strconv.ts";
import { mapOf, Nil, TemplateObject } from "../../lib/template/values.ts";

const words = (text: string): Set<string> => new Set(text.split(" "));

const MAPS = words("Labels Volumes ExposedPorts PortBindings Ports Options DriverOpts Tmpfs Sysctls StorageOpt Annotations Networks Containers Config.LogConfig Data Status Details Runtimes Metadata Attributes");
/** Those of strings. */
const STRING_MAPS = words("Labels Options DriverOpts Tmpfs Sysctls StorageOpt Annotations Config.LogConfig");
const SLICES = words(
  "Entrypoint Cmd Env OnBuild Binds VolumesFrom CapAdd CapDrop Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links SecurityOpt Devices DeviceCgroupRules DeviceRequests Ulimits BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps MaskedPaths ReadonlyPaths ExecIDs Aliases DNSNames RepoTags RepoDigests Shell Args Mounts SecondaryIPAddresses SecondaryIPv6Addresses Layers Log Test Warnings DriverStatus LinkLocalIPs Authorization",
);

const nil = (typeName: string): Nil => new Nil("pointer", typeName);

/** Fields that the JSON leaves out when empty, by the key of the object that has them. */
const LEFT_OUT: Record<string, Record<string, unknown>> = {
  "": { SizeRw: nil("*int64"), SizeRootFs: nil("*int64"), ImageManifestDescriptor: nil("*v1.Descriptor"), Descriptor: nil("*v1.Descriptor"), Variant: "", OsVersion: "", Comment: "", Author: "", GraphDriver: nil("*storage.DriverData"), Status: new Nil("map", "map[string]interface {}"), UsageData: nil("*volume.UsageData"), ClusterVolume: nil("*volume.ClusterVolume"), Manifests: new Nil("slice", "[]image.ManifestSummary") },
  State: { Health: nil("*container.Health") },
  Config: { User: "", WorkingDir: "", Env: new Nil("slice", "[]string"), Cmd: new Nil("slice", "[]string"), Entrypoint: new Nil("slice", "[]string"), Volumes: new Nil("map", "map[string]struct {}"), Labels: new Nil("map", "map[string]string"), ExposedPorts: new Nil("map", "network.PortSet"), Healthcheck: nil("*container.HealthConfig"), ArgsEscaped: false, NetworkDisabled: false, StopSignal: "", StopTimeout: nil("*int"), Shell: new Nil("slice", "[]string"), OnBuild: new Nil("slice", "[]string"), MacAddress: "" },
  HostConfig: { Init: nil("*bool"), Runtime: "", StorageOpt: new Nil("map", "map[string]string"), Tmpfs: new Nil("map", "map[string]string"), Sysctls: new Nil("map", "map[string]string"), Annotations: new Nil("map", "map[string]string"), Mounts: new Nil("slice", "[]mount.Mount") },
  Mounts: { Name: "", Driver: "" },
  RestartPolicy: { MaximumRetryCount: 0 },
};

/** The capital letters of a name: Go writes ID where the JSON has Id. */
const capitals = (name: string): number => name.replace(/[^A-Z]/g, "").length;

class Struct extends TemplateObject {
  readonly #leftOut: Record<string, unknown>;
  readonly #isInJson: (name: string) => boolean;

  constructor(members: Record<string, unknown>, leftOut: Record<string, unknown>, isInJson: (name: string) => boolean = () => true) {
    super("struct", members);
    this.#leftOut = leftOut;
    this.#isInJson = isInJson;
  }

  override toJSON(): unknown {
    return Object.fromEntries(Object.entries(super.toJSON() as Record<string, unknown>).filter(([name]) => this.#isInJson(name)));
  }

  override resolve(name: string): string | undefined {
    if (Object.hasOwn(this.members, name)) return name;
    const lower = name.toLowerCase();
    const spelled = Object.keys(this.members).find((key) => key.toLowerCase() === lower && capitals(name) > capitals(key));
    if (spelled !== undefined) return spelled;
    if (!Object.hasOwn(this.#leftOut, name)) return undefined;
    Object.defineProperty(this.members, name, { value: this.#leftOut[name], enumerable: false, configurable: true });
    return name;
  }
}

/** A number of nanoseconds that prints as Go's time.Duration. */
class Duration extends TemplateObject {
  readonly #nanoseconds: number;

  constructor(nanoseconds: number) {
    super("time.Duration", {}, { text: () => formatDuration(nanoseconds) });
    this.#nanoseconds = nanoseconds;
  }

  override toJSON(): unknown {
    return this.#nanoseconds;
  }
}

const DURATIONS = words("Interval Timeout StartPeriod StartInterval");

/** All fields, in Go's order; the JSON leaves out those that are zero. */
function healthcheck(given: Record<string, unknown>): Struct {
  const order = ["Test", ...DURATIONS, "Retries"];
  const members = Object.fromEntries(order.map((name) => [name, DURATIONS.has(name) ? new Duration(Number(given[name] ?? 0)) : typedValue(given[name] ?? (name === "Test" ? null : 0), name)]));
  return new Struct(members, {}, (name) => Object.hasOwn(given, name));
}

export function typedValue(value: unknown, key = ""): unknown {
  if (value === null) {
    if (SLICES.has(key)) return new Nil("slice", "[]string");
    return MAPS.has(key) ? new Nil("map", "map[string]string") : nil("*interface {}");
  }
  if (Array.isArray(value)) return value.map((item) => typedValue(item, key));
  if (typeof value !== "object") return value;
  if (key === "Healthcheck") return healthcheck(value as Record<string, unknown>);
  const isMap = MAPS.has(key);
  const members: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) members[name] = typedValue(item, isMap ? "" : name === "Config" && key === "LogConfig" ? "Options" : name);
  if (isMap) return STRING_MAPS.has(key) ? mapOf(members, "") : members;
  return new Struct(members, LEFT_OUT[key] ?? {});
}
