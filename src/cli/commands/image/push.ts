import { parsePlatform } from "../../../lib/platform.ts";
import { canonicalName, parseReference, repositoryOf, withDefaultTag } from "../../../lib/reference.ts";
import { path } from "../../api/client.ts";
import { showProgress } from "../../progress.ts";
import { authKey, credentialsFor, encodeAuth } from "../../registry/auth.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const platform = flags.string("platform");
  const query = { platform: platform === "" ? undefined : JSON.stringify(parsePlatform(platform)) };
  const reference = parseReference(args[0] as string);
  const all = flags.bool("all-tags");
  const bare = reference.tag === undefined && reference.digest === undefined;
  if (all && !bare) throw new Error("tag can't be used with --all-tags/-a");
  const quiet = flags.bool("quiet");
  if (!all && bare && !quiet) session.out.line("Using default tag: latest");
  const target = all ? reference : withDefaultTag(reference);
  const response = await session.client.stream("POST", path`/images/${repositoryOf(reference)}/push`, {
    query: { ...query, tag: target.tag ?? target.digest },
    headers: { "X-Registry-Auth": encodeAuth(credentialsFor(session.config.data, authKey(reference))) },
  });
  await showProgress(response.body, quiet ? { write: () => undefined, isTerminal: false, size: { height: 0, width: 0 } } : session.out);
  if (quiet) session.out.line(canonicalName(target));
}
