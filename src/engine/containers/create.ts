/**
 * Making a container: checks, the image's defaults, a name, mount points, the writable layer, the record. Nothing is left
 * when a step fails. Nothing runs yet.
 */
import type { ContainerConfig, HostConfig, NetworkingConfig } from "../../core/container-config.ts";
import type { ContainerRecord, ImageManifest } from "../../core/container.ts";
import type { ImageForRun } from "../../core/image.ts";
import { nowNanoseconds } from "../../lib/clock.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { faultPoint } from "../../lib/fault.ts";
import { formatPlatform, platformDistance } from "../../lib/platform.ts";
import type { Platform } from "../../lib/platform.ts";
import { randomId } from "../../lib/random-id.ts";
import { adaptHostConfig } from "./adapt.ts";
import type { ContainersContext } from "./context.ts";
import { healthCheckOf } from "./health/health-state.ts";
import { RESTART_UNHEALTHY, restartsUnhealthy } from "./health/restart-unhealthy.ts";
import { checkLinks } from "./links.ts";
import { emit } from "./lifecycle/state.ts";
import { mergeImage, requireCommand } from "./merge-image.ts";
import { withImages } from "./mounts/images.ts";
import { resolveMountPoints } from "./mounts/points.ts";
import type { MountPlan } from "./mounts/points.ts";
import { withVolumes } from "./mounts/volumes.ts";
import { checkName, inventName } from "./names.ts";
import { validateConfig, validateHostname } from "./validate/config.ts";
import { useNetworkNames, validateNetworkingConfig } from "./validate/endpoints.ts";
import { validateHostConfig, verifyPlatform } from "./validate/host-config.ts";
import { validateLogConfig } from "./validate/log-config.ts";
import { mappedMounts, mapsOf } from "./user-namespace.ts";
import { parseSecurityOptions } from "./validate/security-options.ts";
import { checkWorkingDir } from "./working-dir.ts";

/** Becomes the container's own: it is changed and kept. */
export interface CreateOptions {
  /** "" for an invented one. */
  name: string;
  config: ContainerConfig;
  hostConfig: HostConfig;
  networkingConfig: NetworkingConfig;
  platform?: Platform;
  /** API versions below 1.44: read-only binds do not cover what is mounted below them. */
  readOnlyNonRecursive?: boolean;
}

export interface Created {
  id: string;
  warnings: string[];
}

export async function createContainer(context: ContainersContext, options: CreateOptions): Promise<Created> {
  const { record, image, plan, warnings } = await prepare(context, options);
  await store(context, record, { image, plan });
  emit(context, record, "create");
  return { id: record.id, warnings };
}

/** What making and starting such a container would do, for people to read. Nothing is done. */
export async function planContainer(context: ContainersContext, options: CreateOptions): Promise<string> {
  const { record, image } = await prepare(context, options);
  return context.tasks.explain(record, mappedMounts(await context.layers.planned(record.id, image), mapsOf(context.settings, record)));
}

