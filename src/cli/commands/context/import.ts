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
  const tls: TlsMaterial = {};
  for (const file of unpackTar(archive)) {
    const part = /^tls\/docker\/(ca|cert|key)\.pem$/.exec(file.name)?.[1] as keyof TlsMaterial | undefined;
    if (file.name === "meta.json") meta = JSON.parse(file.data.toString()) as ContextMeta;
    else if (part) tls[part] = file.data;
    else throw new Error(`${file.name}: unexpected context file`);
  }
  if (!meta) throw new Error("invalid context: no metadata found");
  session.contexts.save({ Name: name, Metadata: meta.Metadata ?? {}, Endpoints: meta.Endpoints ?? {} });
  session.contexts.saveTls(name, tls);
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
