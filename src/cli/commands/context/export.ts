import fs from "node:fs";
import { validateContextName } from "../../config/contexts.ts";
import type { Session } from "../../session.ts";
import { readTls } from "../../config/docker-endpoint.ts";
import { packTar } from "./archive.ts";

export function run(session: Session): void {
  const [name = "", target = `${name}.dockercontext`] = session.args;
  if (name !== "default") validateContextName(name);
  const meta = session.contexts.get(name);
  const tls = Object.entries(readTls(session, name)).map(([part, data]) => ({ name: `tls/docker/${part}.pem`, data: data }));
  const archive = packTar([{ name: "meta.json", data: Buffer.from(JSON.stringify(meta)) }, ...tls]);
  if (target === "-") {
    if (session.out.isTerminal) throw new Error("cowardly refusing to export to a terminal, specify a file path");
    session.out.write(archive);
    return;
  }
  fs.writeFileSync(target, archive, { flag: "wx", mode: 0o600 });
  session.err.line(`Written file ${JSON.stringify(target)}`);
}
