import { containerPath } from "./container.ts";
import { ApiError } from "../api/client.ts";
import { alignTabs } from "../format/tabwriter.ts";
import type { Session } from "../session.ts";

interface StartTrace {
  steps: { name: string; microseconds: number }[];
}

/** The steps of a start with their times, on stderr: the container's own output stays alone on stdout. */
export async function showStartTrace(session: Session, id: string): Promise<void> {
  let trace: StartTrace;
  try {
    trace = await session.client.json<StartTrace>("GET", `${containerPath(id)}/start-trace`);
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) throw thrown;
    session.err.line(`WARNING: no trace of the start: ${thrown.message}`);
    return;
  }
  const total = trace.steps.reduce((sum, step) => sum + step.microseconds, 0);
  const rows = [...trace.steps, { name: "total", microseconds: total }].map(({ name, microseconds }) => `${name}\t${(microseconds / 1000).toFixed(3).padStart(9)} ms`);
  session.err.write(alignTabs(`STEP\t     TIME\n${rows.join("\n")}\n`, { minWidth: 10, padding: 3 }));
}
