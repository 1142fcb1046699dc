/** Tables that belong to one socket (kernel 6.9 and later): others cannot change them, and they stay when the socket is gone. */
import { GantryError } from "../../lib/errors.ts";
import type { NftChange, NftTable, NftTransaction } from "./nftables.ts";
import { errnoCode } from "./socket.ts";

/** "claim": an orphan of an earlier process. "take-over": one that is ours, or nobody's. "none": the kernel knows no owners. */
export type Ownership = "claim" | "take-over" | "none";

/** A new, empty table in place of what is there. */
export function replaceTable(ownership: Ownership): NftChange[] {
  const protection = ownership === "none" ? {} : { owner: true, persist: true };
  return [ownership === "claim" ? { op: "addTable", ...protection } : { op: "addTable" }, { op: "deleteTable" }, { op: "addTable", ...protection }];
}

/** Makes the table this socket's, in the state that the transaction describes. Says how it is to be replaced from then on. */
export async function claimTable(table: NftTable, commit: (transaction: NftTransaction) => Promise<void>, state: () => readonly NftChange[]): Promise<Ownership> {
  for (const attempt of ["claim", "take-over", "none"] as const) {
    try {
      await commit({ table, changes: [...replaceTable(attempt), ...state()] });
      return attempt === "none" ? "none" : "take-over";
    } catch (error) {
      if (errnoCode(error) === "EPERM") throw new GantryError("conflict", `the firewall table ${table.family} ${table.name} belongs to another running program: is a second daemon using the same bridge?`, { cause: error });
      if (attempt === "none" || !["ENOTSUP", "EINVAL"].includes(errnoCode(error))) throw error;
    }
  }
  throw new GantryError("system", `cannot claim the firewall table ${table.name}`);
}
