import { DEFAULT_CONTEXT } from "../../config/contexts.ts";
import type { Session } from "../../session.ts";
import { forEachNameInTurn } from "../each.ts";

export function run(session: Session): Promise<void> {
  const force = session.flags.bool("force");
  const current = session.contextName;
  return forEachNameInTurn(session, session.args, async (name) => {
    if (name === DEFAULT_CONTEXT) throw new Error('context "default" cannot be removed');
    if (!session.contexts.has(name) && !force) throw new Error(`context ${JSON.stringify(name)} does not exist`);
    if (name === current && !force) throw new Error(`context ${JSON.stringify(name)} is in use, set -f flag to force remove`);
    session.contexts.remove(name);
    if (session.config.data.currentContext === name) {
      delete session.config.data.currentContext;
      session.config.save();
    }
  });
}
