/**
 * Answers that promise something for longer than the machine runs: that a container, a name, a volume, a network or an image is there
 * also after a loss of power. Removals, and what lasts no longer than processes do, promise nothing of the kind.
 */
import type { ServerResponse } from "node:http";
import type { Route } from "./route.ts";

/** They change what runs. */
const OF_PROCESSES = /^\/containers\/\{name\.\.\.\}\/(start|stop|restart|kill|pause|unpause|wait|attach|resize|exec)$|^\/exec\/|\/prune$|^\/(auth|session|system\/check)$/;

export const promisesToLast = ({ method, path }: Pick<Route, "method" | "path">): boolean => (method === "POST" || method === "PUT") && !OF_PROCESSES.test(path);

/** Its end waits; when that fails the connection is cut, and nothing is promised. */
export function answerOnceSettled(res: ServerResponse, settled: () => Promise<void> | undefined): void {
  const end = res.end.bind(res) as (...args: unknown[]) => ServerResponse;
  res.end = ((...args: unknown[]): ServerResponse => {
    const waiting = settled();
    if (!waiting) return end(...args);
    waiting.then(() => end(...args), (error: unknown) => res.destroy(error as Error));
    return res;
  }) as ServerResponse["end"];
}
