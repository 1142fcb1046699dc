import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { stdin } from "../../streams.ts";
import { fromFile } from "../image/load.ts";

export async function run({ args, client, flags, out }: Session): Promise<void> {
  const input = flags.string("input");
  if (input === "" && stdin.isTerminal) throw new Error("the archive is read from stdin, which is a terminal: name it with --input");
  await client.text("PUT", path`/volumes/${args[0] as string}/archive`, { query: { apply: flags.bool("apply") || undefined }, body: input === "" ? stdin.bytes() : fromFile(input), headers: { "Content-Type": "application/x-tar" } });
  out.line(args[0] as string);
}
