import { naturalOrder } from "../../../lib/natural-order.ts";
import { encodeFilters, filterQuery } from "../../flag-types.ts";
import { formatRows, row } from "../../format/rows.ts";
import type { RowKind } from "../../format/rows.ts";
import { goTime, labelText, shortId } from "../../format/text.ts";
import { path } from "../../api/client.ts";
import { networkTree } from "../../format/network-tree.ts";
import type { NetworkDetails } from "../../format/network-tree.ts";
import type { Session } from "../../session.ts";

interface NetworkSummary {
  Id: string;
  Name: string;
  Driver: string;
  Scope: string;
  Created: string;
  EnableIPv4?: boolean;
  EnableIPv6: boolean;
  Internal: boolean;
  Labels: Record<string, string> | null;
}

const KIND: RowKind = {
  typeName: "*network.networkContext",
  headers: { ID: "NETWORK ID", Name: "NAME", Driver: "DRIVER", Scope: "SCOPE", IPv4: "IPV4", IPv6: "IPV6", Internal: "INTERNAL", Labels: "LABELS", CreatedAt: "CREATED AT" },
};

export const onlyAsks = true;

export async function run(session: Session): Promise<void> {
  const { flags, config } = session;
  const quiet = flags.bool("quiet");
  const networks = await session.client.json<NetworkSummary[]>("GET", "/networks", { query: { filters: encodeFilters(filterQuery(flags.list("filter"))) } });
  networks.sort((one, two) => naturalOrder(one.Name, two.Name));
  if (flags.bool("tree")) return showTree(session, networks);
  const given = flags.string("format") || (quiet ? "" : (config.data.networksFormat ?? ""));
  const truncate = !flags.bool("no-trunc");
  const rows = networks.map((network) =>
    row(KIND, {
      ID: () => (truncate ? shortId(network.Id) : network.Id),
      Name: () => network.Name,
      Driver: () => network.Driver,
      Scope: () => network.Scope,
      IPv4: () => String(network.EnableIPv4 ?? true),
      IPv6: () => String(network.EnableIPv6),
      Internal: () => String(network.Internal),
      Labels: () => labelText(network.Labels),
      Label: (name: string) => network.Labels?.[name] ?? "",
      CreatedAt: () => goTime(new Date(network.Created), "utc", fraction(network.Created)),
    }),
  );
  session.out.write(formatRows(listFormat(given, quiet), KIND, rows));
}

async function showTree(session: Session, networks: readonly NetworkSummary[]): Promise<void> {
  const other = ["format", "no-trunc", "quiet"].find((flag) => session.flags.changed(flag));
  if (other !== undefined) throw new Error(`--${other} is not supported with --tree`);
  const details = await Promise.all(networks.map(({ Id }) => session.client.json<NetworkDetails>("GET", path`/networks/${Id}`)));
  session.out.write(networkTree(details));
}

function listFormat(given: string, quiet: boolean): string {
  if (given === "" || given === "table") return quiet ? "{{.ID}}" : "table {{.ID}}\\t{{.Name}}\\t{{.Driver}}\\t{{.Scope}}";
  if (given === "raw") return quiet ? "network_id: {{.ID}}" : "network_id: {{.ID}}\\nname: {{.Name}}\\ndriver: {{.Driver}}\\nscope: {{.Scope}}\\n";
  return given;
}

/** The decimals of a time's seconds, without trailing zeros. */
const fraction = (time: string): string => (/\.(\d+)/.exec(time)?.[0] ?? "").replace(/\.?0+$/, "");
