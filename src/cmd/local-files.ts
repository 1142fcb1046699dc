/** Archives out of and into the client's own folders, for `gantry cp`. An archive cannot lead out of the folder that it is put in. */
import { closeSync, constants, lstatSync, openSync } from "node:fs";
import { posix } from "node:path";
import type { LocalFiles } from "../cli/session.ts";
import { ArchiveStream, extract, openDirectory, tarFrom, writeTreeAs } from "../sys/archive.ts";

export const localFiles: LocalFiles = {
  pack(path, name) {
    if (!lstatSync(path).isDirectory()) {
      const parent = openDirectory(posix.dirname(path));
      return tarFrom(parent, (out) => writeTreeAs({ dir: parent, name: posix.basename(path) }, name, out));
    }
    const dir = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    return tarFrom(dir, (out) => writeTreeAs({ dir, name: "" }, name, out));
  },
  async unpack(folder, bytes) {
    const root = openDirectory(folder);
    try {
      using archive = new ArchiveStream({ root, unhashed: "all", flags: extract.xattrs | extract.devices | extract.copy | extract.keepKind });
      for await (const chunk of bytes) await archive.push(chunk);
      await archive.finish();
    } finally {
      closeSync(root);
    }
  },
};
