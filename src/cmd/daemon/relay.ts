/** Starts the relay of published ports, which outlives this process. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { RelayProgram } from "../../drivers/network-bridge/relay.ts";
import { systemError } from "../../lib/errors.ts";
import { nativeDir } from "../../sys/addon.ts";

export const relayProgram = (socketPath: string): RelayProgram => ({ socketPath, start: () => startRelay(join(nativeDir, "gantry-relay"), socketPath) });

/** It says a line when it listens. */
async function startRelay(program: string, socketPath: string): Promise<void> {
  const child = spawn(program, [socketPath], { stdio: ["ignore", "pipe", "pipe"], detached: true, cwd: "/", env: {} });
  const output: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
  const problem = await new Promise<string | undefined>((resolve) => {
    child.stdout.once("data", () => resolve(undefined));
    child.once("error", ({ message }) => resolve(message));
    child.once("close", (code, signal) => resolve(`it ended with ${signal ?? code}`));
  });
  for (const stream of [child.stdout, child.stderr]) stream.destroy();
  child.unref();
  if (problem !== undefined) throw systemError(`the relay of published ports did not start: ${problem}: ${Buffer.concat(output).toString().trim()}`);
}
