/** The name server of containers: gantry-dns SOCKET RESOLV_CONF. Started by the daemon, which reads a line when it listens. */
import { startNameServer } from "../drivers/dns-embedded/server.ts";
import { messageOf } from "../lib/errors.ts";

const IDLE_MS = 10_000;
const [socketPath, resolvConf] = process.argv.slice(2);

// Whoever started it has read enough; one bad question must not end what serves all others.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
process.on("SIGHUP", () => {});

if (socketPath === undefined || resolvConf === undefined) fail("usage: gantry-dns SOCKET RESOLV_CONF");
else {
  process.title = `gantry-dns ${socketPath}`;
  serve(socketPath, resolvConf).catch((error: unknown) => fail(messageOf(error)));
}

async function serve(path: string, conf: string): Promise<void> {
  const server = await startNameServer({ socketPath: path, resolvConf: conf, idleMs: IDLE_MS });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => void server.end());
  process.on("uncaughtException", (error) => process.stderr.write(`${error.stack ?? error.message}\n`));
  process.stdout.write("ready\n");
  await server.ended;
  process.exit(0);
}

function fail(message: string): void {
  process.stderr.write(`${message}\n`);
  process.exitCode = 1;
}
