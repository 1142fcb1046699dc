/** `ps`: the container's processes, by their numbers or as the program ps shows them. */
import { spawnSync } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { invalidParameter, systemError } from "../../lib/errors.ts";
import { string } from "../../lib/flags.ts";
import { processesIn } from "./cgroups.ts";
import type { Command } from "./command.ts";

export const ps: Command = {
  name: "ps",
  argumentsEndFlags: true,
  usage: "CONTAINER [PS OPTIONS]",
  about: "List the processes of a container",
  flags: [{ name: "format", shorthand: "f", type: string, default: "table" }],
  arguments: [1, Infinity],
  run({ args: [id, ...options], flags, store, print }) {
    const record = store.load(id!);
    const pids = (record.cgroups.length > 0 ? processesIn(record.cgroups) : inNamespaceOf(record.pid)).toSorted((a, b) => a - b);
    const format = flags.string("format");
    if (format === "json") print(`${JSON.stringify(pids)}\n`);
    else if (format === "table") print(table(new Set(pids), options.length > 0 ? options : ["-ef"]));
    else throw invalidParameter(`invalid format option "${format}": it is table or json`);
    return 0;
  },
};

/** Without cgroups: those in the pid namespace of the container's init. */
function inNamespaceOf(init: number): number[] {
  const namespaceOf = (pid: number | string): string | undefined => {
    try {
      return readlinkSync(`/proc/${pid}/ns/pid`);
    } catch {
      return undefined;
    }
  };
  const own = namespaceOf(init);
  return own === undefined ? [] : readdirSync("/proc").filter((name) => /^\d+$/.test(name) && namespaceOf(name) === own).map(Number);
}

function table(pids: ReadonlySet<number>, options: string[]): string {
  const { error, status, stdout, stderr } = spawnSync("ps", options, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (error !== undefined) throw systemError(`the program ps cannot be run: ${error.message}`, error);
  if (status !== 0) throw systemError(`ps ${options.join(" ")} ended with ${status}: ${stderr}${stdout}`);
  const [title = "", ...lines] = stdout.split("\n");
  const column = title.trim().split(/\s+/).indexOf("PID");
  if (column === -1) throw invalidParameter(`couldn't find PID field in the output of ps ${options.join(" ")}`);
  const own = lines.filter((line) => pids.has(Number(line.trim().split(/\s+/)[column])));
  return [title, ...own].map((line) => `${line}\n`).join("");
}
