import { messageOf } from "../../../lib/errors.ts";
import { familiarName, parseReference, withDefaultTag } from "../../../lib/reference.ts";
import { path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { notImplemented } from "../../status-error.ts";

/** `set`, `push` and `upgrade` of plugins that are there: the daemon says that there is none. */
export async function run(session: Session): Promise<void> {
  const { client, args } = session;
  const [name = "", ...settings] = args;
  switch (session.called.split(" ").at(-1)) {
    case "set":
      await client.text("POST", path`/plugins/${name}/set`, { json: settings });
      return;
    case "push":
      await client.text("POST", path`/plugins/${familiarName(withDefaultTag(parseReference(name)))}/push`);
      return;
    default:
      await client.text("GET", path`/plugins/${name}/json`).catch((error: unknown) => Promise.reject(new Error(`error reading plugin data: ${messageOf(error)}`)));
      throw notImplemented(session.called);
  }
}
