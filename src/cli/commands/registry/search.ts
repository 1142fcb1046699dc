import { encodeFilters, filterQuery } from "../../flag-types.ts";
import { formatRows, row } from "../../format/rows.ts";
import type { RowKind } from "../../format/rows.ts";
import { ellipsis } from "../../format/text.ts";
import { INDEX_SERVER, credentialsFor, encodeAuth } from "../../registry/auth.ts";
import type { Session } from "../../session.ts";

interface Found {
  name: string;
  description: string;
  star_count: number;
  is_official: boolean;
}

const KIND: RowKind = { typeName: "*registry.searchContext", headers: { Name: "NAME", Description: "DESCRIPTION", StarCount: "STARS", IsOfficial: "OFFICIAL" } };
const WIDTH = 45;

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const term = session.args[0] as string;
  const domain = /^([^/]*[.:][^/]*|localhost)\//.exec(term)?.[1];
  const found = await session.client.json<Found[]>("GET", "/images/search", {
    query: { term, limit: flags.int("limit") || undefined, filters: encodeFilters(filterQuery(flags.list("filter"))) },
    headers: { "X-Registry-Auth": encodeAuth(credentialsFor(session.config.data, domain ?? INDEX_SERVER)) },
  });
  const given = flags.string("format");
  const format = given === "" || given === "table" ? "table {{.Name}}\\t{{.Description}}\\t{{.StarCount}}\\t{{.IsOfficial}}" : given;
  const json = format === "json" || format.includes("json");
  const rows = found.map((image) =>
    row(KIND, {
      Name: () => image.name,
      Description: () => (flags.bool("no-trunc") ? oneLine(image.description) : ellipsis(oneLine(image.description), WIDTH)),
      StarCount: () => String(image.star_count),
      IsOfficial: () => (json ? String(image.is_official) : image.is_official ? "[OK]" : ""),
    }),
  );
  session.out.write(formatRows(format, KIND, rows));
}

const oneLine = (text: string): string => text.replace(/[\r\n]/g, " ");
