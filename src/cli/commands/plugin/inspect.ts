import { path } from "../../api/client.ts";
import { inspectAll } from "../../inspect/inspect.ts";
import type { Session } from "../../session.ts";

export const run = (session: Session): Promise<void> => inspectAll(session.args, { format: session.flags.string("format"), out: session.out, find: (name) => session.client.text("GET", path`/plugins/${name}/json`) });
