import { followTerminalSize, checkTerminal } from "../../attach/terminal.ts";
import { forwardSignals } from "../../attach/signals.ts";
import { goOn, isLost } from "../../attach/reconnect.ts";
import { joinStreams, Seen, validateDetachKeys } from "../../attach/stream.ts";
import { waitForExit } from "../../attach/wait.ts";
import { CREATE_CHECKS } from "../../create/checks.ts";
import type { CreateBody } from "../../create/body.ts";
import { bodyFromFlags, containerPath, createContainer, startFailure } from "../../create/container.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";

export const checks = CREATE_CHECKS;

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const body = await bodyFromFlags(session, "run");
  if (flags.bool("dry-run")) return (await import("../../create/dry-run.ts")).showPlan(session, body);
  if (flags.bool("detach")) detach(session, body);
  else checkTerminal(body.AttachStdin, body.Tty);
  validateDetachKeys(flags.string("detach-keys"));
  // The daemon tells the steps of a start as long as the container is there.
  const removeAfter = flags.bool("trace") && !flags.bool("detach") && body.HostConfig.AutoRemove;
  if (removeAfter) body.HostConfig.AutoRemove = false;
  let id: string;
  try {
    id = await createContainer(session, body);
  } catch (thrown) {
    throw startFailure(session.program, thrown);
  }
  const stopForwarding = flags.bool("sig-proxy") ? forwardSignals(session.client, id) : () => undefined;
  try {
    const status = await runCreated(session, body, id);
    if (status !== 0) throw new StatusError(status);
  } finally {
    stopForwarding();
    if (removeAfter) await session.client.text("DELETE", containerPath(id), { query: { v: true, force: true } });
  }
}

function detach(session: Session, body: CreateBody): void {
  if (session.flags.list("attach").length > 0) throw new Error("conflicting options: cannot specify both --attach and --detach");
  Object.assign(body, { AttachStdin: false, AttachStdout: false, AttachStderr: false, StdinOnce: false });
}

async function runCreated(session: Session, body: CreateBody, id: string): Promise<number> {
  const { client, flags } = session;
  const attach = body.AttachStdin || body.AttachStdout || body.AttachStderr;
  if (!attach) session.out.line(id);
  const detachKeys = flags.string("detach-keys") || session.config.data.detachKeys || "";
  const [connection, exit] = await Promise.all([attach ? openStreams(session, body, { id, detachKeys }) : undefined, attach ? waitForExit(client, id, body.HostConfig.AutoRemove) : undefined]);
  const options = { stdin: body.AttachStdin, stdout: body.AttachStdout, stderr: body.AttachStderr, tty: body.Tty, detachKeys, seen: new Seen() };
  const streams = connection && joinStreams(connection, options);
  streams?.catch(() => undefined);
  try {
    await start(session, id);
  } catch (thrown) {
    connection?.socket.destroy();
    await streams?.catch(() => undefined);
    if (body.HostConfig.AutoRemove) await exit?.done;
    throw startFailure(session.program, thrown);
  }
  if (flags.bool("trace")) await (await import("../../create/start-trace.ts")).showStartTrace(session, id);
  if (!streams || !exit) return 0;
  if (body.Tty && session.out.isTerminal) await followTerminalSize(client, { kind: "containers", id });
  const outputs = body.AttachStdout || body.AttachStderr;
  const first = await Promise.race([streams, exit.done]);
  if (first === "detached") return 0;
  if (typeof first === "object" && !outputs) connection?.socket.destroy();
  if ((await streams.catch((thrown: unknown) => (outputs && !isLost(thrown) ? Promise.reject(thrown) : undefined))) === "detached") return 0;
  const again = (await exit.done).lost ? await goOn(client, { id, streams: options, since: "0" }) : undefined;
  return again === "detached" ? 0 : (again ?? exit.status());
}

async function openStreams(session: Session, body: CreateBody, target: { id: string; detachKeys: string }): ReturnType<Session["client"]["hijack"]> {
  return session.client.hijack(`${containerPath(target.id)}/attach`, {
    query: { stream: true, stdin: body.AttachStdin || undefined, stdout: body.AttachStdout || undefined, stderr: body.AttachStderr || undefined, detachKeys: target.detachKeys || undefined },
    headers: { "Content-Type": "text/plain" },
  });
}

async function start(session: Session, id: string): Promise<void> {
  await session.client.text("POST", `${containerPath(id)}/start`, { query: { trace: session.flags.bool("trace") || undefined } });
}
