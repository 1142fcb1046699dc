/** POST /containers/{name}/update */
import { updateRequestSchema } from "../../core/container-config.ts";
import type { ContainersContext } from "../../engine/containers/context.ts";
import { updateContainer } from "../../engine/containers/update.ts";
import { zero } from "../../lib/schema.ts";
import { atLeast, sendJson } from "../route.ts";
import type { Call } from "../route.ts";
import { readJson } from "../wire/body.ts";
import { decode } from "../wire/decode.ts";

export async function handleUpdate(context: ContainersContext, call: Call): Promise<void> {
  const json = await readJson(call);
  const request = json === undefined ? zero(updateRequestSchema) : decode(updateRequestSchema, json);
  if (!atLeast(call.version, 40)) request.PidsLimit = null;
  if (!atLeast(call.version, 55)) {
    request.BlkioWeightDevice = request.BlkioDeviceReadBps = request.BlkioDeviceWriteBps = request.BlkioDeviceReadIOps = request.BlkioDeviceWriteIOps = null;
  }
  // Any number of them, said explicitly: not the default limit.
  if (request.PidsLimit !== null) request.PidsLimit = Math.max(request.PidsLimit, 0);
  const warnings = await updateContainer(context, call.params["name"] as string, request);
  sendJson(call, 200, { Warnings: warnings.length === 0 ? null : warnings });
}
