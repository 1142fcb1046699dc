import { path } from "../../api/client.ts";
import { forEachNameInTurn } from "../each.ts";
import type { Session } from "../../session.ts";

/** `enable`, `disable` and `rm`. */
export async function run(session: Session): Promise<void> {
  const action = session.called.split(" ").at(-1) as string;
  const { client, flags } = session;
  await forEachNameInTurn(session, session.args, async (name) => {
    if (action === "rm") await client.text("DELETE", path`/plugins/${name}`, { query: { force: flags.bool("force") || undefined } });
    else await client.text("POST", path`/plugins/${name}/${action}`, { query: action === "enable" ? { timeout: flags.int("timeout") } : { force: flags.bool("force") || undefined } });
  });
}
