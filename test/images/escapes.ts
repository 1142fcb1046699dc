/**
 * Archives that try to leave their root, by rule: each way out × each thing done there; written in several spellings.
 * With them the canary tree that they must not change, and a naive extractor that lets them.
 */
import { chmodSync, chownSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statfsSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { RawEntry } from "../../src/sys/tar.fixture.ts";

export interface Ground extends Disposable {
  dir: string;
  /** What archives must not change. */
  canary: string;
  /** Where archives are untarred: two folders below the canary's. */
  root: string;
  /** All that can be seen of the canary, and what else is beside it. */
  state: () => string;
}

/** A folder for tests that write much: in memory where there is some. */
export function fastFolder(): string {
  const memory = "/dev/shm";
  try {
    const { bavail, bsize } = statfsSync(memory);
    return bavail * bsize > 1 << 30 ? memory : tmpdir();
  } catch {
    return tmpdir();
  }
}

export function ground(): Ground {
  const dir = mkdtempSync(join(fastFolder(), "gantry-hostile-"));
  const canary = join(dir, "canary");
  mkdirSync(join(canary, "sub"), { recursive: true });
  for (const name of ["file", "sub/file"]) writeFileSync(join(canary, name), "untouched");
  symlinkSync("file", join(canary, "link"));
  mkdirSync(join(dir, "a/root"), { recursive: true });
  const seen = (name: string): string => {
    const path = join(canary, name);
    const stat = lstatSync(path, { bigint: true });
    return [name, stat.ino, stat.mode, stat.uid, stat.nlink, stat.mtimeNs, stat.ctimeNs, stat.isFile() ? readFileSync(path, "utf8") : stat.isSymbolicLink() ? readlinkSync(path) : ""].join(" ");
  };
  const state = (): string => [...readdirSync(canary, { recursive: true, encoding: "utf8" }), "."].sort().map(seen).concat(readdirSync(dir), readdirSync(join(dir, "a"))).join("\n");
  return { dir, canary, root: join(dir, "a/root"), state, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}

/** What must not be written: paths as strings, links followed. A device or FIFO is a file here: that it gets there is enough. */
export function naive(root: string, entries: readonly RawEntry[]): void {
  for (const entry of entries) {
    try {
      extractNaively(root, entry);
    } catch {
      /* goes on, as tar does */
    }
  }
}

function extractNaively(root: string, { name, type = "0", data = "", link = "", mode = 0o644, uid }: RawEntry): void {
  const path = `${root}/${String(name)}`;
  const make: Record<string, () => void> = {
    "5": () => mkdirSync(path, { recursive: true }),
    "1": () => linkSync(`${root}/${String(link)}`, path),
    "2": () => symlinkSync(String(link), path),
  };
  if (String(name).endsWith("/.wh..wh..opq")) return rmSync(join(dirname(path), "file"));
  if (/\.wh\.[^/]*$/.test(String(name))) return rmSync(path.replace(/\.wh\.(?=[^/]*$)/, ""), { recursive: true });
  if (type === "1" || type === "2") rmSync(path, { force: true });
  else if (type !== "5") mkdirSync(dirname(path), { recursive: true });
  (make[type] ?? ((): void => writeFileSync(path, data)))();
  if (type !== "2") chmodSync(path, mode);
  if (uid !== undefined) chownSync(path, uid, 0);
}

/** More than any root is deep: what is left over does nothing at the top. */
const climb = "../".repeat(14);
const folder = (name: string): RawEntry => ({ name, type: "5" });
const symlink = (name: string, link: string): RawEntry => ({ name, type: "2", link });

/** How to get to the absolute path `out`: what comes before, and then the path that leads there. */
const ways: Record<string, (out: string) => [before: RawEntry[], at: string]> = {
  "by ..": (out) => [[], `${climb}${out.slice(1)}`],
  "by .. after a folder": (out) => [[folder("d/")], `d/../${climb}${out.slice(1)}`],
  "by .. at the end": (out) => [[folder("d/")], `${climb}${out.slice(1)}/sub/..`],
  "by a relative link": (out) => [[symlink("l", `${climb}${out.slice(1)}`)], "l"],
  "by an absolute link": (out) => [[symlink("l", out)], "l"],
  "by a link to the parent of all": (out) => [[symlink("l", "/")], `l${out}`],
  "by links upon links": (out) => [[symlink("a", ".."), symlink("b", `a/${climb}${out.slice(1)}`), symlink("c", "b")], "c"],
  "by a link in a folder": (out) => [[folder("d/"), folder("d/e/"), symlink("d/e/l", `../${climb}${out.slice(1)}`)], "d/e/l"],
  "by a link that replaces a folder": (out) => [[folder("l/"), { name: "l/x", data: "x" }, { name: ".wh.l" }, symlink("l", out)], "l"],
  "by another name of a link": (out) => [[symlink("l", out), { name: "h", type: "1", link: "l" }], "h"],
  "by the root in /proc": (out) => [[symlink("l", `/proc/self/root${out}`)], "l"],
};

/** What is done at `at`, where the canary is. */
const deeds: Record<string, (at: string) => RawEntry[]> = {
  "a new file": (at) => [{ name: `${at}/new`, data: "evil" }],
  "a file instead of one": (at) => [{ name: `${at}/file`, data: "evil" }],
  "a file through a link there": (at) => [{ name: `${at}/link`, data: "evil" }],
  "a new folder": (at) => [folder(`${at}/made`)],
  "a folder that is there, with its mode": (at) => [{ ...folder(`${at}/sub/`), mode: 0o777 }],
  "the canary itself, with its owner": (at) => [{ ...folder(`${at}/`), mode: 0o777, uid: 77 }],
  "a symbolic link": (at) => [symlink(`${at}/new`, "/etc/passwd")],
  "a symbolic link instead of a file": (at) => [symlink(`${at}/file`, "/etc/passwd")],
  "a hard link made there": (at) => [{ name: "own", data: "evil" }, { name: `${at}/hard`, type: "1", link: "own" }],
  "a hard link from there, written to": (at) => [{ name: "h0", type: "1", link: `${at}/file` }, { name: "h0", data: "evil" }],
  "a hard link from there, with owner and mode": (at) => [{ name: "h0", type: "1", link: `${at}/sub/file`, uid: 77, mode: 0o4777 }],
  "a FIFO": (at) => [{ name: `${at}/fifo`, type: "6" }],
  "a character device": (at) => [{ name: `${at}/null`, type: "3", major: 1, minor: 3 }],
  "a block device": (at) => [{ name: `${at}/disk`, type: "4", major: 7, minor: 0 }],
  "a whiteout": (at) => [{ name: `${at}/.wh.file` }],
  "an opaque mark": (at) => [{ name: `${at}/sub/.wh..wh..opq` }],
  "a sparse file": (at) => [{ name: `${at}/file`, data: "xy", pax: { "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "3,2", "GNU.sparse.size": "9" } }],
  "attributes": (at) => [{ name: `${at}/file`, data: "evil", pax: { "SCHILY.xattr.user.evil": "1", "SCHILY.xattr.security.capability": "\u0001" } }],
};

export interface Escape {
  name: string;
  /** `out`: the canary's absolute path. */
  entries: (out: string) => RawEntry[];
  /** The same as two layers, the upper of which relies on the lower: undefined when there is nothing before the deed. */
  layers: (out: string) => [lower: RawEntry[], upper: RawEntry[]] | undefined;
}

export const escapes: readonly Escape[] = Object.entries(ways).flatMap(([way, lead]) =>
  Object.entries(deeds).map(([deed, act]) => ({
    name: `${deed} ${way}`,
    entries: (out: string) => {
      const [before, at] = lead(out);
      return [...before, ...act(at)];
    },
    layers: (out: string) => {
      const [before, at] = lead(out);
      return before.length === 0 ? undefined : [before, act(at)];
    },
  })),
);

const inFields = (text: RawEntry["name"] | undefined): boolean => Buffer.byteLength(text ?? "") <= 100;
const inPax = (entry: RawEntry): RawEntry => ({ ...entry, name: "harmless", link: "harmless", pax: { ...entry.pax, path: String(entry.name), ...(entry.link === undefined ? {} : { linkpath: String(entry.link) }) } });

/** The same archive, its names written in other ways. */
export const spellings: Record<string, (entry: RawEntry) => RawEntry[]> = {
  plain: (entry) => [inFields(entry.name) && inFields(entry.link) ? entry : inPax(entry)],
  "with ./": (entry) => spellings["plain"]?.({ ...entry, name: `./${String(entry.name)}` }) ?? [],
  "with doubled slashes": (entry) => spellings["plain"]?.({ ...entry, name: String(entry.name).replaceAll("/", "//"), ...(entry.type === "1" ? { link: String(entry.link).replaceAll("/", "//./") } : {}) }) ?? [],
  "in PAX records": (entry) => [inPax(entry)],
  "in GNU long names": (entry) => [
    { name: "././@LongLink", type: "L", data: `${String(entry.name)}\0` },
    ...(entry.link === undefined ? [] : [{ name: "././@LongLink", type: "K", data: `${String(entry.link)}\0` }]),
    { ...entry, name: "harmless", link: "harmless" },
  ],
  "in the ustar prefix": (entry) => {
    const cut = String(entry.name).lastIndexOf("/", String(entry.name).length - 2);
    return cut < 1 ? (spellings["plain"]?.(entry) ?? []) : [{ ...entry, name: String(entry.name).slice(cut + 1), patch: [[345, String(entry.name).slice(0, cut)]] }];
  },
};

export const spelled = (entries: readonly RawEntry[], how: string): RawEntry[] => entries.flatMap((entry) => spellings[how]?.(entry) ?? []);

/** Each escape in one spelling, all spellings in turn: for entry points where all of all take too long. */
export const everyEscape: readonly Escape[] = escapes.map(({ name, entries, layers }, at) => {
  const how = Object.keys(spellings)[at % Object.keys(spellings).length] ?? "";
  return { name: `${name}, ${how}`, entries: (out) => spelled(entries(out), how), layers };
});
