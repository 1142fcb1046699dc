import fs from "node:fs";
import { validateContextName } from "../../config/contexts.ts";
import type { ContextMeta, TlsMaterial } from "../../config/contexts.ts";
import { openError } from "../../open-error.ts";
import type { Session } from "../../session.ts";
import { unpackTar } from "./archive.ts";

export function run(session: Session): void {
  const [name = "", source = ""] = session.args;
  validateContextName(name);
  if (session.contexts.has(name)) throw new Error(`context ${JSON.stringify(name)} already exists`);
  const archive = read(source);
  if (archive.subarray(0, 2).toString() === "PK") throw new Error("zip archives of contexts are not implemented yet: export the context as tar");
  let meta: ContextMeta | undefined;
  /** By endpoint: old contexts have more than "docker", and keep them. */
  const tls = new Map<string, TlsMaterial>();
  for (const file of unpackTar(archive)) {
    const [, endpoint, part] = /^tls\/([a-z0-9_-]+)\/(ca|cert|key)\.pem$/.exec(file.name) ?? [];
    if (file.name === "meta.json") meta = JSON.parse(file.data.toString()) as ContextMeta;
    else if (endpoint && part) tls.set(endpoint, { ...tls.get(endpoint), [part]: file.data });
    else throw new Error(`${file.name}: unexpected context file`);
  }
  if (!meta) throw new Error("invalid context: no metadata found");
  session.contexts.save({ Name: name, Metadata: meta.Metadata ?? {}, Endpoints: meta.Endpoints ?? {} });
  for (const [endpoint, material] of tls) session.contexts.saveTls(name, material, endpoint);
  session.out.line(name);
  session.err.line(`Successfully imported context ${JSON.stringify(name)}`);
}

function read(source: string): Buffer {
  try {
    return fs.readFileSync(source === "-" ? 0 : source);
  } catch (thrown) {
    throw openError(source, thrown);
  }
}
