/** What an idle daemon without containers holds: the same before and after. */
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Engine } from "../../harness/engine.ts";

export interface Holdings {
  /** One line for each thing. */
  things: string[];
  fds: number;
  kilobytes: number;
}

function holdings(engine: Engine): Holdings {
  const pid = hostPid(engine);
  const fds = readdirSync(`/proc/${pid}/fd`);
  // The relay of ports goes ten seconds after its last port.
  const links = engine.machine.inventory().filter((line) => !/^process \S+\/gantry-relay /.test(line));
  return {
    things: [
      ...links.filter((line) => !/^(link|process) /.test(line)),
      `${links.filter((line) => line.startsWith("link ")).length} links`,
      ...links.filter((line) => line.startsWith("process ")).map((line) => line.replace(/ \/.*/, " …")),
      ...list(engine.execRoot).map((name) => `exec root: ${name}`),
      ...["containers", "layers", "layers/overlay2", "content/sha256", "content/ingest", "volumes", "volume-parts", "shm"].flatMap((folder) => list(join(engine.dataRoot, folder)).map((name) => `${folder}: ${name}`)),
      ...engine.machine.run("nft", "list", "ruleset").split("\n").map((line) => `nft: ${line.trim().replace(/packets \d+ bytes \d+/, "")}`),
      ...rows(engine),
    ].sort(),
    fds: fds.length,
    kilobytes: Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]),
  };
}

/** Once work behind answers is done: the same twice, a second apart. */
export async function settled(engine: Engine): Promise<Holdings> {
  for (let last = holdings(engine); ; ) {
    await delay(1000);
    const now = holdings(engine);
    if (isDeepStrictEqual(now.things, last.things)) return now;
    last = now;
  }
}

/** What there is now and was not before, or the other way round; waits for work behind answers. */
export async function difference(engine: Engine, before: Holdings): Promise<string[]> {
  for (const end = Date.now() + 60_000; ; await delay(100)) {
    const now = holdings(engine);
    const different = [...without(now.things, before.things).map((thing) => `left: ${thing}`), ...without(before.things, now.things).map((thing) => `missing: ${thing}`)];
    if (now.fds > before.fds + 6) different.push(`descriptors: ${now.fds} instead of ${before.fds}: ${describeFds(engine)}`);
    if (now.kilobytes > before.kilobytes + 50_000) different.push(`memory: ${now.kilobytes} kB instead of ${before.kilobytes} kB`);
    if (different.length === 0 || Date.now() > end) return different;
  }
}

/** Of a list with repetitions. */
function without(list: readonly string[], other: readonly string[]): string[] {
  const rest = [...other];
  return list.filter((each) => {
    const at = rest.indexOf(each);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** Of a copy: the daemon has its database for itself. */
function rows(engine: Engine): string[] {
  const copy = join(engine.machine.folder, "state-copy.db");
  copyDatabase(join(engine.dataRoot, "state.db"), copy);
  const database = new DatabaseSync(copy);
  try {
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all().map((row) => String(row["name"]));
    return tables.map((table) => `rows of ${table}: ${String(database.prepare(`SELECT count(*) AS n FROM "${table}"`).get()?.["n"])}`);
  } finally {
    database.close();
  }
}

/** Of one moment: the log may be put into the file and emptied meanwhile, and copyFile never ends when what it copies gets shorter. */
function copyDatabase(from: string, to: string): void {
  for (;;) {
    const log = readFileSync(`${from}-wal`);
    const file = readFileSync(from);
    if (!log.equals(readFileSync(`${from}-wal`))) continue;
    writeFileSync(to, file);
    return writeFileSync(`${to}-wal`, log);
  }
}

function describeFds(engine: Engine): string {
  const pid = hostPid(engine);
  const counts = new Map<string, number>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const kind = readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/\d+/g, "N");
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    } catch {
      // Closed meanwhile.
    }
  }
  return [...counts].map(([kind, count]) => `${count} ${kind}`).join(", ");
}

/** The daemon's, as the host counts. */
function hostPid(engine: Engine): number {
  const inside = engine.pid();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const namespaces = /^NSpid:\s+\d+\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
      if (Number(namespaces?.[1]) === inside && readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync(`/proc/${engine.machine.pid}/ns/net`)) return Number(pid);
    } catch {
      // It ended meanwhile.
    }
  }
  throw new Error(`no process ${inside} in the machine`);
}
