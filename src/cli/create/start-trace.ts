import { containerPath } from "./container.ts";
import { ApiError } from "../api/client.ts";
import type { Session } from "../session.ts";

export interface TraceStep {
  name: string;
  microseconds: number;
}

/** The steps of a start with their times, on stderr: the container's own output stays alone on stdout. */
export async function showStartTrace(session: Session, id: string): Promise<void> {
  try {
    const { steps } = await session.client.json<{ steps: TraceStep[] }>("GET", `${containerPath(id)}/start-trace`);
    session.err.write(traceText(steps));
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) throw thrown;
    session.err.line(`WARNING: no trace of the start: ${thrown.message}`);
  }
}

interface Line extends TraceStep {
  count: number;
}

/** "task: clone" is a part of "task": indented above it, and not added up again. Neighbours of one name become one line. */
export function traceText(steps: TraceStep[]): string {
  const parents = new Set(steps.map(({ name }) => name));
  const parentOf = (name: string): string | undefined => [...parents].find((parent) => name.startsWith(`${parent}: `));
  const lines: Line[] = [];
  for (const { name, microseconds } of steps) {
    const shown = name.replace(/[0-9a-f]{64}/g, (id) => id.slice(0, 12));
    const last = lines.at(-1);
    if (last?.name === shown) Object.assign(last, { microseconds: last.microseconds + microseconds, count: last.count + 1 });
    else lines.push({ name: shown, microseconds, count: 1 });
  }
  const total = steps.filter(({ name }) => parentOf(name) === undefined).reduce((sum, { microseconds }) => sum + microseconds, 0);
  const text = ({ name, microseconds, count }: Line): string => {
    const parent = parentOf(name);
    const label = parent === undefined ? name : `  ${name.slice(parent.length + 2)}`;
    return `${milliseconds(microseconds)}  ${label}${count > 1 ? ` (${count} times)` : ""}\n`;
  };
  return `${"TIME".padStart(11)}  STEP\n${lines.map(text).join("")}${milliseconds(total)}  total\n`;
}

const milliseconds = (microseconds: number): string => `${(microseconds / 1000).toFixed(3).padStart(8)} ms`;
