import { parseReference, repositoryOf } from "../../../lib/reference.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const [container = "", name] = args;
  const reference = name ? parseReference(name) : undefined;
  if (reference?.digest) throw new Error("refusing to create a tag with a digest reference");
  const pause = !flags.bool("no-pause") && flags.bool("pause");
  const { Id } = await session.client.json<{ Id: string }>("POST", "/commit", {
    query: {
      container,
      repo: reference ? repositoryOf(reference) : undefined,
      tag: reference ? (reference.tag ?? "latest") : undefined,
      comment: flags.string("message"),
      author: flags.string("author"),
      changes: flags.list("change").length > 0 ? flags.list("change") : undefined,
      pause: pause ? undefined : false,
    },
  });
  session.out.line(Id);
}
