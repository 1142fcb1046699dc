/** Files of containers: /containers/{name}/archive, /changes and /export. */
import type { ContainersContext } from "../../engine/containers/context.ts";
import { copyIn, copyOut, type PathStat, statPath } from "../../engine/containers/files/archive.ts";
import { changesOf, exportFiles } from "../../engine/containers/files/changes.ts";
import { bodyOf } from "../body.ts";
import { boolQuery, type Call, type Route, sendEmpty, sendJson } from "../route.ts";
import { sendBytes } from "../streams.ts";

export function fileRoutes(context: ContainersContext): Route[] {
  return [
    { method: "HEAD", path: "/containers/{name...}/archive", handler: (call) => handleStat(context, call) },
    { method: "GET", path: "/containers/{name...}/archive", handler: (call) => handleGet(context, call) },
    { method: "PUT", path: "/containers/{name...}/archive", handler: (call) => handlePut(context, call) },
    { method: "GET", path: "/containers/{name...}/changes", handler: async (call) => sendJson(call, 200, await changesOf(context, nameOf(call))) },
    { method: "GET", path: "/containers/{name...}/export", handler: (call) => exportFiles(context, nameOf(call), (bytes) => sendBytes(call, bytes, { "content-type": "application/octet-stream" })) },
  ];
}

const nameOf = (call: Call): string => call.params["name"] as string;
const pathOf = (call: Call): string => call.query.get("path") ?? "";
const statHeader = (stat: PathStat): Record<string, string> => ({ "x-docker-container-path-stat": Buffer.from(JSON.stringify(stat)).toString("base64") });

async function handleStat(context: ContainersContext, call: Call): Promise<void> {
  const stat = await statPath(context, nameOf(call), pathOf(call));
  call.res.writeHead(200, statHeader(stat));
  call.res.end();
}

async function handleGet(context: ContainersContext, call: Call): Promise<void> {
  await copyOut(context, nameOf(call), pathOf(call), ({ stat, bytes }) => sendBytes(call, bytes, { "content-type": "application/x-tar", ...statHeader(stat) }));
}

async function handlePut(context: ContainersContext, call: Call): Promise<void> {
  await copyIn(context, nameOf(call), { path: pathOf(call), bytes: bodyOf(call), keepKind: boolQuery(call.query, "noOverwriteDirNonDir"), copyOwner: boolQuery(call.query, "copyUIDGID") });
  sendEmpty(call, 200);
}
