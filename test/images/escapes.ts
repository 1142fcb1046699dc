/** Archives that try to leave their root, the canary tree that they must not change, and a naive extractor that lets them. */
import { chmodSync, chownSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { RawEntry } from "../../src/sys/tar.fixture.ts";

export interface Ground extends Disposable {
  dir: string;
  /** Where archives are untarred: two folders below the canary's. */
  root: string;
  state: () => string;
}

export function ground(): Ground {
  const dir = mkdtempSync(join(tmpdir(), "gantry-hostile-"));
  mkdirSync(join(dir, "canary/sub"), { recursive: true });
  writeFileSync(join(dir, "canary/file"), "untouched");
  writeFileSync(join(dir, "canary/sub/file"), "untouched");
  mkdirSync(join(dir, "a/root"), { recursive: true });
  const state = (): string =>
    readdirSync(join(dir, "canary"), { recursive: true, encoding: "utf8" })
      .sort()
      .concat(".")
      .map((name) => {
        const path = join(dir, "canary", name);
        const stat = lstatSync(path);
        return [name, stat.mode, stat.uid, stat.nlink, stat.mtimeMs, stat.isFile() ? readFileSync(path, "utf8") : ""].join(" ");
      })
      .join("\n");
  return { dir, root: join(dir, "a/root"), state, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}

/** What must not be written: paths as strings, links followed. */
export function naive(root: string, entries: readonly RawEntry[]): void {
  for (const { name, type = "0", data = "", link = "", mode = 0o644, uid } of entries) {
    const path = `${root}/${String(name)}`;
    try {
      if (/\.wh\.[^/]*$/.test(String(name))) {
        const hidden = path.replace(/\.wh\.(?=[^/]*$)/, "");
        rmSync(String(name).endsWith(".wh..wh..opq") ? join(dirname(path), "file") : hidden, { recursive: true });
      } else if (type === "5") mkdirSync(path, { recursive: true });
      else if (type === "1") linkSync(`${root}/${String(link)}`, path);
      else if (type === "2") symlinkSync(String(link), path);
      else {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, data);
      }
      if (type !== "2") chmodSync(path, mode);
      if (uid !== undefined) chownSync(path, uid, 0);
    } catch {
      /* goes on, as tar does */
    }
  }
}

const up = "../../canary";
/** `out` stands for the way from the root to the canary; absolute ones are completed by each test. */
export const escapes: Record<string, (out: string) => RawEntry[]> = {
  "a name with ..": () => [{ name: `${up}/file`, data: "evil" }],
  "a name with .. after a folder": () => [{ name: "d/", type: "5" }, { name: `d/../${up}/file`, data: "evil" }],
  "a name with .. in PAX": () => [{ name: `${up}/new`, data: "evil", pax: { path: `${up}/new` } }],
  "a folder with ..": () => [{ name: `${up}/made`, type: "5" }],
  "a symbolic link as parent": () => [{ name: "l", type: "2", link: up }, { name: "l/file", data: "evil" }],
  "an absolute symbolic link as parent": (out) => [{ name: "l", type: "2", link: out }, { name: "l/file", data: "evil" }],
  "links upon links": () => [{ name: "a", type: "2", link: ".." }, { name: "b", type: "2", link: "a/.." }, { name: "b/canary/file", data: "evil" }],
  "a link and the file of the same name": () => [{ name: "file", type: "2", link: `${up}/file` }, { name: "file", data: "evil" }],
  "a link that a folder is made through": () => [{ name: "l", type: "2", link: up }, { name: "l/made", type: "5" }],
  "a link whose folder entry changes its mode": () => [{ name: "l", type: "2", link: up }, { name: "l/", type: "5", mode: 0o777 }],
  "a hard link to the outside": () => [{ name: "h", type: "1", link: `${up}/file` }, { name: "h", data: "evil" }],
  "a hard link through a symbolic link": () => [{ name: "l", type: "2", link: up }, { name: "h", type: "1", link: "l/file" }],
  "an absolute hard link": (out) => [{ name: "l", type: "2", link: dirname(out) }, { name: "h", type: "1", link: "l/canary/file" }],
  "a hard link with another owner": () => [{ name: "h", type: "1", link: `${up}/file`, uid: 77, mode: 0o4777 }],
  "a whiteout with .. before it": () => [{ name: `${up}/.wh.file` }],
  "a whiteout behind a link": () => [{ name: "l", type: "2", link: up }, { name: "l/.wh.file" }],
  "an opaque mark behind a link": () => [{ name: "l", type: "2", link: up }, { name: "l/.wh..wh..opq" }],
  "a whiteout of ..": () => [{ name: "d/", type: "5" }, { name: `d/.wh./../../${up}/file` }],
};

/** The same archive, its names written in other ways. */
export const spellings: Record<string, (entry: RawEntry) => RawEntry> = {
  plain: (entry) => entry,
  "with ./": (entry) => ({ ...entry, name: `./${String(entry.name)}` }),
  "with doubled slashes": (entry) => ({ ...entry, name: String(entry.name).replaceAll("/", "//"), ...(entry.type === "1" ? { link: String(entry.link).replaceAll("/", "//./") } : {}) }),
  "in PAX records": (entry) => ({ ...entry, name: "harmless", link: "harmless", pax: { ...entry.pax, path: String(entry.name), ...(entry.link === undefined ? {} : { linkpath: String(entry.link) }) } }),
  "in the ustar prefix": (entry) => {
    const cut = String(entry.name).lastIndexOf("/");
    return cut < 1 ? entry : { ...entry, name: String(entry.name).slice(cut + 1), patch: [[345, String(entry.name).slice(0, cut)]] };
  },
};
