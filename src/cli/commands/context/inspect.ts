import fs from "node:fs";
import { findContext } from "../../config/context-text.ts";
import { DEFAULT_CONTEXT } from "../../config/contexts.ts";
import { inspectAll } from "../../inspect/inspect.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const names = session.args.length > 0 ? session.args : [session.contextName];
  await inspectAll(names, { format: session.flags.string("format"), out: session.out, find: async (name) => escapeHtml(JSON.stringify(describe(session, name))) });
}

/** As Go's encoder writes it. */
const escapeHtml = (json: string): string => json.replace(/[<>&]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);

function describe(session: Session, name: string): unknown {
  const { contexts } = session;
  const meta = findContext(session, name);
  const virtual = name === DEFAULT_CONTEXT;
  const tls = virtual ? {} : tlsMaterial(`${contexts.tlsDirectory(name)}/docker`);
  const storage = virtual ? { MetadataPath: "<IN MEMORY>", TLSPath: "<IN MEMORY>" } : { MetadataPath: contexts.metaDirectory(name), TLSPath: contexts.tlsDirectory(name) };
  const endpoints = Object.fromEntries(Object.entries(meta.Endpoints).map(([key, endpoint]) => [key, { ...(endpoint.Host ? { Host: endpoint.Host } : {}), SkipTLSVerify: endpoint.SkipTLSVerify ?? false }]));
  return { Name: name, Metadata: meta.Metadata, Endpoints: endpoints, TLSMaterial: tls, Storage: storage };
}

function tlsMaterial(folder: string): Record<string, string[]> {
  return fs.existsSync(folder) ? { docker: fs.readdirSync(folder).sort() } : {};
}
