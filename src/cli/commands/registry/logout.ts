import { messageOf } from "../../../lib/errors.ts";
import { hostOfServer, INDEX_SERVER, warnOfEnvironment } from "../../registry/auth.ts";
import { eraseCredentials } from "../../registry/store.ts";
import type { Session } from "../../session.ts";

export function run(session: Session): void {
  warnOfEnvironment();
  const server = session.args[0];
  const host = server === undefined ? INDEX_SERVER : hostOfServer(server);
  session.out.line(`Removing login credentials for ${host}`);
  const names = server === undefined ? [INDEX_SERVER] : [server, host, `http://${host}`, `https://${host}`];
  try {
    eraseCredentials(session.config, [...new Set(names)]);
  } catch (thrown) {
    session.err.line(`WARNING: could not erase credentials:\n${messageOf(thrown)}`);
  }
}
