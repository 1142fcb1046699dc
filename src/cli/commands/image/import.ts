import { formatPlatform, parsePlatform } from "../../../lib/platform.ts";
import { parseReference, repositoryOf } from "../../../lib/reference.ts";
import { showProgress } from "../../progress.ts";
import type { Session } from "../../session.ts";
import { stdin } from "../../streams.ts";
import { fromFile } from "./load.ts";

export async function run(session: Session): Promise<void> {
  const { args, flags } = session;
  const [source = "", name] = args;
  const isUrl = /^https?:\/\//.test(source);
  const body = isUrl ? undefined : source === "-" ? stdin.bytes() : fromFile(source);
  const platform = flags.string("platform");
  const reference = name ? parseReference(name) : undefined;
  const response = await session.client.stream("POST", "/images/create", {
    query: {
      fromSrc: isUrl ? source : "-",
      repo: reference ? repositoryOf(reference) : undefined,
      tag: reference?.tag,
      message: flags.string("message") || undefined,
      changes: flags.list("change").length > 0 ? flags.list("change") : undefined,
      platform: platform === "" ? undefined : formatPlatform(parsePlatform(platform)),
    },
    ...(body ? { body, headers: { "Content-Type": "application/x-tar" } } : {}),
  });
  await showProgress(response.body, session.out);
}
