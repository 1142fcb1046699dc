import { humanSize } from "../../../lib/units.ts";
import { formatRows, row } from "../../format/rows.ts";
import type { RowKind } from "../../format/rows.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";

const KIND: RowKind = { typeName: "*system.auditContext", headers: { Kind: "KIND", ID: "ID", Problem: "PROBLEM", Remedy: "REMEDY" } };

interface Report {
  Checked: Record<string, number>;
  Problems: { Kind: string; Id: string; Problem: string; Remedy: string; Repaired: boolean }[];
}

/** Ends with 1 while there are problems. */
export async function run(session: Session): Promise<void> {
  const repair = session.flags.bool("repair");
  const { Checked, Problems } = await session.client.json<Report>("POST", "/system/check", { query: { repair: repair ? "1" : "" } });
  if (Problems.length > 0) {
    const rows = Problems.map(({ Kind, Id, Problem, Remedy, Repaired }) => row(KIND, { Kind: () => Kind, ID: () => Id, Problem: () => Problem, Remedy: () => (Repaired ? "repaired" : Remedy) }));
    session.out.write(formatRows("table {{.Kind}}\\t{{.ID}}\\t{{.Problem}}\\t{{.Remedy}}", KIND, rows));
  }
  const count = (name: string, noun: string): string => `${Checked[name] ?? 0} ${noun}${Checked[name] === 1 ? "" : "s"}`;
  session.out.line(`Checked ${count("Images", "image")}, ${count("Blobs", "blob")} (${humanSize(Checked["BlobBytes"] ?? 0)}), ${count("Layers", "layer")}, ${count("Downloads", "download")}, ${count("Containers", "container")}, ${count("Volumes", "volume")}, ${count("Mounts", "mount")}`);
  const left = Problems.filter(({ Repaired }) => !Repaired).length;
  if (left > 0) throw new StatusError(1, `${left} problem${left === 1 ? "" : "s"} left`);
  session.out.line(Problems.length === 0 ? "Everything is accounted for" : "All problems are repaired");
}
