import { DEFAULT_CONTEXT, validateContextName } from "../../config/contexts.ts";
import type { Session } from "../../session.ts";

export function run(session: Session): void {
  const name = session.args[0] as string;
  const { config } = session;
  if (name !== DEFAULT_CONTEXT) {
    validateContextName(name);
    session.contexts.get(name);
  }
  const value = name === DEFAULT_CONTEXT ? undefined : name;
  if ((config.data.currentContext || undefined) !== value) {
    if (value === undefined) delete config.data.currentContext;
    else config.data.currentContext = value;
    config.save();
  }
  session.out.line(name);
  session.err.line(`Current context is now ${JSON.stringify(name)}`);
  if (name !== DEFAULT_CONTEXT && process.env["DOCKER_HOST"]) session.err.line(`Warning: DOCKER_HOST environment variable overrides the active context. To use ${JSON.stringify(name)}, either set the global --context flag, or unset DOCKER_HOST environment variable.`);
}
