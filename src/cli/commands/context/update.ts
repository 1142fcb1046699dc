import { validateContextName } from "../../config/contexts.ts";
import { dockerEndpoint } from "../../config/docker-endpoint.ts";
import type { Session } from "../../session.ts";

export function run(session: Session): void {
  const { flags, contexts } = session;
  const name = session.args[0] as string;
  validateContextName(name);
  const meta = contexts.get(name);
  if (flags.string("description") !== "") meta.Metadata = { ...meta.Metadata, Description: flags.string("description") };
  const changed = flags.changed("docker") ? dockerEndpoint(session, flags.list("docker")) : undefined;
  if (changed) meta.Endpoints["docker"] = changed.endpoint;
  contexts.save(meta);
  if (changed) contexts.saveTls(name, changed.tls);
  session.out.line(name);
  session.err.line(`Successfully updated context ${JSON.stringify(name)}`);
}
