/**
 * The operations of the Engine API that other files may implement, by Docker's names. Whatever has no route yet is answered
 * with 501 and its name: a client can tell what is missing from what does not exist.
 */
import { notImplemented } from "../lib/errors.ts";
import type { Route } from "./route.ts";
import { readJson } from "./wire/body.ts";

type Operation = readonly [method: Route["method"], path: string, name: string];

const OPERATIONS: readonly Operation[] = [
  ["GET", "/containers/json", "ContainerList"],
  ["POST", "/containers/create", "ContainerCreate"],
  ["GET", "/containers/{id...}/json", "ContainerInspect"],
  ["GET", "/containers/{id...}/top", "ContainerTop"],
  ["GET", "/containers/{id...}/logs", "ContainerLogs"],
  ["GET", "/containers/{id...}/changes", "ContainerChanges"],
  ["GET", "/containers/{id...}/export", "ContainerExport"],
  ["GET", "/containers/{id...}/stats", "ContainerStats"],
  ["POST", "/containers/{id...}/resize", "ContainerResize"],
  ["POST", "/containers/{id...}/start", "ContainerStart"],
  ["POST", "/containers/{id...}/stop", "ContainerStop"],
  ["POST", "/containers/{id...}/restart", "ContainerRestart"],
  ["POST", "/containers/{id...}/kill", "ContainerKill"],
  ["POST", "/containers/{id...}/update", "ContainerUpdate"],
  ["POST", "/containers/{id...}/rename", "ContainerRename"],
  ["POST", "/containers/{id...}/pause", "ContainerPause"],
  ["POST", "/containers/{id...}/unpause", "ContainerUnpause"],
  ["POST", "/containers/{id...}/attach", "ContainerAttach"],
  ["GET", "/containers/{id...}/attach/ws", "ContainerAttachWebsocket"],
  ["POST", "/containers/{id...}/wait", "ContainerWait"],
  ["DELETE", "/containers/{id...}", "ContainerDelete"],
  ["HEAD", "/containers/{id...}/archive", "ContainerArchiveInfo"],
  ["GET", "/containers/{id...}/archive", "ContainerArchive"],
  ["PUT", "/containers/{id...}/archive", "PutContainerArchive"],
  ["POST", "/containers/prune", "ContainerPrune"],
  ["GET", "/images/json", "ImageList"],
  ["POST", "/build", "ImageBuild"],
  ["POST", "/build/prune", "BuildPrune"],
  ["POST", "/images/create", "ImageCreate"],
  ["GET", "/images/{name...}/json", "ImageInspect"],
  ["GET", "/images/{name...}/attestations", "ImageAttestations"],
  ["GET", "/images/{name...}/history", "ImageHistory"],
  ["POST", "/images/{name...}/push", "ImagePush"],
  ["POST", "/images/{name...}/tag", "ImageTag"],
  ["DELETE", "/images/{name...}", "ImageDelete"],
  ["GET", "/images/search", "ImageSearch"],
  ["POST", "/images/prune", "ImagePrune"],
  ["POST", "/commit", "ImageCommit"],
  ["GET", "/system/df", "SystemDataUsage"],
  ["GET", "/images/{name...}/get", "ImageGet"],
  ["GET", "/images/get", "ImageGetAll"],
  ["POST", "/images/load", "ImageLoad"],
  ["POST", "/containers/{id...}/exec", "ContainerExec"],
  ["POST", "/exec/{id...}/start", "ExecStart"],
  ["POST", "/exec/{id...}/resize", "ExecResize"],
  ["GET", "/exec/{id...}/json", "ExecInspect"],
  ["GET", "/volumes", "VolumeList"],
  ["POST", "/volumes/create", "VolumeCreate"],
  ["GET", "/volumes/{name...}", "VolumeInspect"],
  ["PUT", "/volumes/{name...}", "VolumeUpdate"],
  ["DELETE", "/volumes/{name...}", "VolumeDelete"],
  ["POST", "/volumes/prune", "VolumePrune"],
  ["GET", "/networks", "NetworkList"],
  ["GET", "/networks/{id...}", "NetworkInspect"],
  ["DELETE", "/networks/{id...}", "NetworkDelete"],
  ["POST", "/networks/create", "NetworkCreate"],
  ["POST", "/networks/{id...}/connect", "NetworkConnect"],
  ["POST", "/networks/{id...}/disconnect", "NetworkDisconnect"],
  ["POST", "/networks/prune", "NetworkPrune"],
];

/** Routes for the operations that none of `routes` serves. `requireContainer` throws for containers that do not exist: that is told first. */
export function unsupportedRoutes(routes: readonly Route[], requireContainer: (ref: string) => unknown): Route[] {
  const served = new Set(routes.map((route) => shapeOf(route.method, route.path)));
  const missing = OPERATIONS.filter(([method, path]) => !served.has(shapeOf(method, path)));
  return [...missing.map((operation) => refusal(operation, requireContainer)), ...experimental.filter(({ method, path }) => !served.has(shapeOf(method, path)))];
}

/** Operations whose body is a JSON document: a malformed one is told first. */
const WITH_DOCUMENT = new Set(["ImageCommit", "VolumeCreate", "VolumeUpdate"]);

const shapeOf = (method: string, path: string): string => `${method} ${path.replace(/\{[^}]*\}/g, "{}")}`;

function refusal([method, path, name]: Operation, requireContainer: (ref: string) => unknown): Route {
  return {
    method,
    path,
    handler: async (call) => {
      if (WITH_DOCUMENT.has(name)) await readJson(call);
      if (path.startsWith("/containers/{")) requireContainer(call.params["id"] as string);
      throw notImplemented(`${name} (${method} ${path.replaceAll("...", "")}) is not supported yet`);
    },
  };
}

/** Docker has these in its experimental mode only. */
const experimental: Route[] = (
  [
    ["GET", "/containers/{name...}/checkpoints"],
    ["POST", "/containers/{name...}/checkpoints"],
    ["DELETE", "/containers/{name}/checkpoints/{checkpoint}"],
  ] as const
).map(([method, path]) => ({
  method,
  path,
  handler: () => {
    throw notImplemented("This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.");
  },
}));
