import { messageOf } from "../../../lib/errors.ts";
import { ApiError, path } from "../../api/client.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";

export async function run(session: Session): Promise<void> {
  let failed = false;
  for (const name of session.args) {
    try {
      await session.client.text("DELETE", path`/networks/${name}`);
      session.out.line(name);
    } catch (thrown) {
      if (session.flags.bool("force") && thrown instanceof ApiError && thrown.status === 404) continue;
      session.err.line(messageOf(thrown));
      failed = true;
    }
  }
  if (failed) throw new StatusError(1, "exit status 1");
}
