import { forwardSignals } from "../../attach/signals.ts";
import { goOn, isLost } from "../../attach/reconnect.ts";
import { joinStreams, Seen, validateDetachKeys } from "../../attach/stream.ts";
import { followTerminalSize } from "../../attach/terminal.ts";
import { waitForExit } from "../../attach/wait.ts";
import { path } from "../../api/client.ts";
import { messageOf } from "../../../lib/errors.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";
import type { ContainerInspect } from "../../attach/inspect.ts";

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const detachKeys = flags.string("detach-keys") || session.config.data.detachKeys || "";
  validateDetachKeys(detachKeys);
  const checkpoint = { checkpoint: flags.string("checkpoint") || undefined, "checkpoint-dir": flags.string("checkpoint-dir") || undefined };
  if (flags.bool("attach") || flags.bool("interactive")) {
    if (args.length > 1) throw new Error("you cannot start and attach multiple containers at once");
    return startAttached(session, { name: args[0] as string, detachKeys, checkpoint });
  }
  if (checkpoint.checkpoint !== undefined) {
    if (args.length > 1) throw new Error("you cannot restore multiple containers at once");
    await session.client.text("POST", path`/containers/${args[0] as string}/start`, { query: checkpoint });
    return;
  }
  const failed: string[] = [];
  for (const name of args) {
    try {
      await session.client.text("POST", path`/containers/${name}/start`);
      session.out.line(name);
    } catch (thrown) {
      session.err.line(messageOf(thrown));
      failed.push(name);
    }
  }
  if (failed.length > 0) throw new Error(`failed to start containers: ${failed.join(", ")}`);
}

async function startAttached(session: Session, target: { name: string; detachKeys: string; checkpoint: Record<string, string | undefined> }): Promise<void> {
  const { client, flags } = session;
  const container = await client.json<ContainerInspect>("GET", path`/containers/${target.name}/json`);
  const { Id: id, Config: config, HostConfig: host } = container;
  const stdin = flags.bool("interactive") && config.OpenStdin;
  const stopForwarding = config.Tty ? () => undefined : forwardSignals(client, id);
  try {
    const [connection, exit] = await Promise.all([
      client.hijack(path`/containers/${id}/attach`, { query: { stream: true, stdin: stdin || undefined, stdout: true, stderr: true, detachKeys: target.detachKeys || undefined }, headers: { "Content-Type": "text/plain" } }),
      waitForExit(client, id, host.AutoRemove),
    ]);
    const options = { stdin, stdout: true, stderr: true, tty: config.Tty, detachKeys: target.detachKeys, seen: new Seen() };
    const began = String(Math.floor(Date.now() / 1000));
    const streams = joinStreams(connection, options);
    streams.catch(() => undefined);
    try {
      await client.text("POST", path`/containers/${id}/start`, { query: target.checkpoint });
    } catch (thrown) {
      connection.socket.destroy();
      await streams.catch(() => undefined);
      if (host.AutoRemove) await exit.done;
      throw thrown;
    }
    if (config.Tty && session.out.isTerminal) await followTerminalSize(client, { kind: "containers", id });
    if ((await streams.catch((thrown: unknown) => (isLost(thrown) ? undefined : Promise.reject(thrown)))) === "detached") return;
    const again = (await exit.done).lost ? await goOn(client, { id, streams: options, since: began }) : undefined;
    if (again === "detached") return;
    const status = again ?? (await exit.status());
    if (status !== 0) throw new StatusError(status);
  } finally {
    stopForwarding();
  }
}
