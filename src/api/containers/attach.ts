/** POST /containers/{name}/attach, hijacked, and GET /containers/{name}/attach/ws. */
import type { Duplex } from "node:stream";
import { attach } from "../../engine/containers/lifecycle/attach.ts";
import type { LifecycleContext } from "../../engine/containers/lifecycle/context.ts";
import { logs } from "../../engine/containers/lifecycle/logs.ts";
import { emit } from "../../engine/containers/lifecycle/state.ts";
import { parseDetachKeys } from "../../lib/detach-keys.ts";
import { invalidParameter, messageOf } from "../../lib/errors.ts";
import { atLeast, boolQuery, type Call, type Route } from "../route.ts";
import { statusOf } from "../status.ts";
import { bridge, endClient } from "../streams.ts";
import { acceptWebSocket } from "../websocket.ts";

const RAW = "application/vnd.docker.raw-stream";
const MULTIPLEXED = "application/vnd.docker.multiplexed-stream";

/** How long the answer to a wait is held back for a client that does not read. */
const RECEIPT_MILLISECONDS = 100;

export function attachRoutes(context: LifecycleContext): Route[] {
  return [
    { method: "POST", path: "/containers/{name...}/attach", handler: (call) => handleAttach(context, call) },
    { method: "GET", path: "/containers/{name...}/attach/ws", handler: (call) => handleWebSocket(context, call) },
  ];
}

interface AttachQuery {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  stream: boolean;
  logs: boolean;
  keys: readonly number[];
}

function attachQuery(call: Call): AttachQuery {
  const text = call.query.get("detachKeys") ?? "";
  let keys: readonly number[];
  try {
    keys = parseDetachKeys(text);
  } catch {
    throw invalidParameter(`Invalid detach keys (${text}) provided`);
  }
  const flag = (name: string): boolean => boolQuery(call.query, name);
  return { stdin: flag("stdin"), stdout: flag("stdout"), stderr: flag("stderr"), stream: flag("stream"), logs: flag("logs"), keys };
}

async function handleAttach(context: LifecycleContext, call: Call): Promise<void> {
  const name = call.params["name"] as string;
  let query: AttachQuery;
  let attachment;
  try {
    query = attachQuery(call);
    attachment = attach(context, name, query);
  } catch (error) {
    return refuse(call, error);
  }
  const upgrade = call.req.headers.upgrade !== undefined;
  const client = call.hijack(upgrade && !attachment.tty && atLeast(call.version, 42) ? MULTIPLEXED : RAW);
  const { receipts } = context.live(context.store.find(name).id);
  const receipt = (): Promise<void> => call.received(RECEIPT_MILLISECONDS);
  if (!client.closed) receipts.add(receipt);
  client.once("close", () => receipts.delete(receipt));
  // Who carries hears of it.
  attachment.stream.catch(() => {});
  await call.received();
  await carry(context, name, query, attachment, client);
}

/** Docker has taken the connection over by the time it finds these errors: they are plain text up to the connection's end. */
function refuse(call: Call, error: unknown): void {
  call.res.shouldKeepAlive = false;
  call.res.removeHeader("transfer-encoding");
  call.res.writeHead(statusOf(error), { "content-type": RAW });
  call.res.end(`${messageOf(error)}\r\n`);
}

async function handleWebSocket(context: LifecycleContext, call: Call): Promise<void> {
  const name = call.params["name"] as string;
  context.store.find(name);
  if (call.req.headers.upgrade?.toLowerCase() !== "websocket") {
    call.res.writeHead(400);
    call.res.end("not websocket protocol");
    return;
  }
  const query = attachQuery(call);
  const attachment = attach(context, name, query);
  await carry(context, name, query, attachment, await acceptWebSocket(call));
}

async function carry(context: LifecycleContext, name: string, query: AttachQuery, attachment: ReturnType<typeof attach>, client: Duplex): Promise<void> {
  const gone = new AbortController();
  client.once("close", () => gone.abort(new Error("the client went away")));
  client.on("error", () => client.destroy());
  const record = context.store.find(name);
  // A start may fulfil it in the moment in which it is given up.
  const giveUp = (): void => void attachment.stream.then((late) => late.destroy(), () => {});
  try {
    if (client.destroyed) return giveUp();
    if (query.logs && (query.stdout || query.stderr)) await replay(context, name, query, client, gone.signal);
    if (!query.stream) return endClient(client);
    emit(context, record, "attach");
    const stream = await Promise.race([attachment.stream, new Promise<undefined>((resolve) => gone.signal.addEventListener("abort", () => resolve(undefined), { once: true }))]);
    if (!stream) return giveUp();
    const { OpenStdin, StdinOnce, Tty } = record.config;
    const endsWithInput = query.stdin && OpenStdin && (Tty || !StdinOnce);
    const outcome = await bridge(client, stream, { endsWithInput, ...(query.stdin && attachment.tty && { detachKeys: query.keys }) });
    if (outcome !== "detached") return;
    emit(context, record, "detach");
    endClient(client);
  } catch (error) {
    context.warn(`attach to ${name}: ${messageOf(error)}`);
    client.destroy();
  } finally {
    attachment.cancel();
  }
}

async function replay(context: LifecycleContext, name: string, query: AttachQuery, client: Duplex, signal: AbortSignal): Promise<void> {
  const { chunks } = await logs(context, name, { stdout: query.stdout, stderr: query.stderr, follow: false, timestamps: false, details: false, signal });
  for await (const chunk of chunks) {
    if (!client.write(chunk)) await new Promise<void>((resolve) => (client.once("drain", resolve), client.once("close", resolve)));
    if (signal.aborted) return;
  }
}
