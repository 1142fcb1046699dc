import { forwardSignals } from "../../attach/signals.ts";
import type { ContainerInspect } from "../../attach/inspect.ts";
import { goOn, isLost } from "../../attach/reconnect.ts";
import { joinStreams, validateDetachKeys } from "../../attach/stream.ts";
import { checkTerminal, followTerminalSize, resizeTo } from "../../attach/terminal.ts";
import { path, readAll } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";

export async function run(session: Session): Promise<void> {
  const { client, flags, args } = session;
  const name = args[0] as string;
  const detachKeys = flags.string("detach-keys") || session.config.data.detachKeys || "";
  validateDetachKeys(detachKeys);
  const waiting = client.stream("POST", path`/containers/${name}/wait`);
  waiting.catch(() => undefined);
  const container = await attachable(session, name);
  const { Tty: tty, OpenStdin: open } = container.Config;
  checkTerminal(!flags.bool("no-stdin"), tty);
  const stdin = !flags.bool("no-stdin") && open;
  const stopForwarding = flags.bool("sig-proxy") && !tty ? forwardSignals(client, name) : () => undefined;
  try {
    const connection = await client.hijack(path`/containers/${name}/attach`, {
      query: { stream: true, stdin: stdin || undefined, stdout: true, stderr: true, detachKeys: detachKeys || undefined },
      headers: { "Content-Type": "text/plain" },
    });
    await attachable(session, name);
    if (tty && session.out.isTerminal) await redraw(session, name);
    const options = { stdin, stdout: true, stderr: true, tty, detachKeys };
    const ended = await joinStreams(connection, options).catch((thrown: unknown) => (isLost(thrown) ? ("ended" as const) : Promise.reject(thrown)));
    const since = String(Date.now() / 1000);
    if (ended === "detached") throw new Error(ESCAPED);
    try {
      await exitStatus(await waiting);
    } catch (thrown) {
      if (!isLost(thrown)) throw thrown;
      const again = await goOn(client, { id: container.Id, streams: options, since });
      if (again === "detached") throw new Error(ESCAPED);
      if (again === undefined) throw thrown;
      if (again !== 0) throw new StatusError(again);
    }
  } finally {
    stopForwarding();
  }
}

const ESCAPED = "read escape sequence";

/** Once more after attaching: a container that ended in between would leave us waiting. */
async function attachable(session: Session, name: string): Promise<ContainerInspect> {
  const container = await session.client.json<ContainerInspect>("GET", path`/containers/${name}/json`);
  if (!container.State.Running) throw new Error("cannot attach to a stopped container, start it first");
  if (container.State.Paused) throw new Error("cannot attach to a paused container, unpause it first");
  if (container.State.Restarting) throw new Error("cannot attach to a restarting container, wait until it is running");
  return container;
}

/** A program draws its screen anew when the size changes: so it does, there and back. */
async function redraw(session: Session, name: string): Promise<void> {
  const { height, width } = session.out.size;
  await resizeTo(session.client, { kind: "containers", id: name }, { height: height + 1, width: width + 1 });
  await followTerminalSize(session.client, { kind: "containers", id: name });
}

async function exitStatus(response: { body: AsyncIterable<Buffer> }): Promise<void> {
  const answer = JSON.parse(await readAll(response.body)) as { StatusCode: number; Error?: { Message?: string } | null };
  if (answer.Error?.Message) throw new Error(answer.Error.Message);
  if (answer.StatusCode !== 0) throw new StatusError(answer.StatusCode);
}
