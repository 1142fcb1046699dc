import { formatRows, row } from "../../format/rows.ts";
import type { RowKind } from "../../format/rows.ts";
import type { Session } from "../../session.ts";
import { StatusError } from "../../status-error.ts";

const KIND: RowKind = { typeName: "*system.checkContext", headers: { Feature: "FEATURE", Present: "PRESENT", Detail: "DETAIL", Cost: "WITHOUT IT" } };

/** What this machine offers of all that the engine uses. No daemon is asked. */
export async function run(session: Session): Promise<void> {
  if (!session.wiring.check) throw new StatusError(1, "this build of the client cannot look at the machine");
  const features = await session.wiring.check();
  const given = session.flags.string("format");
  const format = given === "" || given === "table" ? "table {{.Feature}}\\t{{.Present}}\\t{{.Cost}}" : given;
  const rows = features.map((feature) =>
    row(KIND, { Feature: () => feature.feature, Present: () => (feature.present ? "yes" : "NO"), Detail: () => feature.detail ?? "", Cost: () => (feature.present && format.startsWith("table") ? "" : feature.cost) }),
  );
  session.out.write(formatRows(format, KIND, rows));
}
