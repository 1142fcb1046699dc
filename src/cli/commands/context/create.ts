import { findContext } from "../../config/context-text.ts";
import { DEFAULT_CONTEXT, DEFAULT_DESCRIPTION, validateContextName } from "../../config/contexts.ts";
import { dockerEndpoint, readTls } from "../../config/docker-endpoint.ts";
import type { DockerEndpoint } from "../../config/docker-endpoint.ts";
import type { Session } from "../../session.ts";

export function run(session: Session): void {
  const { flags, contexts } = session;
  const name = session.args[0] as string;
  validateContextName(name);
  if (contexts.has(name)) throw new Error(`context ${JSON.stringify(name)} already exists`);
  const from = flags.string("from");
  const source = from !== "" || !flags.changed("docker") ? existing(session, from || session.contextName) : { ...dockerEndpoint(session, flags.list("docker")), description: "" };
  const description = flags.string("description") || source.description;
  contexts.save({ Name: name, Metadata: description === "" ? {} : { Description: description }, Endpoints: { docker: source.endpoint } });
  contexts.saveTls(name, source.tls);
  session.out.line(name);
  session.err.line(`Successfully created context ${JSON.stringify(name)}`);
}

function existing(session: Session, name: string): DockerEndpoint & { description: string } {
  if (session.flags.changed("docker")) throw new Error("cannot use --docker flag when --from is set");
  const meta = findContext(session, name);
  return { endpoint: meta.Endpoints["docker"] ?? {}, tls: name === DEFAULT_CONTEXT ? {} : readTls(session, name), description: name === DEFAULT_CONTEXT ? DEFAULT_DESCRIPTION : (meta.Metadata.Description ?? "") };
}
