/**
 * Output of a container over the end of a daemon: containers outlive theirs, so a client that was attached waits for the next one,
 * such as one of another version, and goes on with what was printed meanwhile, out of the log.
 */
import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { ApiError, path } from "../api/client.ts";
import type { ApiClient } from "../api/client.ts";
import { stderr } from "../streams.ts";
import { joinStreams } from "./stream.ts";
import type { Connection, StreamOptions } from "./stream.ts";

/** How long a daemon may be away that has left its socket behind: it was killed, and whoever watches over it starts it again. */
const PATIENCE_MS = 60_000;
/** How long after one that has taken its socket along: it was told to end, perhaps for another version. */
const PATIENCE_AFTER_END_MS = 15_000;
/** Restarts take less; of longer ones people are told. */
const SILENT_MS = 1000;
const TRY_MS = 100;

/** What ended an answer before its end. */
export const isLost = (thrown: unknown): boolean =>
  thrown instanceof ApiError ? thrown.status === 0 : thrown instanceof Error && (/^(unexpected )?EOF$/.test(thrown.message) || /ECONNRESET|EPIPE/.test((thrown as NodeJS.ErrnoException).code ?? ""));

/** Resolves with false when no daemon answers for too long, or this program is told to end. */
export async function nextDaemon(client: ApiClient): Promise<boolean> {
  client.close();
  const left = new AbortController();
  const { promise: told, resolve } = Promise.withResolvers<false>();
  const leave = (): void => (left.abort(), resolve(false));
  for (const signal of ENDING) process.on(signal, leave);
  try {
    return await Promise.race([answers(client, left.signal), told]);
  } finally {
    for (const signal of ENDING) process.off(signal, leave);
  }
}

const ENDING = ["SIGINT", "SIGTERM"] as const;

async function answers(client: ApiClient, left: AbortSignal): Promise<boolean> {
  const began = Date.now();
  let isTold = false;
  for (let waited = 0; !left.aborted; waited = Date.now() - began) {
    try {
      await client.text("GET", "/_ping");
      return true;
    } catch (thrown) {
      if (!isLost(thrown)) return true;
    }
    const patience = hasLeft(client.host) ? PATIENCE_AFTER_END_MS : PATIENCE_MS;
    if (waited >= patience) return false;
    if (!isTold && waited >= SILENT_MS) tell(client.host, Math.round(patience / 1000));
    isTold ||= waited >= SILENT_MS;
    await delay(TRY_MS, undefined, { signal: left }).catch(() => {});
  }
  return false;
}

const hasLeft = (host: string): boolean => host.startsWith("unix://") && !existsSync(host.slice("unix://".length));

/** Programs that read what goes to stderr have not asked for it. */
function tell(host: string, seconds: number): void {
  if (stderr.isTerminal) stderr.line(`\nThe daemon at ${host} is gone; its containers run on. Waiting up to ${seconds} s for the next one, Ctrl-C ends this.`);
}

export interface Resumed {
  id: string;
  streams: StreamOptions;
  /** Seconds since 1970: what was printed since has not been shown, but for what `seen` has of it. */
  since: string;
}

/** Shows what the container prints until it ends or the keys are typed. False: there is nothing to go on with. */
export async function resumeStreams(client: ApiClient, { id, streams, since }: Resumed): Promise<"ended" | "detached" | false> {
  try {
    const { body } = await client.stream("GET", path`/containers/${id}/logs`, { query: { follow: true, stdout: streams.stdout || undefined, stderr: streams.stderr || undefined, since } });
    const input = streams.stdin ? await attachInput(client, { id, streams }) : undefined;
    return await joinStreams({ socket: input?.socket, body }, streams);
  } catch (thrown) {
    if (thrown instanceof ApiError && thrown.status > 0) return false;
    throw thrown;
  }
}

/** Undefined when it does not run any more. */
async function attachInput(client: ApiClient, { id, streams: { detachKeys } }: Pick<Resumed, "id" | "streams">): Promise<Connection | undefined> {
  try {
    return await client.hijack(path`/containers/${id}/attach`, { query: { stream: true, stdin: true, detachKeys: detachKeys || undefined }, headers: { "Content-Type": "text/plain" } });
  } catch (thrown) {
    if (thrown instanceof ApiError && thrown.status > 0) return undefined;
    throw thrown;
  }
}

/** How the container's last run ended, waiting for its end; undefined: nobody knows any more. */
export async function lastExit(client: ApiClient, id: string): Promise<number | undefined> {
  try {
    return (await client.json<{ StatusCode: number }>("POST", path`/containers/${id}/wait`)).StatusCode;
  } catch (thrown) {
    if (!(thrown instanceof ApiError) || thrown.status !== 404) throw thrown;
  }
  // It was removed: the daemon's journal has its end.
  const filters = JSON.stringify({ type: ["container"], container: [id], event: ["die"] });
  const lines = (await client.text("GET", "/events", { query: { since: "0", until: String(Math.floor(Date.now() / 1000) + 1), filters } })).trim().split("\n");
  const code = lines.at(-1) && (JSON.parse(lines.at(-1)!) as { Actor: { Attributes: { exitCode?: string } } }).Actor.Attributes.exitCode;
  return code ? Number(code) : undefined;
}

/**
 * Goes on with streams that ended although nobody knows that the container did. Returns "detached", its exit status, or undefined when
 * there is no daemon, or none that knows it.
 */
export async function goOn(client: ApiClient, resumed: Resumed): Promise<"detached" | number | undefined> {
  while (await nextDaemon(client)) {
    try {
      resumed.streams.seen?.repeat();
      if ((await resumeStreams(client, resumed)) === "detached") return "detached";
      return await lastExit(client, resumed.id);
    } catch (thrown) {
      if (!isLost(thrown)) throw thrown;
    }
  }
  return undefined;
}
