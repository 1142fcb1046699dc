import { ApiError } from "../../api/client.ts";
import { humanSize } from "../../../lib/units.ts";
import type { Session } from "../../session.ts";
import { confirm } from "../confirm.ts";
import { pruneBuildCache } from "../builder/prune.ts";
import { pruneContainers } from "../container/prune.ts";
import { pruneImages } from "../image/prune.ts";
import { pruneNetworks } from "../network/prune.ts";
import { pruneVolumes } from "../volume/prune.ts";

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const volumes = flags.bool("volumes");
  const all = flags.bool("all");
  if (volumes && flags.list("filter").some((filter) => filter.startsWith("until="))) throw new Error('ERROR: The "until" filter is not supported with "--volumes"');
  if (!flags.bool("force")) confirm(warning(session, { volumes, all }));
  const steps = [
    () => pruneContainers(session),
    async () => ({ deleted: await pruneNetworks(session), space: 0 }),
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
    space += done.space;
    if (done.deleted !== "") session.out.line(done.deleted);
  }
  session.out.line(`Total reclaimed space: ${humanSize(space)}`);
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
  return `WARNING! This will remove:\n${items.map((item) => `  - ${item}\n`).join("")}${shown}\nAre you sure you want to continue?`;
}
