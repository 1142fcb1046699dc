import { ApiError } from "../../api/client.ts";
import { encodeFilters } from "../../flag-types.ts";
import type { Session } from "../../session.ts";
import { pruneFilters } from "../prune-filters.ts";
import { type Pruned, runPrune } from "../prune-run.ts";
import { pruneBuildCache } from "../builder/prune.ts";
import { type PrunedContainers, containerLines, pruneContainers } from "../container/prune.ts";
import { type PrunedImages, imageLines, pruneImages } from "../image/prune.ts";
import { type PrunedNetworks, networkLines, pruneNetworks } from "../network/prune.ts";
import { type PrunedVolumes, pruneVolumes, volumeLines } from "../volume/prune.ts";

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const volumes = flags.bool("volumes");
  const all = flags.bool("all");
  if (volumes && flags.list("filter").some((filter) => filter.startsWith("until="))) throw new Error('ERROR: The "until" filter is not supported with "--volumes"');
  await runPrune(session, warning(session, { volumes, all }), (query) => (Object.keys(query).length > 0 ? planned(session, { volumes, all }, query) : oneByOne(session, { volumes, all })));
}

/** A dry run, or what it said: only the daemon knows what would be free once something else has gone. */
async function planned(session: Session, { volumes, all }: { volumes: boolean; all: boolean }, query: Record<string, string>): Promise<Pruned> {
  const answer = await session.client.json<PrunedContainers & PrunedNetworks & PrunedVolumes & PrunedImages>("POST", "/system/prune", {
    query: { filters: encodeFilters(pruneFilters(session)), volumes: volumes || undefined, all: all || undefined, ...query },
  });
  const parts = [containerLines(answer), networkLines(answer), volumeLines(answer), imageLines(answer)];
  return { deleted: parts.filter((part) => part !== "").join("\n"), space: answer.SpaceReclaimed, state: answer.State };
}

async function oneByOne(session: Session, { volumes, all }: { volumes: boolean; all: boolean }): Promise<Pruned> {
  const steps: (() => Promise<Pruned>)[] = [
    () => pruneContainers(session),
    () => pruneNetworks(session),
    ...(volumes ? [() => pruneVolumes(session, false)] : []),
    () => pruneImages(session, all),
    () => pruneBuildCache(session, { all }),
  ];
  let space = 0;
  for (const step of steps) {
    const done = await step().catch((thrown: unknown) => {
      if (thrown instanceof ApiError && thrown.status === 501) return { deleted: "", space: 0 };
      throw thrown;
    });
    space += done.space ?? 0;
    if (done.deleted !== "") session.out.line(done.deleted);
  }
  return { deleted: "", space };
}

function warning(session: Session, options: { volumes: boolean; all: boolean }): string {
  const items = [
    "all stopped containers",
    "all networks not used by at least one container",
    ...(options.volumes ? ["all anonymous volumes not used by at least one container"] : []),
    options.all ? "all images without at least one container associated to them" : "all dangling images",
    options.all ? "all build cache" : "unused build cache",
  ];
  const filters = session.flags.list("filter");
  const shown = filters.length === 0 ? "" : `\n  Items to be pruned will be filtered with:\n${filters.map((filter) => `  - ${filter}\n`).join("")}`;
  return `WARNING! This will remove:\n${items.map((item) => `  - ${item}\n`).join("")}${shown}`;
}
