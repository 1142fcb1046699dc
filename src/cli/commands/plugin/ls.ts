import { encodeFilters, filterQuery } from "../../flag-types.ts";
import { formatRows, row } from "../../format/rows.ts";
import type { RowKind } from "../../format/rows.ts";
import { ellipsis, shortId } from "../../format/text.ts";
import type { Session } from "../../session.ts";

interface Plugin {
  Id: string;
  Name: string;
  Enabled: boolean;
  PluginReference?: string;
  Config: { Description: string };
}

const KIND: RowKind = { typeName: "*plugin.pluginContext", headers: { ID: "ID", Name: "NAME", Description: "DESCRIPTION", Enabled: "ENABLED", PluginReference: "PLUGIN REFERENCE" } };
const WIDTH = 45;

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const plugins = await session.client.json<Plugin[] | null>("GET", "/plugins", { query: { filters: encodeFilters(filterQuery(flags.list("filter"))) } });
  const truncate = !flags.bool("no-trunc");
  const quiet = flags.bool("quiet");
  const given = flags.string("format") || (quiet ? "" : (session.config.data.pluginsFormat ?? ""));
  const format = given === "" || given === "table" ? (quiet ? "{{.ID}}" : "table {{.ID}}\\t{{.Name}}\\t{{.Description}}\\t{{.Enabled}}") : given;
  const rows = (plugins ?? []).sort((one, two) => (one.Name < two.Name ? -1 : 1)).map((plugin) =>
    row(KIND, {
      ID: () => (truncate ? shortId(plugin.Id) : plugin.Id),
      Name: () => plugin.Name,
      Description: () => (truncate ? ellipsis(plugin.Config.Description, WIDTH) : plugin.Config.Description),
      Enabled: () => plugin.Enabled,
      PluginReference: () => plugin.PluginReference ?? "",
    }),
  );
  session.out.write(formatRows(format, KIND, rows));
}
