import { path } from "../../api/client.ts";
import { alignTabs } from "../../format/tabwriter.ts";
import type { Session } from "../../session.ts";

export async function run(session: Session): Promise<void> {
  const [name = "", ...options] = session.args;
  const { Titles, Processes } = await session.client.json<{ Titles: string[]; Processes: string[][] | null }>("GET", path`/containers/${name}/top`, { query: { ps_args: options.length > 0 ? options.join(" ") : undefined } });
  session.out.write(alignTabs(`${[Titles, ...(Processes ?? [])].map((cells) => cells.join("\t")).join("\n")}\n`, { minWidth: 20, padding: 3 }));
}
