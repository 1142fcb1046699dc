import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { saveStream } from "../save-stream.ts";

export const run = (session: Session): Promise<void> => {
  const { args, client, flags } = session;
  const query = { since: flags.string("since") || undefined, pause: flags.bool("no-pause") ? false : undefined };
  return saveStream(session, "back up volume", async () => (await client.stream("GET", path`/volumes/${args[0] as string}/archive`, { query })).body);
};
