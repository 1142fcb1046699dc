import { naturalOrder } from "../../../lib/natural-order.ts";
import { encodeFilters, filterQuery } from "../../flag-types.ts";
import { formatRows } from "../../format/rows.ts";
import { VOLUME_KIND, volumeRow } from "../../format/volume.ts";
import type { VolumeSummary } from "../../format/volume.ts";
import type { Session } from "../../session.ts";

const CLUSTER_TABLE = "table {{.Name}}\\t{{.Group}}\\t{{.Driver}}\\t{{.Availability}}\\t{{.Status}}";

export const onlyAsks = true;

export async function run(session: Session): Promise<void> {
  const { flags, config } = session;
  const quiet = flags.bool("quiet");
  const cluster = flags.bool("cluster");
  const answer = await session.client.json<{ Volumes: VolumeSummary[] | null }>("GET", "/volumes", { query: { filters: encodeFilters(filterQuery(flags.list("filter"))) } });
  const volumes = (answer.Volumes ?? []).filter((volume) => !cluster || volume.ClusterVolume).sort((one, two) => naturalOrder(one.Name, two.Name));
  const given = flags.string("format") || (!quiet && !cluster ? (config.data.volumesFormat ?? "") : "");
  const format = given === "" || given === "table" ? (quiet ? "{{.Name}}" : cluster ? CLUSTER_TABLE : "table {{.Driver}}\\t{{.Name}}") : given === "raw" ? (quiet ? "name: {{.Name}}" : "name: {{.Name}}\\ndriver: {{.Driver}}\\n") : given;
  session.out.write(formatRows(format, VOLUME_KIND, volumes.map(volumeRow)));
}
