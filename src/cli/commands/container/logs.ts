import { Demultiplexer } from "../../attach/demultiplex.ts";
import { path } from "../../api/client.ts";
import { parseTime } from "../../parse/time.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const { client, flags, args } = session;
  const name = args[0] as string;
  const container = await client.json<{ Id: string; Config: { Tty: boolean } }>("GET", path`/containers/${name}/json`);
  const response = await client.stream("GET", path`/containers/${container.Id}/logs`, {
    query: {
      stdout: true,
      stderr: true,
      since: time(flags.string("since"), "since"),
      until: time(flags.string("until"), "until"),
      timestamps: flags.bool("timestamps") || undefined,
      details: flags.bool("details") || undefined,
      follow: flags.bool("follow") || undefined,
      tail: flags.string("tail"),
    },
  });
  if (container.Config.Tty) {
    for await (const chunk of response.body) session.out.write(chunk);
    return;
  }
  const demultiplexer = new Demultiplexer({ stdout: (bytes) => session.out.write(bytes), stderr: (bytes) => session.err.write(bytes) });
  for await (const chunk of response.body) demultiplexer.push(chunk);
}

function time(text: string, name: string): string | undefined {
  if (text === "") return undefined;
  try {
    return parseTime(text);
  } catch (thrown) {
    throw new Error(`invalid value for "${name}": ${(thrown as Error).message}`);
  }
}
