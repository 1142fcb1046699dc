/** Gantry's own routes of whole volumes: rename, clone, snapshot, labels, and archives of them. */
import { backUp, cloneVolume, type CopiesContext, restore } from "../../engine/volumes/copies.ts";
import { bodyOf } from "../body.ts";
import { boolQuery, sendEmpty, sendJson, type Call, type Route } from "../route.ts";
import { field, list, map, string, struct } from "../../lib/schema.ts";
import { sendBytes } from "../streams.ts";
import { readBody } from "../wire/body.ts";

const cloneSchema = struct("volume.CloneRequest", { Name: field(string), Labels: field(map(string)) });
const labelsSchema = struct("volume.LabelsRequest", { Add: field(map(string)), Remove: field(list(string)) });

/** To stand before those of `/volumes/{name...}`. */
export function volumeCopyRoutes(context: CopiesContext): Route[] {
  const clone = (snapshot: boolean) => async (call: Call): Promise<void> => {
    const { Name, Labels } = await readBody(call, cloneSchema);
    sendJson(call, 201, await cloneVolume(context, nameOf(call), { name: Name, labels: Labels ?? {}, snapshot, pause: pauses(call) }));
  };
  const relabel = async (call: Call): Promise<void> => {
    const { Add, Remove } = await readBody(call, labelsSchema);
    sendJson(call, 200, await context.volumes.relabel(nameOf(call), { add: Add ?? {}, remove: Remove ?? [] }));
  };
  const get = (call: Call): Promise<void> =>
    backUp(context, nameOf(call), { since: call.query.get("since") ?? "", pause: pauses(call) }, (bytes) => sendBytes(call, bytes, { "content-type": "application/x-tar" }));
  const put = async (call: Call): Promise<void> => {
    await restore(context, nameOf(call), { bytes: bodyOf(call), apply: boolQuery(call.query, "apply") });
    sendEmpty(call, 200);
  };
  return [
    { method: "POST", path: "/volumes/{name}/rename", handler: async (call) => sendJson(call, 200, await context.volumes.rename(nameOf(call), call.query.get("name") ?? "")) },
    { method: "POST", path: "/volumes/{name}/clone", handler: clone(false) },
    { method: "POST", path: "/volumes/{name}/snapshot", handler: clone(true) },
    { method: "POST", path: "/volumes/{name}/labels", handler: relabel },
    { method: "GET", path: "/volumes/{name}/archive", handler: get },
    { method: "PUT", path: "/volumes/{name}/archive", handler: put },
  ];
}

const nameOf = (call: Call): string => call.params["name"] as string;
const pauses = (call: Call): boolean => !call.query.has("pause") || boolQuery(call.query, "pause");
