/** start, stop, restart, kill, pause, unpause, wait, resize. */
import type { LifecycleContext } from "../../engine/containers/lifecycle/context.ts";
import { pause, unpause } from "../../engine/containers/lifecycle/pause.ts";
import { restart } from "../../engine/containers/lifecycle/restart.ts";
import { start } from "../../engine/containers/lifecycle/start.ts";
import { emit, taskOf } from "../../engine/containers/lifecycle/state.ts";
import { kill, stop, type StopOptions } from "../../engine/containers/lifecycle/stop.ts";
import { parseWaitCondition, wait } from "../../engine/containers/lifecycle/wait.ts";
import { invalidParameter, messageOf, systemError } from "../../lib/errors.ts";
import { atoi, terminalSize } from "../numbers.ts";
import { atLeast, boolQuery, sendEmpty, sendJson, type Call, type Route } from "../route.ts";

/** What a start takes the processes from, if it does. */
function checkpointIn({ query, confinement }: Pick<Call, "query" | "confinement">, experimental: boolean): { name: string; dir: string } | undefined {
  const id = query.get("checkpoint") ?? "";
  if (id === "") return undefined;
  confinement?.refuseCheckpoint();
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*[a-zA-Z0-9_-]$/.test(id)) throw invalidParameter(`invalid checkpoint ID ${JSON.stringify(id)}, only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  if (!experimental) throw invalidParameter("checkpoint is only supported in experimental mode");
  return { name: id, dir: query.get("checkpoint-dir") ?? "" };
}

export function lifecycleRoutes(context: LifecycleContext, { experimental }: { experimental: boolean }): Route[] {
  const name = (call: Call): string => call.params["name"] as string;
  return [
    {
      method: "POST",
      path: "/containers/{name...}/start",
      handler: async (call) => {
        const length = call.req.headers["content-length"];
        if (call.req.headers["transfer-encoding"] !== undefined || Number(length ?? 0) > 7) throw invalidParameter("starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24");
        const checkpoint = checkpointIn(call, experimental);
        await start(context, name(call), { trace: boolQuery(call.query, "trace"), ...(checkpoint && { checkpoint }) });
        sendEmpty(call, 204);
      },
    },
    {
      method: "POST",
      path: "/containers/{name...}/stop",
      handler: async (call) => {
        await stop(context, name(call), stopOptions(call));
        sendEmpty(call, 204);
      },
    },
    {
      method: "POST",
      path: "/containers/{name...}/restart",
      handler: async (call) => {
        await restart(context, name(call), restartOptions(call));
        sendEmpty(call, 204);
      },
    },
    {
      method: "POST",
      path: "/containers/{name...}/kill",
      handler: async (call) => {
        await kill(context, name(call), call.query.get("signal") ?? undefined);
        sendEmpty(call, 204);
      },
    },
    {
      method: "POST",
      path: "/containers/{name...}/pause",
      handler: async (call) => {
        await pause(context, name(call));
        sendEmpty(call, 204);
      },
    },
    {
      method: "POST",
      path: "/containers/{name...}/unpause",
      handler: async (call) => {
        await unpause(context, name(call));
        sendEmpty(call, 204);
      },
    },
    { method: "POST", path: "/containers/{name...}/wait", handler: (call) => handleWait(context, call, name(call)) },
    {
      method: "POST",
      path: "/containers/{name...}/resize",
      handler: async (call) => {
        const size = { height: terminalSize(call.query, "h", "height"), width: terminalSize(call.query, "w", "width") };
        const record = context.store.find(name(call));
        const task = taskOf(context, record);
        // Without a terminal there is nothing to resize, and Docker does not mind.
        if (record.config.Tty) await task.resize(size);
        emit(context, record, "resize", { height: String(size.height), width: String(size.width) });
        sendEmpty(call, 200);
      },
    },
    {
      method: "GET",
      path: "/containers/{name...}/start-trace",
      handler: (call) => sendJson(call, 200, { steps: context.live(context.store.find(name(call)).id).trace }),
    },
  ];
}

function stopOptions(call: Call): StopOptions {
  const timeout = call.query.get("t");
  const signal = atLeast(call.version, 42) ? call.query.get("signal") : null;
  return { ...(timeout ? { timeout: atoi(timeout) } : {}), ...(signal ? { signal } : {}) };
}

/** Docker answers 500, not 400, to a malformed timeout of restart. */
function restartOptions(call: Call): StopOptions {
  try {
    return stopOptions(call);
  } catch (error) {
    throw systemError(messageOf(error), error);
  }
}

/** The head is sent before the wait, so that a client knows that its wait was registered (API 1.30). */
async function handleWait(context: LifecycleContext, call: Call, name: string): Promise<void> {
  const condition = parseWaitCondition(atLeast(call.version, 30) ? (call.query.get("condition") ?? "") : "");
  const waiting = wait(context, name, condition, call.signal);
  const { receipts } = context.live(context.store.find(name).id);
  if (waiting instanceof Promise && atLeast(call.version, 30)) {
    call.res.writeHead(200, { "content-type": "application/json" });
    call.res.flushHeaders();
  }
  const result = await waiting;
  // Two connections of one client: it may look at this one first, and takes what it has of the output for all.
  await Promise.all([...receipts].map((received) => received()));
  const body = { StatusCode: result.exitCode, ...(result.error === "" ? {} : { Error: { Message: result.error } }) };
  if (call.res.headersSent) call.res.end(`${JSON.stringify(body)}\n`);
  else sendJson(call, 200, body);
}
