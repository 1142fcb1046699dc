/** Starts the name server's program, which outlives this process. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { systemError } from "../../lib/errors.ts";

/** Beside the daemon's own: bundled in dist/, as a source file in src/cmd. */
function programPath(): string {
  const bundled = !import.meta.filename.endsWith(".ts");
  return bundled ? join(import.meta.dirname, "..", "gantry-dns.js") : join(import.meta.dirname, "..", "gantry-dns.ts");
}

const START_MS = 30_000;

/** Resolves when it listens. */
export async function startNameServerProcess({ socketPath, resolvConf }: { socketPath: string; resolvConf: string }): Promise<void> {
  const child = spawn(process.execPath, ["--", programPath(), socketPath, resolvConf], { stdio: ["ignore", "pipe", "pipe"], detached: true, cwd: "/", env: {} });
  const output: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
  const problem = await new Promise<string | undefined>((resolve) => {
    const timer = setTimeout(() => resolve("it does not answer"), START_MS);
    child.stdout.once("data", () => resolve(undefined));
    child.once("error", ({ message }) => resolve(message));
    child.once("exit", (code, signal) => resolve(`it ended with ${signal ?? code}`));
    child.once("close", () => clearTimeout(timer));
    child.stdout.once("data", () => clearTimeout(timer));
  });
  for (const stream of [child.stdout, child.stderr]) stream.destroy();
  child.unref();
  if (problem === undefined) return;
  child.kill("SIGKILL");
  throw systemError(`the name server of containers did not start: ${problem}: ${Buffer.concat(output).toString().trim()}`);
}
