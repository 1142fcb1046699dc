import { encodeFilters, filterQuery } from "../../flag-types.ts";
import { IMAGE_KIND, imageFormat, imageRows } from "../../format/image.ts";
import type { ImageSummary } from "../../format/image.ts";
import { imageTree } from "../../format/image-tree.ts";
import { formatRows } from "../../format/rows.ts";
import type { Session } from "../../session.ts";

const SUBCOMMANDS = new Set(["build", "history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push", "rm", "save", "tag"]);

export const onlyAsks = true;

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const filters = filterQuery(flags.list("filter"));
  const [name] = args;
  if (name !== undefined && name !== "") (filters["reference"] ??= {})[name] = true;
  const configured = session.config.data.imagesFormat;
  const tree = usesTree(session);
  const images = await session.client.json<ImageSummary[]>("GET", "/images/json", {
    query: { all: flags.bool("all") || undefined, filters: encodeFilters(filters), manifests: tree || undefined },
  });
  const keepDangling = flags.bool("all") || (filters["dangling"] !== undefined && !filters["dangling"]["false"]);
  const shown = keepDangling ? images : images.filter((image) => !isDangling(image));
  if (shown.length === 0 && name !== undefined && SUBCOMMANDS.has(name) && session.called.endsWith(" images")) {
    session.err.line(`No images found matching ${JSON.stringify(name)}: did you mean "${session.program} image ${name}"?`);
  }
  const format = flags.string("format") || (configured && !flags.bool("quiet") && !flags.bool("tree") ? configured : "");
  if (tree && format === "") {
    session.out.write(imageTree(shown, { expanded: flags.bool("tree"), width: session.out.size.width }));
    return;
  }
  const options = { quiet: flags.bool("quiet"), digests: flags.bool("digests") };
  const source = imageFormat(format, options);
  const digests = options.digests || source.includes("{{.Digest}}");
  session.out.write(formatRows(source, IMAGE_KIND, imageRows(shown, { truncate: !flags.bool("no-trunc"), digests })));
}

/** Without options that want the older table, images are shown as a tree. */
function usesTree(session: Session): boolean {
  const { flags } = session;
  const blockers: [boolean, string][] = [[flags.bool("quiet"), "--quiet"], [flags.bool("no-trunc"), "--no-trunc"], [flags.bool("digests"), "--show-digest"], [flags.string("format") !== "", "--format"]];
  const blocker = blockers.find(([given]) => given);
  if (blocker && flags.bool("tree")) throw new Error(`${blocker[1]} is not yet supported with --tree`);
  return !blocker;
}

function isDangling(image: ImageSummary): boolean {
  const tags = image.RepoTags ?? [];
  if (tags.length === 0) return true;
  return tags.length === 1 && tags[0] === "<none>:<none>" && image.RepoDigests?.length === 1 && image.RepoDigests[0] === "<none>@<none>";
}
