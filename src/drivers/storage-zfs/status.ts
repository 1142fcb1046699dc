/** Docker's rows for `info`. */
import { messageOf } from "../../lib/errors.ts";
import { rowsOf, tell, tellNow } from "./program.ts";

const DATASET = ["used", "available", "quota", "compression"] as const;

const poolArguments = (parent: string): string[] => ["get", "-H", "-p", "-o", "value", "health", parent.split("/")[0]!];
const datasetArguments = (parent: string): string[] => ["list", "-H", "-p", "-o", DATASET.join(","), parent];

/** What is known now; whoever asks lets it be looked at again. */
export function statusOf(parent: string): () => [string, string][] {
  let rows = rowsFrom(parent, orFailure(() => tellNow("zpool", poolArguments(parent))), tellNow("zfs", datasetArguments(parent)));
  let isLooking = false;
  const look = async (): Promise<void> => {
    isLooking = true;
    try {
      const pool = await tell("zpool", poolArguments(parent)).catch((error: unknown) => error as Error);
      rows = rowsFrom(parent, pool, await tell("zfs", datasetArguments(parent)));
    } catch {
      // What was known stays.
    } finally {
      isLooking = false;
    }
  };
  return () => {
    if (!isLooking) void look();
    return rows;
  };
}

function orFailure(ask: () => string): string | Error {
  try {
    return ask();
  } catch (error) {
    return error as Error;
  }
}

function rowsFrom(parent: string, pool: string | Error, dataset: string): [string, string][] {
  const [used = "", available = "", quota = "", compression = ""] = rowsOf(dataset)[0] ?? [];
  return [
    ["Zpool", typeof pool === "string" ? parent.split("/")[0]! : `error while getting pool information ${messageOf(pool)}`],
    ["Zpool Health", typeof pool === "string" ? pool.trim() : "not available"],
    ["Parent Dataset", parent],
    ["Space Used By Parent", used],
    ["Space Available", available],
    ["Parent Quota", quota === "0" ? "no" : quota],
    ["Compression", compression],
  ];
}
