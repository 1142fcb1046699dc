/** Execs: create, start (hijacked), resize, inspect. */
import { list, string, bool, struct, field, goUint, nullable, tuple } from "../../lib/schema.ts";
import type { ExecService } from "../../engine/containers/exec/exec.ts";
import type { ExecInstance } from "../../engine/containers/exec/instance.ts";
import { parseDetachKeys } from "../../lib/detach-keys.ts";
import { messageOf, systemError } from "../../lib/errors.ts";
import { frame } from "../../lib/multiplex.ts";
import { terminalSize } from "../numbers.ts";
import { atLeast, sendEmpty, sendJson, type Call, type Route } from "../route.ts";
import { bridge, endClient, framing, unframing } from "../streams.ts";
import { readBody } from "../wire/body.ts";

const createSchema = struct("ExecCreateRequest", {
  User: field(string),
  Privileged: field(bool),
  Tty: field(bool),
  ConsoleSize: field(nullable(tuple(goUint, 2))),
  AttachStdin: field(bool),
  AttachStderr: field(bool),
  AttachStdout: field(bool),
  DetachKeys: field(string),
  Env: field(list(string)),
  WorkingDir: field(string),
  Cmd: field(list(string)),
});

const startSchema = struct("ExecStartRequest", {
  Detach: field(bool),
  Tty: field(bool),
  ConsoleSize: field(nullable(tuple(goUint, 2))),
});

export function execRoutes(execs: ExecService): Route[] {
  return [
    { method: "POST", path: "/containers/{name...}/exec", handler: (call) => handleCreate(execs, call) },
    { method: "POST", path: "/exec/{id}/start", handler: (call) => handleStart(execs, call) },
    {
      method: "POST",
      path: "/exec/{id}/resize",
      handler: async (call) => {
        const size = { height: terminalSize(call.query, "h", "height"), width: terminalSize(call.query, "w", "width") };
        await execs.resize(call.params["id"] as string, size);
        sendEmpty(call, 200);
      },
    },
    {
      method: "POST",
      path: "/exec/{id}/kill",
      handler: async (call) => {
        await execs.kill(call.params["id"] as string, call.query.get("signal") ?? "");
        sendEmpty(call, 204);
      },
    },
    { method: "GET", path: "/exec/{id}/json", handler: (call) => sendJson(call, 200, inspected(execs.get(call.params["id"] as string))) },
  ];
}

async function handleCreate(execs: ExecService, call: Call): Promise<void> {
  const body = await readBody(call, createSchema);
  call.confinement?.checkExec(body);
  try {
    parseDetachKeys(body.DetachKeys);
  } catch {
    throw systemError(`Invalid escape keys (${body.DetachKeys}) provided`);
  }
  const id = await execs.create(call.params["name"] as string, {
    user: body.User,
    privileged: body.Privileged,
    tty: body.Tty,
    consoleSize: sizeOf(body.ConsoleSize),
    attachStdin: body.AttachStdin,
    attachStdout: body.AttachStdout,
    attachStderr: body.AttachStderr,
    detachKeys: body.DetachKeys,
    env: body.Env ?? [],
    workingDir: body.WorkingDir,
    cmd: body.Cmd ?? [],
  });
  sendJson(call, 201, { Id: id });
}

const sizeOf = (size: number[] | null): { height: number; width: number } | undefined => (size && ((size[0] ?? 0) > 0 || (size[1] ?? 0) > 0) ? { height: size[0] ?? 0, width: size[1] ?? 0 } : undefined);

async function handleStart(execs: ExecService, call: Call): Promise<void> {
  const body = await readBody(call, startSchema);
  const instance = execs.startable(call.params["id"] as string);
  const consoleSize = sizeOf(body.ConsoleSize);
  const options = { detach: body.Detach, ...(consoleSize ? { consoleSize } : {}) };
  if (body.Detach) {
    await execs.start(instance, options);
    return sendEmpty(call, 200);
  }
  await carry(execs, call, instance, { tty: body.Tty, options });
}

/** Errors after the connection was taken over are written into the stream, as Docker does. */
async function carry(execs: ExecService, call: Call, instance: ExecInstance, request: { tty: boolean; options: { detach: boolean; consoleSize?: { height: number; width: number } } }): Promise<void> {
  const { config } = instance;
  const upgrade = call.req.headers.upgrade !== undefined;
  const multiplexed = upgrade && !request.tty && atLeast(call.version, 42);
  const client = call.hijack(multiplexed ? "application/vnd.docker.multiplexed-stream" : "application/vnd.docker.raw-stream");
  client.on("error", () => client.destroy());
  const fail = (text: string): void => {
    const line = Buffer.from(`${text}\r\n`);
    client.write(request.tty ? line : frame(1, line));
    endClient(client);
  };
  let stream;
  try {
    stream = await execs.start(instance, request.options);
  } catch (error) {
    await call.received();
    return fail(messageOf(error));
  }
  stream?.on("error", () => {});
  await call.received();
  if (!stream) {
    await execs.ended(instance);
    return endClient(client);
  }
  const output = config.tty === request.tty ? undefined : config.tty ? framing() : unframing();
  const outcome = await bridge(client, stream, {
    exited: execs.ended(instance),
    ...(config.attachStdin && config.tty ? { detachKeys: parseDetachKeys(config.detachKeys) } : {}),
    ...(output ? { output } : {}),
  });
  if (outcome !== "detached") return;
  execs.detached(instance);
  fail("exec attach failed: error on attach stdin: read escape sequence");
}

function inspected(instance: ExecInstance): Record<string, unknown> {
  const { config, state } = instance;
  return {
    ID: instance.id,
    Running: state.status === "running",
    ExitCode: state.status === "exited" ? state.exitCode : null,
    ProcessConfig: { tty: config.tty, entrypoint: config.cmd[0] ?? "", arguments: config.cmd.slice(1), privileged: config.privileged, ...(config.user === "" ? {} : { user: config.user }) },
    OpenStdin: config.attachStdin,
    OpenStderr: config.attachStderr,
    OpenStdout: config.attachStdout,
    CanRemove: false,
    ContainerID: instance.containerId,
    DetachKeys: config.detachKeys === "" ? "" : Buffer.from(parseDetachKeys(config.detachKeys)).toString("base64"),
    Pid: state.status === "running" ? state.task.pid : state.status === "exited" ? state.pid : 0,
  };
}
