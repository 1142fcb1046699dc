/** POST /commit */
import { configSchema } from "../../core/container-config.ts";
import { commitContainer } from "../../engine/containers/commit.ts";
import type { ContainersContext } from "../../engine/containers/context.ts";
import type { LifecycleContext } from "../../engine/containers/lifecycle/context.ts";
import { repositoryAndTag } from "../../engine/images/tag.ts";
import { invalidParameter } from "../../lib/errors.ts";
import { embed, fieldsOf, struct } from "../../lib/schema.ts";
import { boolQuery, type Call, type Route, sendJson } from "../route.ts";
import { readJson } from "../wire/body.ts";
import { decode } from "../wire/decode.ts";

const requestSchema = struct("container.commitRequest", embed("Config", fieldsOf(configSchema)));

export function commitRoutes(context: ContainersContext, lifecycle: LifecycleContext): Route[] {
  return [{ method: "POST", path: "/commit", handler: (call) => handleCommit(context, lifecycle, call) }];
}

async function handleCommit(context: ContainersContext, lifecycle: LifecycleContext, call: Call): Promise<void> {
  const { query } = call;
  const json = await readJson(call);
  const config = json === undefined || json === null ? undefined : decode(requestSchema, json);
  const reference = repositoryAndTag(query.get("repo") ?? "", query.get("tag") ?? "");
  const ref = query.get("container") ?? "";
  if (ref === "") throw invalidParameter('invalid name or ID supplied: ""');
  const id = await commitContainer(context, lifecycle, ref, {
    reference,
    config,
    changes: query.getAll("changes"),
    author: query.get("author") ?? "",
    comment: query.get("comment") ?? "",
    pause: !query.has("pause") || boolQuery(query, "pause"),
  });
  sendJson(call, 201, { Id: id });
}
