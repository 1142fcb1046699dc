import { isLost, nextDaemon } from "../../attach/reconnect.ts";
import { joinStreams, Seen } from "../../attach/stream.ts";
import { path } from "../../api/client.ts";
import { parseTime } from "../../parse/time.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const { client, flags, args } = session;
  const name = args[0] as string;
  const container = await client.json<{ Id: string; Config: { Tty: boolean } }>("GET", path`/containers/${name}/json`);
  const query = {
    stdout: true,
    stderr: true,
    since: time(flags.string("since"), "since"),
    until: time(flags.string("until"), "until"),
    timestamps: flags.bool("timestamps") || undefined,
    details: flags.bool("details") || undefined,
    follow: flags.bool("follow") || undefined,
    tail: flags.string("tail"),
  };
  const seen = new Seen();
  const options = { stdin: false, stdout: true, stderr: true, tty: container.Config.Tty, detachKeys: "", seen };
  for (;;) {
    const { body } = await client.stream("GET", path`/containers/${container.Id}/logs`, { query });
    try {
      return void (await joinStreams({ socket: undefined, body }, options));
    } catch (thrown) {
      if (!query.follow || !isLost(thrown) || !(await nextDaemon(client))) throw thrown;
    }
    // All of it once more; of the last lines only those since now.
    if (query.tail === "all") seen.repeat();
    else Object.assign(query, { tail: "all", since: String(Date.now() / 1000) });
  }
}

function time(text: string, name: string): string | undefined {
  if (text === "") return undefined;
  try {
    return parseTime(text);
  } catch (thrown) {
    throw new Error(`invalid value for "${name}": ${(thrown as Error).message}`);
  }
}
