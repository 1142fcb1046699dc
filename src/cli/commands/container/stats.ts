import { path } from "../../api/client.ts";
import { STATS_KIND, statsFormat, statsRow } from "../../format/stats.ts";
import type { StatsEntry, StatsSample } from "../../format/stats.ts";
import { formatRows } from "../../format/rows.ts";
import { jsonMessages } from "../../progress.ts";
import type { Session } from "../../session.ts";

const REFRESH_MS = 500;
const CLEAR = "\x1b[2J\x1b[H";

export async function run(session: Session): Promise<void> {
  const { flags, args, client } = session;
  const format = statsFormat(flags.string("format") || session.config.data.statsFormat || "");
  const names = args.length > 0 ? args : (await client.json<{ Id: string }[]>("GET", "/containers/json", { query: { all: flags.bool("all") || undefined } })).map(({ Id }) => Id);
  const truncate = !flags.bool("no-trunc");
  const show = (entries: StatsEntry[]): string => formatRows(format, STATS_KIND, entries.map((entry) => statsRow(entry, truncate)));
  if (flags.bool("no-stream")) {
    const samples = await Promise.allSettled(names.map((name) => client.json<StatsSample>("GET", path`/containers/${name}/stats`, { query: { stream: false } })));
    const failed = samples.find((sample) => sample.status === "rejected" && args.length > 0);
    if (failed?.status === "rejected") throw failed.reason;
    session.out.write(show(names.map((container, index) => entryOf(container, samples[index] as PromiseSettledResult<StatsSample>))));
    return;
  }
  await follow(session, { names, show, all: args.length === 0 });
}

const entryOf = (container: string, sample: PromiseSettledResult<StatsSample>): StatsEntry => ({ container, sample: sample.status === "fulfilled" ? sample.value : undefined, failed: sample.status === "rejected" });

/** Redraws the list while the containers' streams last; without names, containers come and go by the events. */
async function follow(session: Session, view: { names: string[]; show: (entries: StatsEntry[]) => string; all: boolean }): Promise<void> {
  const entries = new Map<string, StatsEntry>();
  const watch = async (name: string): Promise<void> => {
    const entry: StatsEntry = { container: name, sample: undefined, failed: false };
    entries.set(name, entry);
    const response = await session.client.stream("GET", path`/containers/${name}/stats`, { query: { stream: true } });
    for await (const sample of jsonMessages<StatsSample>(response.body)) entry.sample = sample;
    entries.delete(name);
  };
  const watching = view.names.map(watch);
  if (view.all) {
    watching.push(
      (async () => {
        const response = await session.client.stream("GET", "/events", { query: { filters: JSON.stringify({ type: { container: true }, event: { start: true, die: true } }) } });
        for await (const event of jsonMessages<{ Action: string; Actor: { ID: string } }>(response.body)) {
          if (event.Action === "start" && !entries.has(event.Actor.ID)) watch(event.Actor.ID).catch(() => undefined);
          if (event.Action === "die") entries.delete(event.Actor.ID);
        }
      })(),
    );
  }
  const timer = setInterval(() => session.out.write((session.out.isTerminal ? CLEAR : "") + view.show([...entries.values()])), REFRESH_MS);
  try {
    await Promise.all(watching);
  } finally {
    clearInterval(timer);
  }
}
