/** The data of volumes as trees: copied, archived and unpacked. */
import { chmodSync, chownSync, closeSync, mkdirSync, statSync, utimesSync } from "node:fs";
import { conflict, invalidParameter, messageOf, systemError } from "../../lib/errors.ts";
import { ArchiveStream, changesFrom, copyTree, diffTree, extract, openDirectory, syncFileSystem, tarFrom, withDirectory, writeTreeAs } from "../../sys/archive.ts";

/** Of a folder that is not there yet. */
export async function copyFolder(from: string, to: string): Promise<void> {
  mkdirSync(to, { mode: 0o700 });
  await copyTree(from, to);
  const { uid, gid, mode, atime, mtime } = statSync(from);
  chownSync(to, uid, gid);
  chmodSync(to, mode & 0o7777);
  utimesSync(to, atime, mtime);
}

/** With the folder itself as the first entry. */
export function archiveOf(folder: string): AsyncIterable<Uint8Array> {
  const dir = openDirectory(folder);
  return tarFrom(dir, (out) => writeTreeAs({ dir, name: "" }, ".", out));
}

/** What a folder changed in an older one. Throws "conflict" for names that an archive of changes has no way to say. */
export async function* changesOf(folder: string, older: string): AsyncGenerator<Uint8Array> {
  const odd = (await diffTree(folder, [older], "copy")).find(({ path }) => /(^|\/)\.wh\./.test(path));
  if (odd) throw conflict(`the volume has ${odd.path}: an archive of changes says by such names what was removed; take a whole one`);
  yield* changesFrom(folder, [older], "copy");
}

/** Into a folder that is there. What comes is not trusted. */
export async function unpack(folder: string, bytes: AsyncIterable<Uint8Array>, { apply }: { apply: boolean }): Promise<void> {
  const root = openDirectory(folder);
  try {
    using archive = new ArchiveStream({ root, unhashed: "all", flags: extract.owner | extract.xattrs | extract.devices | (apply ? extract.whiteoutApply : 0) });
    let isEmpty = true;
    for await (const chunk of bytes) {
      isEmpty = false;
      await archive.push(chunk);
    }
    if (isEmpty) throw invalidParameter("the archive is empty");
    await archive.finish();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === "EBADMSG" || code === "EXDEV" ? invalidParameter(`the archive cannot be unpacked: ${messageOf(error)}`, error) : systemError(messageOf(error), error);
  } finally {
    closeSync(root);
  }
}

/** What was written is on the disk. */
export const synced = (folder: string): Promise<void> => withDirectory(folder, () => syncFileSystem(folder));
