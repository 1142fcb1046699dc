/** Passes the signals that this process gets on to a container. */
import { path } from "../api/client.ts";
import type { ApiClient } from "../api/client.ts";
import { stderr } from "../streams.ts";

/** All that can be caught but SIGCHLD, SIGPIPE and SIGURG, and those that a fault of ours raises. */
const SIGNALS = ["HUP", "INT", "QUIT", "TRAP", "ABRT", "USR1", "USR2", "ALRM", "TERM", "CONT", "TSTP", "TTIN", "TTOU", "XCPU", "XFSZ", "VTALRM", "WINCH", "IO", "PWR", "SYS"] as const;
const PATIENCE = 3;

/** Starts passing on; the function that it returns ends it. The third SIGINT or SIGTERM ends this process. */
export function forwardSignals(client: ApiClient, id: string): () => void {
  let interrupts = 0;
  const handlers = SIGNALS.map((name) => {
    const handler = (): void => {
      if ((name === "INT" || name === "TERM") && ++interrupts === PATIENCE) {
        stderr.write("\ngot 3 SIGTERM/SIGINTs, forcefully exiting\n");
        if (process.stdin.isTTY) process.stdin.setRawMode(false);
        process.exit(1);
      }
      client.text("POST", path`/containers/${id}/kill`, { query: { signal: name } }).catch(() => undefined);
    };
    process.on(`SIG${name}`, handler);
    return [`SIG${name}` as NodeJS.Signals, handler] as const;
  });
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}
