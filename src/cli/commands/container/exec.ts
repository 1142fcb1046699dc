import { joinStreams, validateDetachKeys } from "../../attach/stream.ts";
import { checkTerminal, followTerminalSize } from "../../attach/terminal.ts";
import { ApiError, path } from "../../api/client.ts";
import { checkEnvironment } from "../../create/checks.ts";
import { readKeyValueFiles, withOwnValue } from "../../create/key-values.ts";
import type { FlagCheck } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";

export const checks: Record<string, FlagCheck> = { env: checkEnvironment };

export async function run(session: Session): Promise<void> {
  const { client, flags, args } = session;
  const [container = "", ...command] = args;
  const environment = [...readKeyValueFiles(flags.list("env-file"), { environment: true }), ...flags.list("env").map(withOwnValue)];
  const detach = flags.bool("detach");
  const tty = flags.bool("tty");
  const stdin = !detach && flags.bool("interactive");
  const detachKeys = flags.string("detach-keys") || session.config.data.detachKeys || "";
  validateDetachKeys(flags.string("detach-keys"));
  await client.json("GET", path`/containers/${container}/json`);
  if (!detach) checkTerminal(stdin, tty);
  const { height, width } = session.out.size;
  const size = tty ? { ConsoleSize: [height, width] } : {};
  const { Id: id } = await client.json<{ Id: string }>("POST", path`/containers/${container}/exec`, {
    json: {
      User: flags.string("user"), Privileged: flags.bool("privileged"), Tty: tty, ...size, AttachStdin: stdin, AttachStdout: !detach, AttachStderr: !detach,
      DetachKeys: detachKeys, Env: environment.length > 0 ? environment : null, WorkingDir: flags.string("workdir"), Cmd: command,
    },
  });
  if (!id) throw new Error("exec ID empty");
  if (detach) {
    await client.text("POST", path`/exec/${id}/start`, { json: { Detach: true, Tty: tty, ...size } });
    return;
  }
  const connection = await client.hijack(path`/exec/${id}/start`, { json: { Detach: false, Tty: tty, ...size } });
  const streams = joinStreams(connection, { stdin, stdout: true, stderr: true, tty, detachKeys });
  streams.catch(() => undefined);
  if (tty && session.out.isTerminal) void followTerminalSize(client, { kind: "exec", id });
  if ((await streams) === "detached") throw new Error("read escape sequence");
  const status = await exitStatus(session, id);
  if (status !== 0) throw new StatusError(status);
}

/** 255 when the daemon went away meanwhile. */
async function exitStatus(session: Session, id: string): Promise<number> {
  try {
    return (await session.client.json<{ ExitCode: number }>("GET", path`/exec/${id}/json`)).ExitCode;
  } catch (thrown) {
    if (thrown instanceof ApiError && thrown.status === 0) return 255;
    throw thrown;
  }
}
