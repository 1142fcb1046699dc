/** HostConfig.DeviceRequests: `--device vendor.com/class=name` and `--gpus`, both by the Container Device Interface. */
import type { HostConfig } from "../../../core/container-config.ts";
import type { DeviceDriver } from "../../../core/devices.ts";
import { systemError, type GantryError } from "../../../lib/errors.ts";
import type { OciSpec } from "../../../lib/oci-spec.ts";
import { quote } from "../../../lib/strconv.ts";

type DeviceRequest = NonNullable<HostConfig["DeviceRequests"]>[number];

/** Makers whose devices `--gpus` takes, in this order. */
const GPU_VENDORS = { nvidia: "nvidia.com/gpu", amd: "amd.com/gpu" };

/** Edits the configuration of a container that is about to start. `driver` is undefined where CDI is switched off. */
export async function injectDevices(spec: OciSpec, { DeviceRequests: requests }: HostConfig, driver: DeviceDriver | undefined): Promise<void> {
  for (const request of requests ?? []) {
    if (!driver) throw unknownDriver(request);
    const names = request.Driver === driver.id ? cdiNames(request) : await gpuNames(request, driver);
    if (names.length > 0) await driver.inject(spec, names);
  }
}

function cdiNames(request: DeviceRequest): string[] {
  if (request.Count !== 0) throw systemError("unexpected count in CDI device request");
  refuseOptions(request);
  return request.DeviceIDs ?? [];
}

function refuseOptions({ Options }: DeviceRequest): void {
  if (Object.keys(Options ?? {}).length > 0) throw systemError("unexpected options in CDI device request");
}

async function gpuNames(request: DeviceRequest, driver: DeviceDriver): Promise<string[]> {
  refuseOptions(request);
  const wanted = request.Driver === "" ? (request.Capabilities ?? []).find((list) => list?.includes("gpu")) : [request.Driver];
  if (!wanted) throw unknownDriver(request);
  const { names } = await driver.list();
  const named = Object.entries(GPU_VENDORS).filter(([vendor]) => wanted.includes(vendor));
  const candidates = named.length > 0 ? named : request.Driver === "" ? Object.entries(GPU_VENDORS) : [];
  const kind = candidates.map(([, one]) => one).find((one) => names.some((name) => name.startsWith(`${one}=`)));
  if (kind === undefined) throw request.Driver === "" ? systemError("failed to discover GPU vendor from CDI: no known GPU vendor found") : unknownDriver(request);
  return gpuIds(request).map((id) => (id.includes("=") ? id : `${kind}=${id}`));
}

function gpuIds({ Count: count, DeviceIDs: ids }: DeviceRequest): string[] {
  if (ids?.length) {
    if (count !== 0) throw systemError("cannot set both Count and DeviceIDs on device request");
    return ids;
  }
  return count < 0 ? ["all"] : Array.from({ length: count }, (_, index) => String(index));
}

function unknownDriver({ Driver, Capabilities }: DeviceRequest): GantryError {
  const capabilities = (Capabilities ?? []).map((list) => `[${(list ?? []).join(" ")}]`).join(" ");
  return systemError(`could not select device driver ${quote(Driver)} with capabilities: [${capabilities}]`);
}
