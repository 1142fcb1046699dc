import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { saveStream } from "../save-stream.ts";

export const run = (session: Session): Promise<void> =>
  saveStream(session, "export container", async () => (await session.client.stream("GET", path`/containers/${session.args[0] as string}/export`)).body);
