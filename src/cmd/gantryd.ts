/** The daemon's program. */
import { messageOf } from "../lib/errors.ts";
import type { ParsedLine } from "../lib/flags.ts";
import { build } from "./daemon/build-info.ts";
import { type DaemonConfig, loadConfig, parseCommandLine } from "./daemon/config.ts";

void main(process.argv.slice(2)).then((status) => (process.exitCode = status));

async function main(args: string[]): Promise<number> {
  let line: ParsedLine;
  try {
    line = parseCommandLine(args);
  } catch (error) {
    return fail(`${messageOf(error)}\nSee 'gantryd --help'.`);
  }
  const { flags, warnings } = line;
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
  if (flags.bool("help")) return print((await import("./daemon/help.ts")).helpText());
  if (flags.bool("version")) return print(`Gantry version ${build.version}, compatible with Docker ${build.dockerVersion}\n`);
  let config: DaemonConfig;
  try {
    config = loadConfig(flags, process.env);
    if (config.tls !== undefined) (await import("./daemon/listeners.ts")).tlsOptions(config.tls);
  } catch (error) {
    return fail(messageOf(error));
  }
  if (flags.bool("validate")) {
    process.stderr.write("configuration OK\n");
    return 0;
  }
  const { run } = await import("./daemon/run.ts");
  return run(config, flags);
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

function fail(message: string): number {
  process.stderr.write(`${message}\n`);
  return 1;
}
