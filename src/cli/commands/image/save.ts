import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { saveStream } from "../save-stream.ts";
import { encodePlatform } from "./load.ts";

export async function run(session: Session): Promise<void> {
  const { args, flags, client } = session;
  const platforms = flags.list("platform").map(encodePlatform);
  const query = { platform: platforms.length > 0 ? platforms : undefined };
  await saveStream(session, "save image", async () => (args.length === 1 ? client.stream("GET", path`/images/${args[0] as string}/get`, { query }) : client.stream("GET", "/images/get", { query: { ...query, names: args } })).then((response) => response.body));
}
