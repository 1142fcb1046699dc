/** The name server of containers: gantry-dns SOCKET RESOLV_CONF. Started by the daemon, which reads a line when it listens. */
import { startNameServer } from "../drivers/dns-embedded/server.ts";
import { messageOf } from "../lib/errors.ts";

const IDLE_MS = 10_000;
const [socketPath, resolvConf] = process.argv.slice(2);

// Whoever started it has read enough; one bad question must not end what serves all others.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
process.on("SIGHUP", () => {});

if (socketPath === undefined || resolvConf === undefined) {
  process.stderr.write("usage: gantry-dns SOCKET RESOLV_CONF\n");
  process.exitCode = 1;
} else {
  process.title = `gantry-dns ${socketPath}`;
  try {
    const server = await startNameServer({ socketPath, resolvConf, idleMs: IDLE_MS });
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void server.end());
    process.on("uncaughtException", (error) => process.stderr.write(`${error.stack ?? error.message}\n`));
    process.stdout.write("ready\n");
    await server.ended;
    process.exit(0);
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 1;
  }
}
