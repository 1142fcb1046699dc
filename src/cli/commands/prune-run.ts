/** What all prunes have in common: the question, the dry run and its later application. */
import { humanSize } from "../../lib/units.ts";
import type { Session } from "../session.ts";
import { confirm } from "./confirm.ts";

export interface Pruned {
  /** A heading and a line for each; "" for nothing. */
  deleted: string;
  /** Undefined where nothing has a size. */
  space: number | undefined;
  /** Of a dry run. */
  state?: string | undefined;
}

/** `ask` sends these parameters besides its own. */
export async function runPrune(session: Session, warning: string, ask: (query: Record<string, string>) => Promise<Pruned>): Promise<void> {
  const { flags, out } = session;
  const state = flags.string("state");
  if (flags.bool("dry-run")) {
    const plan = await ask({ "dry-run": "1" });
    if (plan.deleted !== "") out.line(plan.deleted.replace(/^Deleted (\w+):$/gm, (_, what: string) => `Would delete ${what.toLowerCase()}:`));
    if (plan.space !== undefined) out.line(`Total reclaimable space: ${humanSize(plan.space)}`);
    out.line(`To do exactly this, or nothing: the same command with --state ${plan.state ?? ""} in place of --dry-run`);
    return;
  }
  if (!flags.bool("force") && state === "") await confirm(`${warning}\nAre you sure you want to continue?`);
  const { deleted, space } = await ask(state === "" ? {} : { state });
  if (deleted !== "") out.line(deleted);
  if (space !== undefined) out.line(`Total reclaimed space: ${humanSize(space)}`);
}
