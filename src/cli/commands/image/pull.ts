import { parsePlatform } from "../../../lib/platform.ts";
import { canonicalName, parseReference, withDefaultTag } from "../../../lib/reference.ts";
import { pullImage } from "../../registry/pull.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const name = args[0] as string;
  const reference = parseReference(name);
  const all = flags.bool("all-tags");
  const bare = reference.tag === undefined && reference.digest === undefined;
  if (all && !bare) throw new Error("tag can't be used with --all-tags/-a");
  const quiet = flags.bool("quiet");
  if (!all && bare && !quiet) session.out.line("Using default tag: latest");
  const platform = flags.string("platform") || process.env["DOCKER_DEFAULT_PLATFORM"] || "";
  if (platform !== "") parsePlatform(platform);
  await pullImage(session, name, { platform, quiet, all, out: session.out });
  session.out.line(canonicalName(all ? reference : withDefaultTag(reference)));
}