/** Everything that is decided before anything is made. */
async function prepare(context: ContainersContext, options: CreateOptions): Promise<{ record: ContainerRecord; image: ImageForRun | undefined; plan: MountPlan; warnings: string[] }> {
  const { config, hostConfig, networkingConfig } = options;
  hostConfig.RestartPolicy.Name ||= "no";
  const warnings = validate(context, options);
  const image = await findImage(context, options, warnings);
  validateNetworkingConfig(networkingConfig, (network) => context.findNetwork(network)?.subnets);
  useNetworkNames(networkingConfig, hostConfig.NetworkMode, (ref) => context.findNetwork(ref)?.name);
  adaptHostConfig(hostConfig, context);
  if (hostConfig.NetworkMode === "bridge" && (hostConfig.Links?.length ?? 0) > 0) {
    warnings.push("Links on the default bridge network are deprecated and will be removed in a future release. Use a custom network instead.");
  }
  if (image) mergeImage(config, image.config);
  requireCommand(config);
  if (restartsUnhealthy(hostConfig) && !healthCheckOf(config.Healthcheck, config.Shell)) throw invalidParameter(`the annotation ${RESTART_UNHEALTHY} needs a health check, and the container has none`);
  validateLogConfig(hostConfig.LogConfig, context.settings.logConfig);
  const record = newRecord(context, options, image);
  parseSecurityOptions(hostConfig.SecurityOpt);
  checkLinks(hostConfig, (ref) => context.store.find(ref));
  const plan = await resolveMountPoints(hostConfig, config.Volumes, {
    checkVolume: (request) => context.volumes.validate(request),
    findContainer: (ref) => context.store.find(ref),
    resolveImage: async (ref) => context.images.resolve(ref),
    dataRoot: context.settings.dataRoot,
    readOnlyNonRecursive: options.readOnlyNonRecursive ?? false,
  });
  record.mounts = plan.points;
  return { record, image, plan, warnings };
}

/** In Docker's order. */
function validate(context: ContainersContext, { config, hostConfig }: CreateOptions): string[] {
  validateConfig(config);
  validateHostConfig(hostConfig);
  validateHostname(config);
  return verifyPlatform(hostConfig, { ...context.settings, kernel: context.kernel });
}

async function findImage(context: ContainersContext, { config, platform }: CreateOptions, warnings: string[]): Promise<ImageForRun | undefined> {
  if (config.Image === "") return undefined;
  const image = await context.images.resolve(config.Image, platform);
  const { hostPlatform } = context.settings;
  if (!platform && platformDistance(hostPlatform, image.platform) === undefined) {
    warnings.push(`The requested image's platform (${formatPlatform(image.platform)}) does not match the detected host platform (${formatPlatform(hostPlatform)}) and no specific platform was requested`);
  }
  return image;
}

function newRecord(context: ContainersContext, options: CreateOptions, image: ImageForRun | undefined): ContainerRecord {
  const id = newId();
  const name = options.name === "" ? inventName(id, (taken) => context.store.byName(taken) !== undefined) : checkName(options.name);
  context.store.checkName(name);
  const { config, hostConfig, networkingConfig } = options;
  if (config.Hostname === "") config.Hostname = hostConfig.NetworkMode === "host" ? context.settings.hostname : id.slice(0, 12);
  const manifest = image && manifestOf(image);
  return {
    id,
    name,
    createdAt: nowNanoseconds(),
    imageId: image?.id ?? "",
    imageRef: config.Image,
    ...(manifest && { imageManifest: manifest }),
    config,
    hostConfig,
    networkingConfig,
    storageDriver: context.layers.driver,
    mounts: [],
    state: { status: "created" },
    restartCount: 0,
    stoppedByUser: false,
  };
}

function manifestOf(image: ImageForRun): ImageManifest {
  const { mediaType, digest, size } = image.manifest;
  const { os, architecture, variant } = image.platform;
  return { mediaType, digest, size, platform: { architecture, os, ...(variant !== undefined && { variant }) } };
}

/** 64 hexadecimal digits whose first twelve are not a number: a short id is a host name. */
function newId(): string {
  for (;;) {
    const id = randomId();
    if (!/^\d{12}/.test(id)) return id;
  }
}

async function store(context: ContainersContext, record: ContainerRecord, { image, plan }: { image: ImageForRun | undefined; plan: MountPlan }): Promise<void> {
  await context.layers.create(record.id, image, record.hostConfig.StorageOpt ?? {});
  try {
    faultPoint("create-layer");
    await checkWorkingDir(context.layers, record);
    await withImages(context, record, { wanted: plan.images, rest: () => withVolumes(context, record, { wanted: plan.volumes, rest: () => context.store.add(record) }) });
  } catch (error) {
    await context.layers.remove(record.id);
    throw error;
  }
  faultPoint("create-saved");
}
