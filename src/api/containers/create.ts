/** POST /containers/create */
import { configSchema, createRequestSchema, emptyHostConfig } from "../../core/container-config.ts";
import type { ContainerConfig } from "../../core/container-config.ts";
import type { ContainersContext } from "../../engine/containers/context.ts";
import { createContainer, planContainer } from "../../engine/containers/create.ts";
import { validateRequest } from "../../engine/containers/validate/request.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { parsePlatform } from "../../lib/platform.ts";
import { fieldsOf } from "../../lib/schema.ts";
import { atLeast, boolQuery, sendJson, sendText } from "../route.ts";
import type { Call } from "../route.ts";
import { readJson } from "../wire/body.ts";
import { decode } from "../wire/decode.ts";
import { JsonObject } from "../wire/json-tree.ts";
import type { Json } from "../wire/json-tree.ts";
import { adaptToVersion } from "./create-compat.ts";
import type { CreateBody } from "./create-compat.ts";

export async function handleCreate(context: ContainersContext, call: Call): Promise<void> {
  const json = await readJson(call);
  if (json === undefined) throw invalidParameter("invalid JSON: EOF");
  const body = decodeCreate(json);
  validateRequest(body.config, body.hostConfig, context.kernel);
  call.confinement?.checkCreate(body, (network) => context.findNetwork(network)?.name);
  useDefaultNetwork(body);
  const minor = call.version[1];
  const platform = atLeast(call.version, 41) ? (call.query.get("platform") ?? "") : "";
  const parsed = platform === "" ? undefined : parsePlatform(platform, context.settings.hostPlatform);
  const warnings = adaptToVersion(body, minor, context.kernel);
  const options = {
    name: call.query.get("name") ?? "",
    config: body.config,
    hostConfig: body.hostConfig,
    networkingConfig: body.networkingConfig,
    ...(parsed && { platform: parsed }),
    readOnlyNonRecursive: !atLeast(call.version, 44),
  };
  if (boolQuery(call.query, "dryRun")) return sendText(call, await planContainer(context, options));
  const created = await createContainer(context, options);
  sendJson(call, 201, { Id: created.id, Warnings: [...created.warnings, ...warnings] });
}

const configNames = new Set(Object.keys(fieldsOf(configSchema)).map((name) => name.toLowerCase()));

function decodeCreate(json: Json): CreateBody {
  const { HostConfig, NetworkingConfig, ...config } = decode(createRequestSchema, json);
  const hasConfig = json instanceof JsonObject && json.entries.some(([key]) => configNames.has(key.toLowerCase()));
  if (!hasConfig) throw invalidParameter("config cannot be empty in order to create a container");
  const hostConfig = HostConfig ?? emptyHostConfig();
  hostConfig.PortBindings ??= {};
  return { config: { ...(config as ContainerConfig), Volumes: config.Volumes ?? {} }, hostConfig, networkingConfig: NetworkingConfig ?? { EndpointsConfig: null }, json };
}

/** The mode "default" is the bridge network, and so is an endpoint of that name. */
function useDefaultNetwork({ hostConfig, networkingConfig }: CreateBody): void {
  if (hostConfig.NetworkMode !== "" && hostConfig.NetworkMode !== "default") return;
  hostConfig.NetworkMode = "bridge";
  const endpoints = networkingConfig.EndpointsConfig;
  const endpoint = endpoints?.["default"];
  if (!endpoints || !endpoint) return;
  endpoints["bridge"] = endpoint;
  delete endpoints["default"];
}
