/** Checkpoints, which Docker has in its experimental mode. */
import { createCheckpoint, deleteCheckpoint, listCheckpoints } from "../../engine/containers/lifecycle/checkpoint.ts";
import type { LifecycleContext } from "../../engine/containers/lifecycle/context.ts";
import { bool, field, string, struct } from "../../lib/schema.ts";
import { sendEmpty, sendJson, type Route } from "../route.ts";
import { readBody } from "../wire/body.ts";

const createSchema = struct("CreateRequest", { CheckpointID: field(string), CheckpointDir: field(string), Exit: field(bool) });

export function checkpointRoutes(context: LifecycleContext): Route[] {
  return [
    {
      method: "POST",
      path: "/containers/{name...}/checkpoints",
      handler: async (call) => {
        const { CheckpointID: name, CheckpointDir: dir, Exit: exit } = await readBody(call, createSchema);
        await createCheckpoint(context, call.params["name"] as string, { name, dir, leaveRunning: !exit });
        sendEmpty(call, 201);
      },
    },
    {
      method: "GET",
      path: "/containers/{name...}/checkpoints",
      handler: (call) => {
        const names = listCheckpoints(context, call.params["name"] as string, call.query.get("dir") ?? "");
        sendJson(call, 200, names.length === 0 ? null : names.map((Name) => ({ Name })));
      },
    },
    {
      method: "DELETE",
      path: "/containers/{name...}/checkpoints/{checkpoint}",
      handler: (call) => {
        deleteCheckpoint(context, call.params["name"] as string, { name: call.params["checkpoint"] as string, dir: call.query.get("dir") ?? "" });
        sendEmpty(call, 204);
      },
    },
  ];
}
