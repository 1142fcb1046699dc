import { humanSize } from "../../../lib/units.ts";
import { path } from "../../api/client.ts";
import { formatRows, row } from "../../format/rows.ts";
import type { RowKind } from "../../format/rows.ts";
import { ago, ellipsis, shortId } from "../../format/text.ts";
import type { Session } from "../../session.ts";
import type { TemplateObject } from "../../../lib/template/values.ts";
import { encodePlatform } from "./load.ts";

interface Layer {
  Id: string;
  Created: number;
  CreatedBy: string;
  Size: number;
  Comment: string;
}

const KIND: RowKind = { typeName: "*image.historyContext", headers: { ID: "IMAGE", CreatedSince: "CREATED", CreatedAt: "CREATED AT", CreatedBy: "CREATED BY", Size: "SIZE", Comment: "COMMENT" } };
const COMMAND_WIDTH = 45;

export async function run(session: Session): Promise<void> {
  const { flags, args } = session;
  const platform = flags.string("platform");
  const layers = await session.client.json<Layer[]>("GET", path`/images/${args[0] as string}/history`, { query: { platform: platform === "" ? undefined : encodePlatform(platform) } });
  const human = flags.bool("human");
  const given = flags.string("format");
  const table = flags.bool("quiet") ? "{{.ID}}" : `table {{.ID}}\\t{{.${human ? "CreatedSince" : "CreatedAt"}}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}`;
  const format = given === "" || given === "table" ? table : given;
  session.out.write(formatRows(format, KIND, layers.map((layer) => layerRow(layer, { human, truncate: !flags.bool("no-trunc") }))));
}

function layerRow(layer: Layer, options: { human: boolean; truncate: boolean }): TemplateObject {
  const { human, truncate } = options;
  const createdAt = (): string => new Date(layer.Created * 1000).toISOString().replace(".000Z", "Z");
  return row(KIND, {
    ID: () => (truncate ? shortId(layer.Id) : layer.Id),
    CreatedAt: createdAt,
    CreatedSince: () => (!human ? createdAt() : layer.Created <= 0 ? "N/A" : ago(layer.Created)),
    CreatedBy: () => (truncate ? ellipsis(layer.CreatedBy.replaceAll("\t", " "), COMMAND_WIDTH) : layer.CreatedBy.replaceAll("\t", " ")),
    Size: () => (human ? humanSize(layer.Size, 3) : String(layer.Size)),
    Comment: () => layer.Comment,
  });
}
