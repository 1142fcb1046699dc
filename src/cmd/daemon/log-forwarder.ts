/** Starts the program that sends logs on. It ends with this process. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { LogForwarder } from "../../core/log-forwarder.ts";
import { LogForwarderProcess } from "../../drivers/log-forwarder/client.ts";
import { readPosition } from "../../drivers/log-json-file/index.ts";

/** Beside the daemon's own: bundled in dist/, as a source file in src/cmd. */
function programPath(): string {
  const bundled = !import.meta.filename.endsWith(".ts");
  return join(import.meta.dirname, "..", bundled ? "gantry-logs.js" : "gantry-logs.ts");
}

export const logForwarder = (warn: (message: string) => void): LogForwarder =>
  new LogForwarderProcess({
    // Out of reach of a terminal's signals: it goes when its input ends.
    start: () => spawn(process.execPath, ["--", programPath()], { stdio: ["pipe", "pipe", "inherit"], detached: true, cwd: "/" }),
    isBehind: (path) => existsSync(path) && readPosition(path)?.drained !== true,
    warn,
  });
