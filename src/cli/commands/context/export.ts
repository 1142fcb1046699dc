import fs from "node:fs";
import { findContext } from "../../config/context-text.ts";
import { DEFAULT_CONTEXT, validateContextName } from "../../config/contexts.ts";
import { openError } from "../../open-error.ts";
import type { Session } from "../../session.ts";
import { readTls } from "../../config/docker-endpoint.ts";
import { packTar } from "./archive.ts";

export function run(session: Session): void {
  const [name = "", target = `${name}.dockercontext`] = session.args;
  if (name !== DEFAULT_CONTEXT) validateContextName(name);
  const meta = findContext(session, name);
  const tls = Object.entries(name === DEFAULT_CONTEXT ? {} : readTls(session, name)).map(([part, data]) => ({ name: `tls/docker/${part}.pem`, data: data }));
  const archive = packTar([{ name: "meta.json", data: Buffer.from(JSON.stringify(meta)) }, ...tls]);
  if (target === "-") {
    if (session.out.isTerminal) throw new Error("cowardly refusing to export to a terminal, specify a file path");
    session.out.write(archive);
    return;
  }
  try {
    fs.writeFileSync(target, archive, { flag: "wx", mode: 0o600 });
  } catch (thrown) {
    throw openError(target, thrown);
  }
  session.err.line(`Written file ${JSON.stringify(target)}`);
}
