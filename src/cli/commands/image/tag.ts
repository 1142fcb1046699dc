import { messageOf } from "../../../lib/errors.ts";
import { parseReference, repositoryOf } from "../../../lib/reference.ts";
import { path } from "../../api/client.ts";
import { parseImageName } from "../../parse/reference.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const [source = "", target = ""] = session.args;
  checked(source, parseImageName);
  const reference = checked(target, parseReference);
  if (reference.digest) throw new Error("refusing to create a tag with a digest reference");
  await session.client.text("POST", path`/images/${source}/tag`, { query: { repo: repositoryOf(reference), tag: reference.tag ?? "latest" } });
}

function checked<T>(name: string, parse: (name: string) => T): T {
  try {
    return parse(name);
  } catch (thrown) {
    throw new Error(`error parsing reference: ${JSON.stringify(name)} is not a valid repository/tag: ${messageOf(thrown)}`);
  }
}
