/**
 * What a snapshot's folder says of its datasets, each written before its dataset is made, so that a crash leaves none that nothing knows of:
 *
 *   <dir>/<id>/dataset      { name, limit? }
 *   <dir>/<id>/init         the same, of a committed one with what containers always have
 *   <dir>/<id>/init-making  the same before it has all that
 *   <dir>/pool/owner        what the datasets of this folder are marked with
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomId } from "../../lib/random-id.ts";

const recordNames = ["dataset", "init", "init-making"] as const;
export type RecordName = (typeof recordNames)[number];

export interface DatasetRecord {
  name: string;
  /** Bytes that the container may take. */
  limit?: number;
}

export function readRecord(folder: string, which: RecordName): DatasetRecord | undefined {
  const file = join(folder, which);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as DatasetRecord) : undefined;
}

export const writeRecord = (folder: string, which: RecordName, record: DatasetRecord): void => writeWhole(join(folder, which), JSON.stringify(record));

export function namesIn(folder: string): string[] {
  return recordNames.flatMap((which) => readRecord(folder, which)?.name ?? []);
}

/** Of all snapshots. */
export function namesBelow(dir: string): Set<string> {
  const folders = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return new Set(folders.flatMap(({ name }) => namesIn(join(dir, name))));
}

/** Made at the first need; lasting. */
export function ownerOf(dir: string): string {
  const file = join(dir, "pool/owner");
  if (!existsSync(file)) {
    mkdirSync(join(dir, "pool"), { recursive: true, mode: 0o700 });
    writeWhole(file, randomId());
  }
  return readFileSync(file, "utf8");
}

function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
