import { DEFAULT_HOST } from "../session.ts";
import type { Session } from "../session.ts";
import { normaliseHost } from "../api/endpoint.ts";
import { DEFAULT_CONTEXT } from "./contexts.ts";
import type { ContextMeta } from "./contexts.ts";

/** The context that is always there: the flags and the environment. */
export function defaultContext(session: Session): ContextMeta {
  const host = session.globals.string("host") || process.env["DOCKER_HOST"] || "";
  return { Name: DEFAULT_CONTEXT, Metadata: {}, Endpoints: { docker: { Host: host === "" ? DEFAULT_HOST : normaliseHost(host, false), SkipTLSVerify: false } } };
}

export const findContext = (session: Session, name: string): ContextMeta => (name === DEFAULT_CONTEXT ? defaultContext(session) : session.contexts.get(name));
