/** Shows the progress messages of pulls, pushes and loads: line by line, or in place on a terminal. */
import { humanSize } from "../lib/units.ts";
import type { OutputStream } from "./streams.ts";

export interface ProgressMessage {
  stream?: string;
  status?: string;
  id?: string;
  from?: string;
  progressDetail?: { current?: number; total?: number; start?: number; units?: string; hidecounts?: boolean };
  errorDetail?: { code?: number; message?: string };
  error?: string;
  aux?: unknown;
}

/** JSON values of a stream, one after the other, with or without line ends between them. */
export async function* jsonMessages<T>(body: AsyncIterable<Buffer>): AsyncGenerator<T> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    let end = rest.indexOf("\n");
    for (; end >= 0; end = rest.indexOf("\n")) {
      const line = rest.slice(0, end).trim();
      rest = rest.slice(end + 1);
      for (const text of line === "" ? [] : splitValues(line)) yield JSON.parse(text) as T;
    }
  }
  for (const text of rest.trim() === "" ? [] : splitValues(rest.trim())) yield JSON.parse(text) as T;
}

/** Old daemons write several objects on one line. */
function splitValues(line: string): string[] {
  const values: string[] = [];
  let depth = 0;
  let start = 0;
  let quoted = false;
  for (let at = 0; at < line.length; at++) {
    const char = line[at];
    if (quoted) {
      if (char === "\\") at++;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === "{" || char === "[") depth++;
    else if ((char === "}" || char === "]") && --depth === 0) {
      values.push(line.slice(start, at + 1));
      start = at + 1;
    }
  }
  return values.length > 0 ? values : [line];
}

/** Writes the messages to `out`; `onAux` gets what is meant for programs. Throws the error that the stream ends with. */
export async function showProgress(body: AsyncIterable<Buffer>, out: Pick<OutputStream, "write" | "isTerminal" | "size">, onAux?: (aux: unknown) => void): Promise<void> {
  const lines = new Map<string, number>();
  for await (const message of jsonMessages<ProgressMessage>(body)) {
    if (message.aux !== undefined) {
      onAux?.(message.aux);
      continue;
    }
    const failure = message.errorDetail?.message ?? message.error;
    if (failure !== undefined) throw new Error(message.errorDetail?.code === 401 ? "authentication is required" : failure);
    showMessage(message, { out, lines });
  }
}

function showMessage(message: ProgressMessage, screen: { out: Pick<OutputStream, "write" | "isTerminal" | "size">; lines: Map<string, number> }): void {
  const { out, lines } = screen;
  const bar = progressText(message, out);
  if (!out.isTerminal) {
    if (bar === "") out.write(messageText(message, ""));
    return;
  }
  const tracked = message.id !== undefined && message.id !== "" && message.progressDetail !== undefined;
  if (!tracked) {
    out.write(messageText(message, bar));
    return;
  }
  const id = message.id as string;
  let line = lines.get(id);
  if (line === undefined) {
    line = lines.size;
    lines.set(id, line);
    out.write("\n");
  }
  const up = lines.size - line;
  out.write(`\x1b[${up}A\x1b[2K\r${messageText(message, bar).replace(/\n$/, "")}\r\x1b[${up}B`);
}

function messageText(message: ProgressMessage, bar: string): string {
  if (message.stream) return message.stream;
  const prefix = (message.id ? `${message.id}: ` : "") + (message.from ? `(from ${message.from}) ` : "");
  return `${prefix}${message.status ?? ""}${bar === "" ? "" : ` ${bar}`}\n`;
}

const BAR = 50;

function progressText(message: ProgressMessage, out: Pick<OutputStream, "isTerminal" | "size">): string {
  const { current = 0, total = 0, units, hidecounts } = message.progressDetail ?? {};
  if (current <= 0 && total <= 0) return "";
  const shown = (value: number): string => (units ? `${value} ${units}` : humanSize(value, 4));
  if (total <= 0) return units ? `${current} ${units}` : humanSize(current).padStart(8);
  const width = out.isTerminal ? out.size.width : 200;
  const share = Math.min(BAR, Math.trunc((Math.min(current, total) / total) * 100 / 2));
  const bar = width > 110 ? `[${"=".repeat(share)}>${" ".repeat(BAR - share)}]` : "";
  const counts = hidecounts ? "" : current > total ? shown(current).padStart(8) : `${shown(current).padStart(8)}/${shown(total)}`;
  return bar === "" ? counts : `${bar} ${counts}`;
}

