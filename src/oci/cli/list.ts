import { invalidParameter } from "../../lib/errors.ts";
import { bool, string } from "../../lib/flags.ts";
import type { Command } from "./command.ts";
import { stateOf } from "./status.ts";

export const list: Command = {
  name: "list",
  resident: true,
  usage: "",
  about: "List the containers under --root",
  flags: [
    { name: "format", shorthand: "f", type: string, default: "table" },
    { name: "quiet", shorthand: "q", type: bool },
  ],
  arguments: [0, 0],
  run({ flags, store, print, rootGiven }) {
    const records = store.list({ mustExist: rootGiven });
    const states = records.map((record) => ({ ...stateOf(record, store), owner: record.owner }));
    const format = flags.string("format");
    if (flags.bool("quiet")) print(records.map(({ id }) => `${id}\n`).join(""));
    else if (format === "json") print(`${JSON.stringify(states.length > 0 ? states : null)}\n`);
    else if (format === "table") print(table(states));
    else throw invalidParameter(`invalid format option "${format}": it is table or json`);
    return 0;
  },
};

const columns = ["id", "pid", "status", "bundle", "created", "owner"];

function table(states: Record<string, unknown>[]): string {
  const rows = [columns.map((name) => name.toUpperCase()), ...states.map((state) => columns.map((name) => String(state[name])))];
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => `${row.map((cell, column) => (column === columns.length - 1 ? cell : cell.padEnd(Math.max(widths[column]!, 8) + 3))).join("")}\n`).join("");
}
